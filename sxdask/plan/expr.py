"""Expression nodes: frozen values, a closed union, the same in every process.

Parts may be shared between parents; nothing depends on whether they are.

`span` is the place in the user's text, half-open ``(start, stop)`` offsets; it
takes no part in equality, ``repr`` or the fingerprint, so the same query
written twice is one query.

Names of functions in `Call` are canonical (``sum``, ``sqrt``, ``num``; see
`sxdask.plan.functions`) and every argument is explicit: a frontend resolves
its dialect's defaults (``axis``) before it builds the node.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

Span: TypeAlias = tuple[int, int]
UnaryOp: TypeAlias = Literal["-", "+", "~"]
BinaryOp: TypeAlias = Literal["+", "-", "*", "/", "//", "%", "**", "&", "|", "^", "<<", ">>"]
CompareOp: TypeAlias = Literal["<", "<=", ">", ">=", "==", "!="]
Scalar: TypeAlias = bool | int | float | str | None


class _Shared:
    """Equality and hash of expressions whose parts may be shared.

    An expression is a tree to read and a graph in memory: what is used twice is
    one object with two parents. Written out it can be exponentially larger, so
    everything that goes through one remembers where it has been. The hash is
    kept, but not pickled: it differs between processes.
    """

    __slots__ = ("_hash",)
    _hash: int

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            own: Any = self
            value = hash((type(self).__name__, local(own), *map(hash, children(own))))
            object.__setattr__(self, "_hash", value)
            return value

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not isinstance(other, _Shared):
            return NotImplemented
        todo: list[tuple[Any, Any]] = [(self, other)]
        seen: set[tuple[int, int]] = set()
        while todo:
            pair = todo.pop()
            mine, theirs = pair
            key = (id(mine), id(theirs))
            if mine is theirs or key in seen:
                continue
            if type(mine) is not type(theirs) or hash(mine) != hash(theirs):
                return False
            if local(mine) != local(theirs):
                return False
            seen.add(key)
            todo.extend(zip(children(mine), children(theirs), strict=True))
        return True


@dataclass(frozen=True, slots=True, eq=False)
class Column(_Shared):
    """A branch of the tree, by its column name; one value or list per entry."""

    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Constant(_Shared):
    """A constant; 1, 1.0 and True are three different ones.

    `tag` is what equality looks at: Python holds ``1 == 1.0 == True``, but they
    give arrays of different type.
    """

    value: Scalar = field(compare=False)
    span: Span | None = field(default=None, compare=False, repr=False)
    tag: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "tag", f"{type(self.value).__name__}:{self.value!r}")


@dataclass(frozen=True, slots=True, eq=False)
class Unary(_Shared):
    """``op operand``, element by element; ``~`` is logical not for booleans."""

    op: UnaryOp
    operand: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Binary(_Shared):
    """``left op right``, element by element with broadcasting."""

    op: BinaryOp
    left: Expr
    right: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Compare(_Shared):
    """``left op right`` as booleans, element by element with broadcasting."""

    op: CompareOp
    left: Expr
    right: Expr
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Call(_Shared):
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


@dataclass(frozen=True, slots=True, eq=False)
class Subscript(_Shared):
    """``value[items]``: slices, integers, masks and index arrays, as awkward takes them.

    The first item applies to the event dimension and is always the full slice
    or a mask with the event dimension, so that rows stay rows.
    """

    value: Expr
    items: tuple[Slice | Expr, ...]
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class GetField(_Shared):
    """Field `name` of a record (``cartesian(...)["0"]``, ``Muons.fP``)."""

    value: Expr
    name: str
    span: Span | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, eq=False)
class Pack(_Shared):
    """Several expressions side by side: the list argument of ``concatenate([a, b])``.

    With `names` it is a dict argument (``cartesian({"a": x, "b": y})``).
    """

    items: tuple[Expr, ...]
    names: tuple[str, ...] | None = None
    span: Span | None = field(default=None, compare=False, repr=False)


Expr: TypeAlias = Column | Constant | Unary | Binary | Compare | Call | Subscript | GetField | Pack


def local(expr: Expr) -> tuple[Any, ...]:
    """Return all of `expr` that counts but its operands: two nodes with equal ones are equal."""
    match expr:
        case Column(name) | GetField(_, name):
            return (name,)
        case Constant():
            return (expr.tag,)
        case Unary(op) | Binary(op) | Compare(op):
            return (op,)
        case Call(function, args, options):
            return (function, len(args), options)
        case Subscript(_, items):
            return tuple(item if isinstance(item, Slice) else None for item in items)
        case Pack(items, names):
            return (len(items), names)


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
    """Yield `expr` and everything below it, parents first, what is shared once."""
    todo = [expr]
    seen: set[int] = set()
    while todo:
        node = todo.pop()
        if id(node) not in seen:
            seen.add(id(node))
            yield node
            todo.extend(reversed(children(node)))


def transform(expr: Expr, change: Callable[[Expr], Expr]) -> Expr:
    """Return `expr` with `change` applied to every node, operands first.

    What is shared is changed once and stays shared. Recursion is bounded:
    frontends refuse nesting beyond their limit.
    """
    done: dict[int, Expr] = {}

    def visit(node: Expr) -> Expr:
        found = done.get(id(node))
        if found is None:
            below = children(node)
            new = tuple(map(visit, below))
            same = all(a is b for a, b in zip(below, new, strict=True))
            found = done[id(node)] = change(node if same else with_children(node, new))
        return found

    return visit(expr)


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
    known: dict[int, int] = {}
    todo = [expr]
    while todo:
        node = todo[-1]
        below = children(node)
        unknown = [item for item in below if id(item) not in known]
        if unknown and id(node) not in known:
            todo.extend(unknown)
            continue
        todo.pop()
        known[id(node)] = 1 + max((known[id(item)] for item in below), default=0)
    return known[id(expr)]


def tree_size(expr: Expr, limit: int) -> int:
    """Return how many nodes `expr` has written out, what is shared counted each time.

    Counting stops at `limit`.
    """
    known: dict[int, int] = {}

    def visit(node: Expr) -> int:
        found = known.get(id(node))
        if found is None:
            found = known[id(node)] = min(limit, 1 + sum(map(visit, children(node))))
        return found

    return visit(expr)
