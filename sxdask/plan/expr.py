"""Expression nodes: frozen values, a closed union, the same in every process.

`span` is the place in the user's text, half-open ``(start, stop)`` offsets; it
takes no part in equality, ``repr`` or the fingerprint, so the same query
written twice is one query.

Names of functions in `Call` are canonical (``sum``, ``sqrt``, ``num``; see
`sxdask.plan.functions`) and every argument is explicit: a frontend resolves
its dialect's defaults (``axis``) before it builds the node.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Span: TypeAlias = tuple[int, int]
UnaryOp: TypeAlias = Literal["-", "+", "~"]
BinaryOp: TypeAlias = Literal["+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>"]
CompareOp: TypeAlias = Literal["<", "<=", ">", ">=", "==", "!="]
Scalar: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A branch of the tree, by its column name; one value or list per entry."""

    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Constant:
    """A constant; 1, 1.0 and True are three different ones.

    `tag` is what equality looks at: Python holds ``1 == 1.0 == True``, but they
    give arrays of different type.
    """

    value: Scalar = field(compare=False)
    span: Span | None = field(default=None, compare=False, repr=False)
    tag: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag", f"{type(self.value).__name__}:{self.value!r}")


@dataclass(frozen=True, slots=True)
class Unary:
    """``op operand``, element by element; ``~`` is logical not for booleans."""

    op: UnaryOp
    operand: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """``left op right``, element by element with broadcasting."""

    op: BinaryOp
    left: Expr
    right: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Compare:
    """``left op right`` as booleans, element by element with broadcasting."""

    op: CompareOp
    left: Expr
    right: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Call:
    """A known function; `options` are keyword arguments with constant values, sorted."""

    function: str
    args: tuple[Expr, ...]
    options: tuple[tuple[str, Scalar | tuple[Scalar, ...]], ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Slice:
    """``start:stop:step`` in a subscript; a part left out is None."""

    start: int | None = None
    stop: int | None = None
    step: int | None = None


@dataclass(frozen=True, slots=True)
class Subscript:
    """``value[items]``: slices, integers, masks and index arrays, as awkward takes them.

    The first item applies to the event dimension and is always the full slice
    or a mask with the event dimension, so that rows stay rows.
    """

    value: Expr
    items: tuple[Slice | Expr, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class GetField:
    """Field `name` of a record (``cartesian(...)["0"]``, ``Muons.fP``)."""

    value: Expr
    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Pack:
    """Several expressions side by side: the list argument of ``concatenate([a, b])``.

    With `names` it is a dict argument (``cartesian({"a": x, "b": y})``).
    """

    items: tuple[Expr, ...]
    names: tuple[str, ...] | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


Expr: TypeAlias = Column | Constant | Unary | Binary | Compare | Call | Subscript | GetField | Pack


def children(expr: Expr) -> tuple[Expr, ...]:
    """Return the direct operands of `expr`, left to right."""
    match expr:
        case Column() | Constant():
            return ()
        case Unary(operand=operand):
            return (operand,)
        case Binary(left=left, right=right) | Compare(left=left, right=right):
            return (left, right)
        case Call(args=args):
            return args
        case Subscript(value=value, items=items):
            return (value, *(item for item in items if not isinstance(item, Slice)))
        case GetField(value=value):
            return (value,)
        case Pack(items=items):
            return items


def with_children(expr: Expr, new: tuple[Expr, ...]) -> Expr:
    """Return `expr` with its direct operands replaced, in the order of `children`."""
    match expr:
        case Column() | Constant():
            return expr
        case Unary() | GetField():
            slot = "operand" if isinstance(expr, Unary) else "value"
            return replace(expr, **{slot: new[0]})  # type: ignore[arg-type]
        case Binary() | Compare():
            return replace(expr, left=new[0], right=new[1])
        case Call():
            return replace(expr, args=new)
        case Subscript(items=items):
            rest = iter(new[1:])
            kept = tuple(item if isinstance(item, Slice) else next(rest) for item in items)
            return replace(expr, value=new[0], items=kept)
        case Pack():
            return replace(expr, items=new)


def walk(expr: Expr) -> Iterator[Expr]:
    """Yield `expr` and everything below it, parents first, without recursion."""
    todo = [expr]
    while todo:
        node = todo.pop()
        yield node
        todo.extend(reversed(children(node)))


def transform(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Return `expr` with `change` applied to every node, operands first.

    Recursion is bounded: frontends refuse nesting beyond their limit.
    """
    below = children(expr)
    new = tuple(transform(item, change) for item in below)
    same = all(a is b for a, b in zip(below, new, strict=True))
    return change(expr if same else with_children(expr, new))


def columns_of(expr: Expr) -> tuple[str, ...]:
    """Return the names of the columns that `expr` reads, each once, in order of appearance."""
    return tuple(dict.fromkeys(node.name for node in walk(expr) if isinstance(node, Column)))


def substitute(expr: Expr, outputs: Mapping[str, Expr]) -> Expr:
    """Return `expr` with each column that `outputs` defines replaced by its definition."""

    def change(node: Expr) -> Expr:
        return outputs.get(node.name, node) if isinstance(node, Column) else node

    return transform(expr, change)


def depth(expr: Expr) -> int:
    """Return the nesting depth of `expr`; a column has depth 1."""
    deepest, todo = 0, [(expr, 1)]
    while todo:
        node, level = todo.pop()
        deepest = max(deepest, level)
        todo.extend((item, level + 1) for item in children(node))
    return deepest


def field_names(node: Expr) -> tuple[str, ...]:
    """Return the names of the parts of `node` that count (all but `span`)."""
    return tuple(item.name for item in fields(node) if item.init and item.name != "span")
