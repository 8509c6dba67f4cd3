"""Plan <-> JSON, for caches and the service; the format has a version.

Nodes and expressions are lists that begin with their kind. Expressions stand in
a table, each different one once and after its operands, which it names by their
place there: a plan whose parts are shared is as short as it is in memory. Floats
are written as text by ``repr``, so that every value, NaN and -0.0 included, comes
back as it was and the text is the same in every Python. Spans are not kept: they
belong to the text that a user wrote.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import RequestError
from sxdask.core.results import Axis, Histogram, Reduction, Shape, Total
from sxdask.plan.codec_expr import ExpressionTable, Json, decode_table
from sxdask.plan.codec_expr import text as _text
from sxdask.plan.nodes import Filter, Function, Node, Output, Plan, Project, Scan

if TYPE_CHECKING:
    from sxdask.plan.expr import Expr

VERSION: Final = 2

_SHAPE_FLAGS: Final = tuple(item.name for item in fields(Shape))


def plan_to_json(plan: Plan) -> str:
    """Return `plan` as JSON text; equal plans give equal text.

    Examples
    --------
    >>> plan_from_json(plan_to_json(Plan(()))) == Plan(())
    True
    """
    table = ExpressionTable()
    value = {
        "sxdask-plan": VERSION,
        "outputs": [_encode_output(item, table) for item in plan.outputs],
        "copies": list(plan.copies),
        "expressions": table.rows,
    }
    if plan.by_file:
        value["by_file"] = True
    return canonical_json(value)


def canonical_json(value: Json) -> str:
    """Return the one JSON text for `value`: sorted keys, ASCII, no blanks."""
    return json.dumps(
        value, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":")
    )


def plan_from_json(text: str) -> Plan:
    """Return the plan that `text` holds.

    Raises
    ------
    RequestError
        If the text is not a plan of this version.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"the stored plan is not JSON: {error}") from None
    version = value.get("sxdask-plan") if isinstance(value, dict) else None
    if version != VERSION:
        raise RequestError(
            f"the stored plan has version {version!r}, and this is version {VERSION}",
            hint="make it again from the request",
        )
    try:
        rows = decode_table(value["expressions"])
        return Plan(
            tuple(_decode_output(item, rows) for item in value["outputs"]),
            tuple(value["copies"]),
            value.get("by_file", False) is True,
        )
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise RequestError(f"the stored plan is malformed: {error!r}") from None


def output_to_json(output: Output) -> str:
    """Return one output as JSON text, to name it."""
    table = ExpressionTable()
    return canonical_json({"output": _encode_output(output, table), "expressions": table.rows})


def node_to_json(node: Node) -> str:
    """Return a relational node as JSON text, to name it."""
    table = ExpressionTable()
    return canonical_json({"node": _encode_node(node, table), "expressions": table.rows})


def _encode_output(output: Output, table: ExpressionTable) -> Json:
    """Return one output as plain JSON values; what is as usual is left out."""
    root = _encode_node(output.root, table)
    value: Json = ["output", output.name, root, output.allow_missing_tree]
    special: dict[str, Json] = {
        name: True for name in _SHAPE_FLAGS if getattr(output.shape, name) is True
    }
    match output.reduction:
        case Total(function):
            special["total"] = function
        case tuple(histograms):
            special["histograms"] = [_encode_histogram(item) for item in histograms]
    if output.function is not None:
        special["function"] = asdict(output.function)
    return [*value, special] if special else value


def _encode_histogram(histogram: Histogram) -> Json:
    axes = [
        {
            "column": axis.column,
            "bins": axis.bins,
            "range": [repr(float(axis.start)), repr(float(axis.stop))],
            "edges": [repr(float(edge)) for edge in axis.edges],
            "categories": list(axis.categories),
            "label": axis.label,
        }
        for axis in histogram.axes
    ]
    return {"name": histogram.name, "axes": axes, "weight": histogram.weight}


def _encode_node(node: Node, table: ExpressionTable) -> Json:
    match node:
        case Scan(tree, columns, predicate):
            names = None if columns is None else list(columns)
            return ["scan", tree, names, [table.place(item) for item in predicate]]
        case Filter(source, predicate):
            return ["filter", _encode_node(source, table), table.place(predicate)]
        case Project(source, outputs):
            pairs = [[name, table.place(expr)] for name, expr in outputs]
            return ["project", _encode_node(source, table), pairs]


def _decode_output(value: Json, rows: list[Expr]) -> Output:
    kind, name, root, allow_missing, *rest = value
    if kind != "output" or not isinstance(name, str) or not isinstance(allow_missing, bool):
        raise ValueError(f"not an output: {kind!r}")
    special = rest[0] if rest else {}
    shape = Shape(**{flag: special.get(flag, False) is True for flag in _SHAPE_FLAGS})
    reduction: Reduction | None = None
    if "total" in special:
        reduction = Total(special["total"])
    elif "histograms" in special:
        reduction = tuple(_decode_histogram(item) for item in special["histograms"])
    function = _decode_function(special["function"]) if "function" in special else None
    return Output(name, _decode_node(root, rows), allow_missing, shape, reduction, function)


def _decode_function(value: Json) -> Function:
    if value["per"] not in {"file", "partition"}:
        raise ValueError(f"not a function: {value!r}"[:200])
    imports = tuple((_text(name), _text(module)) for name, module in value["imports"])
    texts = {name: _text(value[name]) for name in ("name", "argument", "text", "pickled")}
    return Function(**texts, per=value["per"], imports=imports)


def _decode_histogram(value: Json) -> Histogram:
    axes = tuple(
        Axis(
            column=_text(axis["column"]),
            bins=axis["bins"],
            start=float(axis["range"][0]),
            stop=float(axis["range"][1]),
            edges=tuple(map(float, axis["edges"])),
            categories=tuple(axis["categories"]),
            label=axis["label"],
        )
        for axis in value["axes"]
    )
    return Histogram(_text(value["name"]), axes, value["weight"])


def _decode_node(value: Json, rows: list[Expr]) -> Node:
    match value:
        case ["scan", str(tree), names, list(predicate)]:
            columns = None if names is None else tuple(map(_text, names))
            return Scan(tree, columns, tuple(rows[item] for item in predicate))
        case ["filter", source, predicate]:
            return Filter(_decode_node(source, rows), rows[predicate])
        case ["project", source, list(pairs)]:
            outputs = tuple((_text(name), rows[expr]) for name, expr in pairs)
            return Project(_decode_node(source, rows), outputs)
        case _:
            raise ValueError(f"not a node: {value!r}"[:200])
