"""Plan <-> JSON, for caches and the service; the format has a version.

Nodes and expressions are lists that begin with their kind. Floats are written
as text by ``repr``, so that every value, NaN and -0.0 included, comes back as
it was and the text is the same in every Python. Spans are not kept: they
belong to the text that a user wrote.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sxdask.core.errors import RequestError
from sxdask.core.results import Axis, Histogram, Reduction, Shape, Total
from sxdask.plan.expr import (
    Binary,
    Call,
    Column,
    Compare,
    Constant,
    Expr,
    GetField,
    Pack,
    Slice,
    Subscript,
    Unary,
)
from sxdask.plan.nodes import Filter, Function, Node, Output, Plan, Project, Scan

if TYPE_CHECKING:
    from collections.abc import Callable

VERSION: Final = 1

_SHAPE_FLAGS: Final = tuple(item.name for item in fields(Shape))

Json: TypeAlias = Any
"""Lists, mappings, text, numbers, booleans and None."""


def plan_to_json(plan: Plan) -> str:
    """Return `plan` as JSON text; equal plans give equal text.

    Examples
    --------
    >>> plan_from_json(plan_to_json(Plan(()))) == Plan(())
    True
    """
    value = {
        "sxdask-plan": VERSION,
        "outputs": [encode_output(item) for item in plan.outputs],
        "copies": list(plan.copies),
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
        return Plan(
            tuple(_decode_output(item) for item in value["outputs"]),
            tuple(value["copies"]),
            value.get("by_file", False) is True,
        )
    except (KeyError, TypeError, ValueError, IndexError, RecursionError) as error:
        raise RequestError(f"the stored plan is malformed: {error!r}") from None


def encode_output(output: Output) -> Json:
    """Return one output as plain JSON values; what is as usual is left out."""
    value: Json = ["output", output.name, encode_node(output.root), output.allow_missing_tree]
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


def encode_node(node: Node) -> Json:
    """Return a relational node as plain JSON values."""
    match node:
        case Scan(tree, columns, predicate):
            names = None if columns is None else list(columns)
            return ["scan", tree, names, [encode_expr(item) for item in predicate]]
        case Filter(source, predicate):
            return ["filter", encode_node(source), encode_expr(predicate)]
        case Project(source, outputs):
            pairs = [[name, encode_expr(expr)] for name, expr in outputs]
            return ["project", encode_node(source), pairs]


def encode_expr(expr: Expr) -> Json:
    """Return an expression as plain JSON values."""
    match expr:
        case Column(name):
            return ["column", name]
        case Constant(value):
            return ["constant", _encode_scalar(value)]
        case Unary(op, operand):
            return ["unary", op, encode_expr(operand)]
        case Binary(op, left, right):
            return ["binary", op, encode_expr(left), encode_expr(right)]
        case Compare(op, left, right):
            return ["compare", op, encode_expr(left), encode_expr(right)]
        case Call(function, args, options):
            pairs = [[name, _encode_scalar(value)] for name, value in options]
            return ["call", function, [encode_expr(item) for item in args], pairs]
        case Subscript(value, items):
            return ["subscript", encode_expr(value), [_encode_item(item) for item in items]]
        case GetField(value, name):
            return ["field", encode_expr(value), name]
        case Pack(items, names):
            keys = None if names is None else list(names)
            return ["pack", [encode_expr(item) for item in items], keys]


def _encode_item(item: Slice | Expr) -> Json:
    if isinstance(item, Slice):
        return ["slice", item.start, item.stop, item.step]
    return encode_expr(item)


def _encode_scalar(value: object) -> Json:
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, tuple):
        return {"tuple": [_encode_scalar(item) for item in value]}
    return value


def _decode_scalar(value: Json) -> Any:
    match value:
        case {"float": str(text)}:
            return float(text)
        case {"tuple": list(items)}:
            return tuple(_decode_scalar(item) for item in items)
        case bool() | int() | str() | None:
            return value
        case _:
            raise ValueError(f"not a constant: {value!r}")


def _decode_output(value: Json) -> Output:
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
    return Output(name, _decode_node(root), allow_missing, shape, reduction, function)


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


def _decode_node(value: Json) -> Node:
    match value:
        case ["scan", str(tree), names, list(predicate)]:
            columns = None if names is None else tuple(map(_text, names))
            return Scan(tree, columns, tuple(decode_expr(item) for item in predicate))
        case ["filter", source, predicate]:
            return Filter(_decode_node(source), decode_expr(predicate))
        case ["project", source, list(pairs)]:
            outputs = tuple((_text(name), decode_expr(expr)) for name, expr in pairs)
            return Project(_decode_node(source), outputs)
        case _:
            raise ValueError(f"not a node: {value!r}"[:200])


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not a name: {value!r}")
    return value


def decode_expr(value: Json) -> Expr:
    """Return the expression that `encode_expr` gave `value` for."""
    kind, *parts = value
    return _DECODERS[kind](*parts)


def _decode_call(function: str, args: Json, options: Json) -> Expr:
    pairs = tuple((_text(name), _decode_scalar(item)) for name, item in options)
    return Call(_text(function), tuple(decode_expr(item) for item in args), pairs)


def _decode_subscript(value: Json, items: Json) -> Expr:
    decoded = tuple(Slice(*item[1:]) if item[0] == "slice" else decode_expr(item) for item in items)
    return Subscript(decode_expr(value), decoded)


def _decode_pack(items: Json, keys: Json) -> Expr:
    names = None if keys is None else tuple(map(_text, keys))
    return Pack(tuple(decode_expr(item) for item in items), names)


_DECODERS: Final[dict[str, Callable[..., Expr]]] = {
    "column": lambda name: Column(_text(name)),
    "constant": lambda value: Constant(_decode_scalar(value)),
    "unary": lambda op, operand: Unary(op, decode_expr(operand)),
    "binary": lambda op, left, right: Binary(op, decode_expr(left), decode_expr(right)),
    "compare": lambda op, left, right: Compare(op, decode_expr(left), decode_expr(right)),
    "call": _decode_call,
    "subscript": _decode_subscript,
    "field": lambda value, name: GetField(decode_expr(value), _text(name)),
    "pack": _decode_pack,
}
