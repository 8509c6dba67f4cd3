"""Entry ranges of files to process: as given, in even chunks as coffea cuts, or by size."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from sxdask.graph.partition import partition_entries
from sxdask.graph.split import fitting_ranges

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sxdask.core.settings import Settings
    from sxdask.processing.fileset import Span
    from sxdask.rootio.index import FileIndex

MOST_ENTRIES: Final = 100_000
"""Entries of a chunk by default, as coffea's Runner has it; one cluster may have more.

What a processor makes of an event takes memory that the stored bytes do not tell.
"""


def even_chunks(num_entries: int, chunksize: int) -> list[Span]:
    """Return ranges of about `chunksize` entries, all of one size, as coffea's Runner cuts.

    A file without entries is one empty range.

    Examples
    --------
    >>> even_chunks(250, 100)
    [(0, 125), (125, 250)]
    >>> even_chunks(0, 100)
    [(0, 0)]
    """
    number = max(round(num_entries / chunksize), 1)
    size = math.ceil(num_entries / number)
    if size == 0:
        return [(0, 0)]
    return [(start, min(start + size, num_entries)) for start in range(0, num_entries, size)]


def first_chunk(index: FileIndex) -> Span:
    """Return the range that is processed before it is known what the processor reads."""
    edges = index.cluster_starts
    if not index.num_entries:
        return 0, 0
    inside = edges[(edges > 0) & (edges <= MOST_ENTRIES)]
    return 0, int(inside[-1]) if len(inside) else min(MOST_ENTRIES, index.num_entries)


def sized_chunks(
    index: FileIndex, names: Iterable[str], settings: Settings, *, start: int = 0
) -> list[Span]:
    """Return ranges on cluster edges from entry `start` on, by the bytes of columns `names`."""
    names = tuple(names)
    if not index.num_entries:
        return [(0, 0)] if start == 0 else []
    edges = index.cluster_starts
    left = np.unique(np.concatenate(([start], edges[edges > start]))) - start
    if len(left) < 2:
        return []
    per_entry = float(index.compressed_bytes(names).sum()) / index.num_entries
    ranges = partition_entries(
        left,
        bytes_per_entry=max(per_entry, settings.partition_bytes / MOST_ENTRIES),
        target_bytes=settings.partition_bytes,
    )
    moved = [(start + first, start + last) for first, last in ranges]
    return fitting_ranges(index, moved, names, settings.max_partition_memory)[0]
