"""The query tree: what func_adl, Python and qastle texts are parsed into, before it has a meaning.

Nodes are syntax alone: nothing here knows branches or types. Every node keeps
its `span`, half-open offsets into the user's text, for errors; it takes no part
in equality, so that the same query in two notations is one tree.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from sxdask.plan.expr import BinaryOp, CompareOp, Scalar, Span

OPERATORS: Final[dict[str, tuple[int, bool]]] = {
    "Where": (1, True),
    "Select": (1, True),
    "SelectMany": (1, True),
    "First": (0, False),
    "Last": (0, False),
    "ElementAt": (1, False),
    "Contains": (1, False),
    "Aggregate": (2, True),
    "Count": (0, False),
    "Max": (0, False),
    "Min": (0, False),
    "Sum": (0, False),
    "All": (1, True),
    "Any": (1, True),
    "Concat": (1, False),
    "Zip": (0, False),
    "OrderBy": (1, True),
    "OrderByDescending": (1, True),
    "Choose": (1, False),
}
"""Query operators: the number of arguments after the source, and whether the last is a lambda.

Source: qastle 0.19, ``linq_util``.
"""


@dataclass(frozen=True, slots=True)
class Name:
    """A variable of an enclosing lambda, a module (``np``), or a function's name."""

    id: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Value:
    """A number, a text, True, False or None."""

    value: Scalar
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Attribute:
    """``value.name``."""

    value: Tree
    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Range:
    """``start:stop:step`` within an `Item`; a part left out is None."""

    start: Tree | None = None
    stop: Tree | None = None
    step: Tree | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Item:
    """``value[index]``."""

    value: Tree
    index: Tree | Range
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Sequence:
    """``[a, b]`` or ``(a, b)``; qastle has one notation, ``(list a b)``, for both."""

    items: tuple[Tree, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Mapping:
    """``{"a": x, "b": y}``; keys are texts."""

    keys: tuple[str, ...]
    values: tuple[Tree, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Unary:
    """``-x``, ``+x``, ``~x`` or ``not x``."""

    op: Literal["-", "+", "~", "not"]
    operand: Tree
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """``left op right``."""

    op: BinaryOp
    left: Tree
    right: Tree
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """``a < b <= c``: one operator fewer than operands."""

    operands: tuple[Tree, ...]
    ops: tuple[CompareOp | Literal["in", "not in"], ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Logical:
    """``a and b and c``, or the same with ``or``."""

    op: Literal["and", "or"]
    operands: tuple[Tree, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Choice:
    """``body if test else orelse``."""

    test: Tree
    body: Tree
    orelse: Tree
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Lambda:
    """``lambda a, b: body``."""

    parameters: tuple[str, ...]
    body: Tree
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """``function(arguments, name=...)``, where the function is no query operator."""

    function: Tree
    arguments: tuple[Tree, ...]
    keywords: tuple[tuple[str, Tree], ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Operator:
    """``source.Select(lambda ...)``: `name` is a key of `OPERATORS`, with as many arguments.

    A `Range`-free tree: the last argument is a `Lambda` where `OPERATORS` says
    so, also if the user gave it as text.
    """

    name: str
    source: Tree
    arguments: tuple[Tree, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Dataset:
    """``EventDataset(files, tree)``; the files are kept and not used, sxdask has its own."""

    files: tuple[str, ...] = ()
    tree: str | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


Tree: TypeAlias = (
    Name
    | Value
    | Attribute
    | Item
    | Sequence
    | Mapping
    | Unary
    | Binary
    | Compare
    | Logical
    | Choice
    | Lambda
    | Call
    | Operator
    | Dataset
)
