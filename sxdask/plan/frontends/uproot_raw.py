"""ServiceX's ``uproot-raw`` language: JSON sub-queries in the words of ``TTree.arrays``.

The meaning of each key is that of ServiceX's transformer: reductions default
to ``axis=1`` (``flatten`` to 2), ``expressions`` win over ``filter_name``, a
``cut`` keeps what is not zero, a cut with a list per event masks the items of
every output, unknown keys are ignored and null means absent.

One difference is meant: where a cut is missing (the maximum of no items) the
event is dropped, and uproot would keep an event of missing values, which no
output format can store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import RequestError, RequestTooLargeError, SelectionTypeError
from sxdask.core.types import Option, Schema, Unknown, list_depth
from sxdask.plan.expr import Column, Compare, Constant, Expr, Subscript
from sxdask.plan.lexer import require_size
from sxdask.plan.name_filter import name_filter
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, Scan
from sxdask.plan.place import SourceText
from sxdask.plan.promotion import is_bool
from sxdask.plan.selection import distinct
from sxdask.plan.syntax import Scope, parse
from sxdask.plan.types import infer, schema_of

if TYPE_CHECKING:
    from sxdask.plan.frontend import Selection
    from sxdask.plan.lexer import Limits
    from sxdask.plan.nodes import SchemaSource

MAX_QUERIES: Final = 1_000
"""Each reads the files once more."""


class UprootRawFrontend:
    """Parse ``uproot-raw`` selections."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def parse(self, selection: Selection, source: SchemaSource) -> Plan:
        """Return the plan for `selection`: one output for each tree of each sub-query.

        A tree that the first file lacks is left out, unless the sub-query has
        ``fail_on_missing_trees``.

        Raises
        ------
        RequestError
            If the JSON is not a list of sub-queries of a tree or histogram.
        UnknownTreeError, UnknownBranchError, SelectionSyntaxError, SelectionTypeError
            If a sub-query does not fit the data, with the place in its text.
        """
        outputs: list[Output] = []
        copies: list[str] = []
        for number, query in enumerate(self._queries(selection)):
            try:
                outputs += self._outputs(query, source)
                copies += _texts(query, "copy_histograms")
            except RequestError as error:
                raise error.add(sub_query=number) from None
        _require_same_columns(outputs, source)
        if len(outputs) == 1 and outputs[0].name == _tree_of(outputs[0].root):
            outputs = [Output("", outputs[0].root, outputs[0].allow_missing_tree)]
        return Plan(tuple(outputs), tuple(dict.fromkeys(copies)))

    def _queries(self, selection: Selection) -> list[Mapping[str, Any]]:
        value: Any = selection
        if isinstance(selection, str):
            require_size(selection, self._limits)
            if not selection.strip():
                raise RequestError("requested codegen for an empty string", hint=_EXAMPLE)
            try:
                value = json.loads(selection)
            except (ValueError, RecursionError) as error:
                raise RequestError(f"the query is not JSON: {error}", hint=_EXAMPLE) from None
        if isinstance(value, Mapping):
            value = [value]
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise RequestError("provided query is not a list", hint=_EXAMPLE)
        if len(value) > MAX_QUERIES:
            raise RequestTooLargeError(
                f"the request has {len(value)} sub-queries, and the limit is {MAX_QUERIES}",
                hint="name several columns in one sub-query",
            )
        for query in value:
            if not isinstance(query, Mapping):
                raise RequestError(f"a sub-query is {query!r}"[:200], hint=_EXAMPLE)
            if not query.get("treename") and not query.get("copy_histograms"):
                raise RequestError(
                    "at least one tree or histogram must be specified",
                    hint="give 'treename' or 'copy_histograms' in every sub-query",
                )
        return list(value)

    def _outputs(self, query: Mapping[str, Any], source: SchemaSource) -> list[Output]:
        strict = _flag(query, "fail_on_missing_trees")
        outputs: list[Output] = []
        for tree, name in _trees(query).items():
            if not strict and tree not in source.trees:
                continue
            scope = Scope(
                source.schema(tree),
                self._limits,
                _aliases(query),
                standard_axis=_flag(query, "use_standard_awkward_axis"),
            )
            root = _selected(query, tree, scope)
            outputs.append(Output(name, root, allow_missing_tree=not strict))
        return outputs


_EXAMPLE = 'such as [{"treename": "Events", "expressions": ["MET_pt"], "cut": "nMuon > 1"}]'


