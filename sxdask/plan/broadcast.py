"""How types combine element by element, and how they change at one list dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from sxdask.core.types import (
    FixedList,
    ListOf,
    Option,
    Record,
    String,
    Type,
    Unknown,
    list_depth,
)
from sxdask.plan.promotion import TypeOrWeak, Weak, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


Options: TypeAlias = "Mapping[str, object]"
"""The constant arguments of a call, by name."""


class MismatchError(Exception):
    """Types that do not fit; turned into an error with a position where that is known."""

    def __init__(self, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint


def optional(kind: TypeOrWeak) -> Type:
    """Return `kind` with missing values, once."""
    settled = settle(kind)
    return settled if isinstance(settled, Option | Unknown) else Option(settled)


def listed(kind: TypeOrWeak, size: int | None = None) -> Type:
    """Return lists of `kind`, all of `size` items if that is given."""
    settled = settle(kind)
    if isinstance(settled, Unknown):
        return settled
    return ListOf(settled) if size is None else FixedList(settled, size)


def broadcast(
    kinds: Sequence[TypeOrWeak], leaf: Callable[[tuple[TypeOrWeak, ...]], TypeOrWeak]
) -> TypeOrWeak:
    """Return the type of an element-wise operation whose innermost result is `leaf`.

    Lists meet lists at the same dimension from the outside in, and single
    values are repeated for each item, as awkward broadcasts.

    Raises
    ------
    MismatchError
        If fixed-size lists cannot line up with the other operands.
    """
    if any(isinstance(kind, Unknown) for kind in kinds):
        return Unknown()
    if any(isinstance(kind, Option) for kind in kinds):
        plain = [kind.item if isinstance(kind, Option) else kind for kind in kinds]
        return optional(broadcast(plain, leaf))
    sizes = {kind.size for kind in kinds if isinstance(kind, FixedList)}
    jagged = any(isinstance(kind, ListOf) for kind in kinds)
    if not sizes and not jagged:
        return leaf(tuple(kinds))
    if not jagged:
        _require_alignment(kinds, sizes)
    items = [kind.item if isinstance(kind, ListOf | FixedList) else kind for kind in kinds]
    return listed(broadcast(items, leaf), None if jagged else max(sizes))


def _require_alignment(kinds: Sequence[TypeOrWeak], sizes: set[int]) -> None:
    # Awkward lines fixed-size dimensions up from the right, as NumPy does: one
    # number per event would meet the items of an event and not the events.
    if any(not isinstance(kind, FixedList | Weak) for kind in kinds):
        size = max(sizes)
        raise MismatchError(
            f"lists of exactly {size} items do not line up with one value per list",
            "pick items of the fixed-size array first, such as x[:, 0]",
        )
    if len(sizes - {1}) > 1:
        listing = " and ".join(str(size) for size in sorted(sizes))
        raise MismatchError(f"lists of exactly {listing} items do not line up")


def at_dimension(kind: Type, axis: int, change: Callable[[Type], Type]) -> Type:
    """Return `kind` with `change` applied to the list type at dimension `axis`.

    Dimension 1 is the outermost list of an event; `change` gets the list type
    itself and returns what replaces it. The caller has checked the depth.
    """
    match kind:
        case Unknown():
            return kind
        case Option(item):
            return optional(at_dimension(item, axis, change))
        case ListOf(item) if axis > 1:
            return listed(at_dimension(item, axis - 1, change))
        case FixedList(item, size) if axis > 1:
            return listed(at_dimension(item, axis - 1, change), size)
        case _:
            return change(kind)


def map_leaves(kind: Type, change: Callable[[Type], Type]) -> Type:
    """Return `kind` with the innermost type below lists replaced; missing values vanish."""
    match kind:
        case ListOf(item):
            return listed(map_leaves(item, change))
        case FixedList(item, size):
            return listed(map_leaves(item, change), size)
        case Option(item):
            return map_leaves(item, change)
        case _:
            return change(kind)


def leaf_of(kind: Type) -> Type:
    """Return the innermost type below lists and options."""
    while isinstance(kind, ListOf | FixedList | Option):
        kind = kind.item
    return kind


def positive_axis(kind: Type, axis: int) -> int:
    """Return `axis` counted from the outside, where 0 is the event dimension."""
    return axis if axis >= 0 else list_depth(kind) + 1 + axis


def item_of(kind: Type) -> Type:
    """Return the type of the items of a list type."""
    if isinstance(kind, ListOf | FixedList):
        return kind.item
    return Unknown()


def within_event(name: str, kind: Type, options: Options, *, least: int = 1) -> int | None:
    """Return the list dimension that ``axis`` means; None if the type is not known enough.

    Raises
    ------
    MismatchError
        If the axis would mix events or is deeper than the lists go.
    """
    axis = options.get("axis")
    if not isinstance(axis, int):
        raise MismatchError(
            f"{name} over all axes would mix events", f"reduce within the event: axis={least}"
        )
    if isinstance(leaf_of(kind), Unknown | Record | String) and axis < 0:
        return None
    place = positive_axis(kind, axis)
    if isinstance(leaf_of(kind), Unknown) and place > list_depth(kind):
        return None
    if list_depth(kind) == 0:
        raise MismatchError(f"{name} needs a list, and this is one value per event")
    if place < least:
        raise MismatchError(
            f"{name} with axis={axis} would mix events",
            f"work within the event: axis={least}",
        )
    if place > list_depth(kind):
        dimensions = list_depth(kind)
        plural = "s" if dimensions != 1 else ""
        raise MismatchError(
            f"axis={axis} is too deep for {dimensions} list dimension{plural}",
            f"use axis={dimensions}" if dimensions >= least else "there is nothing to flatten",
        )
    return place
