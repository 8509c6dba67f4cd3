"""What each kind of qastle node means, by its parts. Source: qastle 0.19, ``translate``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

from sxdask.plan.expr import BinaryOp, CompareOp
from sxdask.plan.func_adl.tree import (
    OPERATORS,
    Binary,
    Choice,
    Item,
    Sequence,
    Tree,
    Value,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.plan.expr import Span
    from sxdask.plan.func_adl.build import Builder

_Make: TypeAlias = "Callable[[Builder, tuple[Tree, ...], Span], Tree]"
_UnaryOp: TypeAlias = Literal["-", "+", "~", "not"]
_LogicalOp: TypeAlias = Literal["and", "or"]


def node(build: Builder, kind: str, parts: tuple[Tree, ...], span: Span) -> Tree:
    """Return the tree of the node ``(kind parts...)``, where `kind` is one of `KINDS`.

    Raises
    ------
    SelectionSyntaxError
        If the parts are not those of such a node.
    """
    if kind == "list":
        return Sequence(parts, span)
    if kind == "call":
        if not parts:
            build.refuse(span, "call names no function", "such as (call EventDataset)")
        return build.call(parts[0], parts[1:], (), span)
    if kind in OPERATORS:
        if not parts:
            build.refuse(span, f"{kind} has no source", f"write ({kind} source ...)")
        return build.operator(kind, parts[0], parts[1:], (), span)
    number, make = _UNARY[kind] if len(parts) == 1 and kind in _UNARY else _NODES[kind]
    if len(parts) != number:
        place = parts[number] if len(parts) > number else span
        needs = {1: "one part", 2: "two parts", 3: "three parts"}[number]
        build.refuse(place, f"the node {kind} has {needs}, not {len(parts)}")
    return make(build, parts, span)


def _attribute(build: Builder, parts: tuple[Tree, ...], span: Span) -> Tree:
    value, name = parts
    if not isinstance(name, Value) or not isinstance(name.value, str):
        build.refuse(name, "the name of an attribute is a text", "such as (attr e 'pt')")
    return build.attribute(value, name.value, span, name.span or span)


def _mapping(build: Builder, parts: tuple[Tree, ...], span: Span) -> Tree:
    lists: list[Sequence] = []
    for part in parts:
        if not isinstance(part, Sequence):
            build.refuse(part, "a dict has a list of names and a list of values", _DICT)
        lists.append(part)
    names, values = lists
    if len(names.items) != len(values.items):
        build.refuse(
            values, f"{len(names.items)} names and {len(values.items)} values in a dict", _DICT
        )
    return build.mapping(names.items, values.items, span)


def _function(build: Builder, parts: tuple[Tree, ...], span: Span) -> Tree:
    parameters, body = parts
    if not isinstance(parameters, Sequence):
        build.refuse(
            parameters, "a lambda begins with its parameters", "such as (lambda (list e) e)"
        )
    return build.function(parameters.items, body, span)


def _unary(op: _UnaryOp) -> tuple[int, _Make]:
    return 1, lambda build, parts, span: build.unary(op, parts[0], span)


def _binary(op: BinaryOp) -> tuple[int, _Make]:
    return 2, lambda _, parts, span: Binary(op, parts[0], parts[1], span)


def _compare(op: CompareOp) -> tuple[int, _Make]:
    return 2, lambda build, parts, span: build.compare(parts, (op,), span)


def _logical(op: _LogicalOp) -> tuple[int, _Make]:
    return 2, lambda build, parts, span: build.logical(op, parts, span)


_DICT: Final = "such as (dict (list 'pt') (list (attr e 'pt')))"
_UNARY: Final = {op: _unary(op) for op in get_args(_UnaryOp)}
_NODES: Final[dict[str, tuple[int, _Make]]] = {
    **_UNARY,
    **{op: _binary(op) for op in get_args(BinaryOp)},
    **{op: _compare(op) for op in get_args(CompareOp)},
    **{op: _logical(op) for op in get_args(_LogicalOp)},
    "attr": (2, _attribute),
    "dict": (2, _mapping),
    "if": (3, lambda _, parts, span: Choice(parts[0], parts[1], parts[2], span)),
    "lambda": (2, _function),
    "subscript": (2, lambda _, parts, span: Item(parts[0], parts[1], span)),
}
KINDS: Final = frozenset({"list", "call", *OPERATORS, *_NODES})
"""Every kind of node there is."""
