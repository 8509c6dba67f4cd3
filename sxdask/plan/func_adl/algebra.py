"""Build expressions over several loops: line operands up, repeat them, keep their types.

Operands of one operation may vary over different loops. An operand that does
not vary over one of them gets a dimension of length one in its place, which
broadcasts; where nothing of the operand follows, awkward's own broadcasting
from the outside in does the same without.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Final, NoReturn

from sxdask.core.errors import RequestTooLargeError
from sxdask.core.types import Field, FixedList, ListOf, Option, Primitive, Record, Type, list_depth
from sxdask.plan.broadcast import leaf_of
from sxdask.plan.expr import Call, Column, Constant, Expr, GetField, Pack, Slice, Span, Subscript
from sxdask.plan.func_adl.values import Array, Loop, Value, leaves, map_arrays, union_of
from sxdask.plan.types import infer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sxdask.core.types import Schema
    from sxdask.plan.expr import Scalar
    from sxdask.plan.place import SourceText

MAX_OPERATIONS: Final = 100_000
"""Operations of one query; a part that is used twice counts once."""

MAX_DEPTH: Final = 250
"""Levels of one expression, of which the recursions after this one need a few frames each."""

_ALL: Final = Slice()
_NEW: Final = Constant(None)


@dataclass(frozen=True)
class Algebra:
    """Make arrays from arrays; `schema` is that of the one tree that is read."""

    schema: Schema
    source: SourceText
    _made: count[int] = field(default_factory=count, repr=False, compare=False)

    def refuse(self, span: Span | None, problem: str, hint: str | None = None) -> NoReturn:
        """Raise the error that points at `span`."""
        raise self.source.type_error(Constant(None, span), problem, hint=hint)

    # -- single expressions ----------------------------------------------------------------

    def constant(self, value: Scalar, span: Span | None = None) -> Array:
        """Return a constant."""
        expr = Constant(value, span)
        return Array(expr, infer(expr, {}, self.source))

    def make(
        self,
        node: Callable[..., Expr],
        *operands: Array,
        loops: tuple[Loop, ...] | None = None,
        is_momentum: bool = False,
    ) -> Array:
        """Return ``node(*expressions)`` of operands that are lined up already.

        Its type is inferred from the types of the operands alone, so that the
        cost does not grow with what lies below.

        Raises
        ------
        SelectionTypeError
            If the types do not fit, with the place.
        RequestTooLargeError
            If the expression grows beyond the limits.
        """
        stands_in: list[Expr] = []
        schema: dict[str, Field] = {}
        for number, item in enumerate(operands):
            if item.is_constant:
                stands_in.append(item.expr)
                continue
            name = str(number)
            schema[name] = Field(name, item.type)
            stands_in.append(Column(name, item.expr.span))
        kind = infer(node(*stands_in), schema, self.source)
        depth = 1 + max((item.depth for item in operands), default=0)
        if depth > MAX_DEPTH:
            raise RequestTooLargeError(
                f"the query has a part that nests deeper than {MAX_DEPTH} operations",
                hint="compute it in fewer steps",
            )
        if next(self._made) > MAX_OPERATIONS:
            raise RequestTooLargeError(
                f"the query has more than {MAX_OPERATIONS} operations", hint="ask for fewer columns"
            )
        expr = node(*(item.expr for item in operands))
        if loops is None:
            loops = union_of(operands)
        return Array(expr, kind, loops, depth, is_momentum)

    def call(self, function: str, *operands: Array, span: Span | None, **options: Scalar) -> Array:
        """Return the call of `function` on operands that are lined up already."""
        pairs = tuple(sorted(options.items()))
        return self.make(lambda *args: Call(function, args, pairs, span), *operands)

    def elementwise(self, node: Callable[..., Expr], *operands: Array) -> Array:
        """Return ``node(*expressions)`` for every turn of the loops of any operand."""
        return self.make(node, *self.align(operands))

    # -- lining up -------------------------------------------------------------------------

    def align(self, operands: Sequence[Array]) -> tuple[Array, ...]:
        """Return `operands` with a dimension wherever broadcasting needs one."""
        loops = union_of(tuple(operands))
        if len({item.loops for item in operands if item.loops}) < 2:
            depth = {list_depth(item.type) for item in operands if item.loops}
            if len(depth) < 2:
                return tuple(operands)
        fixed = max(_deepest_fixed(item, loops) for item in operands)
        return tuple(self._with_places(item, loops, fixed) for item in operands)

    def _with_places(self, item: Array, loops: tuple[Loop, ...], fixed: int) -> Array:
        if item.is_constant:
            return item
        places: list[Slice | Expr] = [_ALL if loop in item.loops else _NEW for loop in loops]
        if item.lists > 0:
            places += [_ALL] * item.lists
        else:
            while places[-1] is _NEW:
                places.pop()
        # A fixed-size list is lined up from the right, and a missing value would
        # make the whole list missing that it meets.
        least = max(fixed + 1, len(loops) if _has_missing(item.type) else 0)
        places += [_NEW] * (least - len(places))
        if _NEW not in places:
            return item
        while places[-1] is _ALL:
            places.pop()
        span = item.expr.span
        shaped = self.make(lambda value: Subscript(value, tuple(places), span), item)
        return replace(shaped, loops=item.loops, is_momentum=item.is_momentum)

    def unify(self, value: Value, turns: Array | None = None) -> Value:
        """Return `value` with every array in it, and `turns`, varying over the same loops."""
        arrays = tuple(leaves(value))
        loops = union_of((*arrays, turns) if turns is not None else arrays)
        if all(item.loops == loops for item in arrays):
            return value
        for item in arrays:
            if turns is None:
                turns = self.count_turns(item)
            elif not set(item.loops) <= set(turns.loops):
                turns = self.spread(turns, self.count_turns(item))
        full = turns
        assert full is not None  # noqa: S101  a value without arrays returns above
        return map_arrays(value, lambda item: self.spread(item, full))

    def count_turns(self, item: Array) -> Array:
        """Return an array with one number for each turn of the loops of `item`."""
        if isinstance(item.type, Record):
            return self.count_turns(self.field(item, item.type.fields[0][0], None))
        if item.lists > 0:
            return self.call("num", item, span=item.expr.span, axis=len(item.loops))
        if _has_missing(item.type):  # would make missing what it is broadcast with
            return self.call("is_none", item, span=item.expr.span, axis=len(item.loops) - 1)
        return item

    def field(self, item: Array, name: str, span: Span | None) -> Array:
        """Return field `name` of an array of records."""
        return self.make(lambda value: GetField(value, name, span), item)

    def zip(self, names: tuple[str, ...] | None, items: tuple[Array, ...], lists: int) -> Array:
        """Return records of `items` within `lists` dimensions of lists; a tuple without `names`."""
        span = items[0].expr.span if items else None
        dimensions = len(union_of(items)) + lists
        if dimensions == lists:
            self.refuse(
                span,
                "a record within a record needs something of the event, not constants alone",
                "put the constants beside it",
            )

        def node(*parts: Expr) -> Expr:
            return Call("zip", (Pack(parts, names),), (("depth_limit", dimensions),), span)

        return self.make(node, *self.align(items))

    def spread(self, item: Array, turns: Array) -> Array:
        """Return `item` repeated so that it varies over all loops of `turns`, a number each."""
        if set(turns.loops) <= set(item.loops):
            return item
        span = item.expr.span
        one, other = self.align((turns, item))
        both = self.make(
            lambda *args: Call("broadcast_arrays", args, (), span),
            one,
            other,
            loops=union_of((turns, item)),
        )
        picked = self.make(lambda value: GetField(value, "1", span), both)
        return replace(picked, is_momentum=item.is_momentum)

    def turns(self, sequence: Value, loop: Loop) -> Array:
        """Return an array with one number for each turn of `loop` over `sequence`."""
        first = next(leaves(sequence))
        loops = (*first.loops, loop)
        plain = isinstance(leaf_of(first.type), Primitive) and not _has_missing(first.type)
        if first.lists == 1 and plain:
            return replace(first, loops=loops)
        index = self.call("local_index", first, span=first.expr.span, axis=len(first.loops))
        return replace(index, loops=loops)

    def loosen(self, sequence: Value) -> Value:
        """Return `sequence` with lists of any length where its outermost have a fixed one."""

        def change(item: Array) -> Array:
            axis = len(item.loops)
            if _fixed_at(item.type, axis):
                return self.like(
                    item, self.call("from_regular", item, span=item.expr.span, axis=axis)
                )
            return item

        return map_arrays(sequence, change)

    def like(self, old: Array, new: Array) -> Array:
        """Return `new` as the same kind of thing as `old`: only its structure has changed."""
        return replace(new, is_momentum=old.is_momentum)


def _has_missing(kind: Type) -> bool:
    while isinstance(kind, ListOf | FixedList):
        kind = kind.item
    return isinstance(kind, Option)


def _dimensions(kind: Type) -> Iterator[Type]:
    while isinstance(kind, ListOf | FixedList | Option):
        if not isinstance(kind, Option):
            yield kind
        kind = kind.item


def _deepest_fixed(item: Array, loops: tuple[Loop, ...]) -> int:
    """Return the last dimension of fixed size of `item` where it goes over all of `loops`."""
    places = [loops.index(loop) for loop in item.loops[1:]]
    places += range(len(loops), len(loops) + max(item.lists, 0))
    dimensions = zip(places, _dimensions(item.type), strict=False)
    return max((place for place, kind in dimensions if isinstance(kind, FixedList)), default=0)


def _fixed_at(kind: Type, axis: int) -> bool:
    levels = enumerate(_dimensions(kind), start=1)
    return any(level == axis and isinstance(item, FixedList) for level, item in levels)
