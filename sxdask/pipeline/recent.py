"""Tables that were lowered lately: the same request over the same files is not lowered again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sxdask.plan.fingerprint import fingerprint

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sxdask.graph.lower import Lowered
    from sxdask.plan.nodes import Output
    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.model import ReadOptions

_MOST_TABLES: Final = 32
_MOST_COLUMNS: Final = 30_000
"""Columns of partitions, of all tables together: about 20 MB. What is larger takes long to run."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """A table, and all that it was made of but for the request."""

    indexes: tuple[FileIndex, ...]
    statistics: tuple[Mapping[str, Any], ...]
    options: ReadOptions
    table: Lowered

    @property
    def size(self) -> int:
        """How many columns of how many partitions there are."""
        pieces = len(self.table.pieces) + len(self.table.pruned)
        return pieces * (1 + len(self.table.column_bytes))

    def is_of(self, other: _Kept) -> bool:
        """Whether nothing was learned of the files since, and they are read in the same way."""
        return (
            len(self.indexes) == len(other.indexes)
            and all(map(_is_same, self.indexes, other.indexes))
            and all(map(_is_same, self.statistics, other.statistics))
            and self.options == other.options
        )


_kept: OrderedDict[tuple[str, int, int], _Kept] = OrderedDict()
_lock = threading.Lock()


def lowered(
    output: Output,
    indexes: Sequence[FileIndex],
    *,
    partition_bytes: int,
    options: ReadOptions,
    partition_memory: int = 0,
    lower: Callable[..., Lowered],
) -> Lowered:
    """Return what `lower` makes of the rest, or made of it lately in this process.

    An index is one object as long as its file is the same, and so are its statistics.
    """
    sizes = {"partition_bytes": partition_bytes, "partition_memory": partition_memory}
    name = (fingerprint(output), partition_bytes, partition_memory)
    statistics = tuple(
        item.zone_source.load() if item.zone_source is not None else {} for item in indexes
    )
    with _lock:
        known = _kept.get(name)
    if known is not None and known.is_of(_Kept(tuple(indexes), statistics, options, known.table)):
        return known.table
    made = _Kept(
        tuple(indexes), statistics, options, lower(output, indexes, **sizes, options=options)
    )
    if made.size <= _MOST_COLUMNS:
        with _lock:
            _kept.pop(name, None)
            _kept[name] = made
            while len(_kept) > _MOST_TABLES or _size() > _MOST_COLUMNS:
                _kept.popitem(last=False)
    return made.table


def _size() -> int:
    return sum(item.size for item in _kept.values())


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, dict) and one == other == {})
