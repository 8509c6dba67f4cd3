"""Accumulators merged in a tree: here, or on the cluster where they were made.

Neighbours in the order of the chunks are merged, whatever the order in which
they complete, so that sums and lists come out the same every time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from sxdask.core.errors import SxdaskError, UserFunctionError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

_WIDTH: Final = 8
"""How many accumulators are merged at once."""


def accumulated(items: Sequence[Any]) -> Any:
    """Return the sum of accumulators, as coffea adds them; they are left as they are.

    Raises
    ------
    UserFunctionError
        If they cannot be added.
    """
    from coffea.processor import accumulate

    try:
        return accumulate(items)
    except SxdaskError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever adding them raises
        said = (str(error).strip().splitlines() or [""])[0][:200]
        raise UserFunctionError(
            f"what the processor gives for two chunks cannot be added: "
            f"{type(error).__name__}: {said}",
            hint="give the same keys and axes for every chunk, and values that can be added",
            cause=type(error).__name__,
        ) from None


class MergeTree(Generic[T]):
    """Merges what is added, by position, eight neighbours at a time."""

    def __init__(self, merge: Callable[[list[T]], T]) -> None:
        self._merge = merge
        self._levels: list[dict[int, T | None]] = []

    def add(self, position: int, item: T | None) -> None:
        """Add the item of a position; None where there is none. Each position once."""
        level = 0
        while True:
            if level == len(self._levels):
                self._levels.append({})
            waiting = self._levels[level]
            waiting[position] = item
            first = position - position % _WIDTH
            block = range(first, first + _WIDTH)
            if not all(place in waiting for place in block):
                return
            item = self._merged([waiting.pop(place) for place in block])
            position //= _WIDTH
            level += 1

    def result(self) -> T | None:
        """Merge all that is left; None if no item was added."""
        carried: dict[int, T | None] = {}
        for waiting in self._levels:
            blocks: dict[int, list[T | None]] = {}
            for place, item in sorted({**waiting, **carried}.items()):
                blocks.setdefault(place // _WIDTH, []).append(item)
            carried = {number: self._merged(items) for number, items in blocks.items()}
        self._levels = []
        return self._merged([item for _, item in sorted(carried.items())])

    def _merged(self, items: Sequence[T | None]) -> T | None:
        found = [item for item in items if item is not None]
        return self._merge(found) if len(found) > 1 else next(iter(found), None)
