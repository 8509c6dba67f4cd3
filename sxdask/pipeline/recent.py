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
class _Origin:
    """All that a table is made of but for the request and the sizes of partitions."""

    indexes: tuple[FileIndex, ...]
    statistics: tuple[Mapping[str, Any], ...]
    options: ReadOptions

    def is_still(self, now: _Origin) -> bool:
        """Whether nothing was learned of the files since, and they are read in the same way."""
        return (
            len(self.indexes) == len(now.indexes)
            and all(map(_is_same, self.indexes, now.indexes))
            and all(map(_is_same, self.statistics, now.statistics))
            and self.options == now.options
        )


_kept: OrderedDict[tuple[str, int, int], tuple[_Origin, Lowered]] = OrderedDict()
_lock = threading.Lock()


def lowered(
    output: Output,
    indexes: Sequence[FileIndex],
    *,
    partition_bytes: int,
    partition_memory: int,
    options: ReadOptions,
    lower: Callable[..., Lowered],
) -> Lowered:
    """Return what `lower` makes of the rest, or made of it lately in this process.

    An index is one object as long as its file is the same, and so are its statistics.
    """
    name = (fingerprint(output), partition_bytes, partition_memory)
    statistics = tuple(
        item.zone_source.load() if item.zone_source is not None else {} for item in indexes
    )
    origin = _Origin(tuple(indexes), statistics, options)
    with _lock:
        known = _kept.get(name)
    if known is not None and known[0].is_still(origin):
        return known[1]
    table = lower(
        output,
        indexes,
        partition_bytes=partition_bytes,
        partition_memory=partition_memory,
        options=options,
    )
    if _size(table) <= _MOST_COLUMNS:
        with _lock:
            _kept.pop(name, None)
            _kept[name] = origin, table
            while (
                len(_kept) > _MOST_TABLES
                or sum(_size(item) for _, item in _kept.values()) > _MOST_COLUMNS
            ):
                _kept.popitem(last=False)
    return table


def _size(table: Lowered) -> int:
    """Return how many columns of how many partitions there are."""
    return (len(table.pieces) + len(table.pruned)) * (1 + len(table.column_bytes))


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, dict) and one == other == {})