def _trees(query: Mapping[str, Any]) -> dict[str, str]:
    value = query.get("treename")
    if not value:
        return {}
    pairs: list[tuple[Any, Any]] = [(value, value)]
    if isinstance(value, Mapping):
        pairs = list(value.items())
    elif isinstance(value, Sequence) and not isinstance(value, str):
        pairs = [(name, name) for name in value]
    for tree, name in pairs:
        if not isinstance(tree, str) or not isinstance(name, str) or not tree or not name:
            raise RequestError(
                f"'treename' is {value!r}"[:200],
                hint="give a name, a list of names, or a map of tree to output name",
            )
    renamed = isinstance(value, Mapping)
    return {_plain(tree): name if renamed else _plain(name) for tree, name in pairs}


def _plain(tree: str) -> str:
    # "Events;1" names a cycle; the newest is read
    return tree.partition(";")[0]


def _texts(query: Mapping[str, Any], key: str) -> list[str]:
    value = query.get(key)
    if value is None:
        return []
    if isinstance(value, str):
        return [value]
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return list(value)
    raise RequestError(f"{key!r} is {value!r}"[:200], hint="give a text or a list of texts")


def _flag(query: Mapping[str, Any], key: str) -> bool:
    value = query.get(key)
    if value is None or isinstance(value, bool):
        return bool(value)
    raise RequestError(f"{key!r} is {value!r}"[:200], hint="give true or false")


def _aliases(query: Mapping[str, Any]) -> dict[str, str]:
    value = query.get("aliases")
    if value is None:
        return {}
    if isinstance(value, Mapping) and all(
        isinstance(item, str) for pair in value.items() for item in pair
    ):
        return dict(value)
    raise RequestError(f"'aliases' is {value!r}"[:200], hint="give a map of name to expression")


def _selected(query: Mapping[str, Any], tree: str, scope: Scope) -> Node:
    outputs = _columns(query, scope)
    text = query.get("cut")
    if text is None:
        return Project(Scan(tree), outputs)
    cut = _cut(text, scope)
    if list_depth(infer(cut, scope.schema)) == 0:
        return Project(Filter(Scan(tree), cut), outputs)
    masked = tuple((name, _masked(name, expr, cut, scope)) for name, expr in outputs)
    return Project(Scan(tree), masked)


def _columns(query: Mapping[str, Any], scope: Scope) -> tuple[tuple[str, Expr], ...]:
    if query.get("expressions") is not None:
        texts = _texts(query, "expressions")
        return distinct((text, parse(text, scope)) for text in texts)
    names = name_filter(None if query.get("filter_name") is None else _texts(query, "filter_name"))
    typenames = name_filter(
        None if query.get("filter_typename") is None else _texts(query, "filter_typename")
    )
    by_path = {column for path, column in scope.schema.aliases if names(path)}
    return tuple(
        (field.name, Column(field.name))
        for field in scope.schema.fields
        if field.reason is None
        and (names(field.name) or field.name in by_path)
        and typenames(field.typename)
    )


def _cut(value: object, scope: Scope) -> Expr:
    if isinstance(value, bool | int | float):
        value = repr(value)
    if not isinstance(value, str):
        raise RequestError(f"'cut' is {value!r}"[:200], hint="give an expression as text")
    expr = parse(value, scope)
    kind = infer(expr, scope.schema)
    leaf = kind
    while list_depth(leaf) > 0 or isinstance(leaf, Option):
        leaf = leaf.item  # type: ignore[union-attr]
    # a cut keeps what is not zero; for a boolean that is the boolean itself
    if is_bool(leaf) or isinstance(leaf, Unknown):
        return expr
    nonzero = Compare("!=", expr, Constant(0), expr.span)
    infer(nonzero, scope.schema, SourceText(value, scope.schema.tree))
    return nonzero


def _masked(name: str, expr: Expr, cut: Expr, scope: Scope) -> Expr:
    picked = Subscript(expr, (cut,), expr.span)
    try:
        infer(picked, scope.schema)
    except SelectionTypeError as error:
        raise SelectionTypeError(
            f"the cut has a list per event and cannot mask {name!r}: {error.problem}",
            hint="name the outputs in 'expressions', or wrap the cut in any(..., axis=1)",
            column=name,
        ) from None
    return picked


def _tree_of(node: Node) -> str:
    while not isinstance(node, Scan):
        node = node.source
    return node.tree


def _require_same_columns(outputs: Sequence[Output], source: SchemaSource) -> None:
    first: dict[str, dict[str, str]] = {}
    for output in outputs:
        schema: Schema = schema_of(output.root, source.schema(_tree_of(output.root)))
        columns = {field.name: str(field.type) for field in schema.fields}
        known = first.setdefault(output.name, columns)
        differing = sorted(
            name for name in known.keys() | columns.keys() if known.get(name) != columns.get(name)
        )
        if differing:
            raise SelectionTypeError(
                f"two sub-queries write the tree {output.name!r} with different columns:"
                f" {', '.join(differing[:5])}",
                hint='give one another name: "treename": {"Events": "other"}',
                output=output.name,
            )
