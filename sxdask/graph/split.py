"""Entry ranges that would not fit into a worker's memory are cut into smaller ones.

Where the cuts lie follows from the file, the columns and one setting, never
from the machine that plans or runs: the ranges are part of the content keys of
partitions, and equal requests must have equal keys wherever they run.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

from sxdask.graph.partition import partition_entries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.model import Int64Array

EntryRange = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Cuts:
    """What was cut: `ranges` became `parts`, `inside` of the cuts are inside a cluster.

    `largest` is the decoded size of the largest of the ranges, `limit` what
    one may have, in bytes. Cuts of several files add up.
    """

    ranges: int = 0
    parts: int = 0
    inside: int = 0
    largest: int = 0
    limit: int = 0

    def __add__(self, other: Cuts) -> Cuts:
        return Cuts(
            self.ranges + other.ranges,
            self.parts + other.parts,
            self.inside + other.inside,
            max(self.largest, other.largest),
            max(self.limit, other.limit),
        )


def fitting_ranges(
    file: FileIndex, ranges: Sequence[EntryRange], names: Sequence[str], most_bytes: int
) -> tuple[list[EntryRange], float, Cuts]:
    """Cut those of `ranges` whose columns take more than `most_bytes` in memory.

    Parameters
    ----------
    file
        The index of the file.
    ranges
        Half-open entry ranges on cluster edges, in order.
    names
        Columns that a task reads.
    most_bytes
        Most decoded bytes of a range; 0 cuts nothing.

    Returns
    -------
    ranges, bytes_per_entry, cuts
        The ranges tile the same entries. `bytes_per_entry` is the mean
        decoded size of the columns.
    """
    sizes = file.uncompressed_bytes(names)
    per_entry = float(sizes.sum()) / max(file.num_entries, 1)
    if not most_bytes or all((stop - start) * per_entry <= most_bytes for start, stop in ranges):
        return list(ranges), per_entry, Cuts()
    heaviest = names[int(sizes.argmax())]
    found: list[EntryRange] = []
    cuts = Cuts()
    for start, stop in ranges:
        size = (stop - start) * per_entry
        if size <= most_bytes:
            found.append((start, stop))
            continue
        parts, inside = split_range(
            _within(file.cluster_starts, start, stop),
            bytes_per_entry=per_entry,
            most_bytes=most_bytes,
            basket_edges=lambda: file.column(heaviest).entry_starts,
        )
        found += parts
        if len(parts) > 1:
            cuts += Cuts(1, len(parts), inside, round(size), most_bytes)
    return found, per_entry, cuts


def split_range(
    cluster_edges: Int64Array,
    *,
    bytes_per_entry: float,
    most_bytes: int,
    basket_edges: Callable[[], Int64Array],
) -> tuple[list[EntryRange], int]:
    """Cut one range at cluster edges, and a cluster that is too large inside.

    Inside a cluster each cut is at a basket edge of the heaviest column if
    there is one near, so that fewer baskets are read on both sides of it.

    Parameters
    ----------
    cluster_edges
        Cluster edges of the range, with both of its ends.
    bytes_per_entry
        Mean decoded size, positive.
    most_bytes
        Most decoded bytes of a part, positive. A single entry is never cut.
    basket_edges
        Gives the basket edges of the heaviest column, in entries of the file.

    Returns
    -------
    parts, inside
        The parts tile the range; `inside` counts the cuts that are no cluster edge.

    Examples
    --------
    >>> import numpy as np
    >>> edges = np.array([0, 100, 200, 500])
    >>> baskets = lambda: np.array([0, 190, 280, 500])
    >>> split_range(edges, bytes_per_entry=1.0, most_bytes=200, basket_edges=baskets)
    ([(0, 200), (200, 350), (350, 500)], 1)
    """
    first = int(cluster_edges[0])
    clusters = partition_entries(
        cluster_edges - first, bytes_per_entry=bytes_per_entry, target_bytes=most_bytes
    )
    most_entries = max(1, int(most_bytes / bytes_per_entry))
    parts: list[EntryRange] = []
    inside = 0
    for begin, end in clusters:
        start, stop = first + begin, first + end
        if (stop - start) * bytes_per_entry <= most_bytes:
            parts.append((start, stop))
            continue
        pieces = _split_cluster(start, stop, most_entries, basket_edges())
        inside += len(pieces) - 1
        parts += pieces
    return parts, inside


def _split_cluster(start: int, stop: int, most: int, edges: Int64Array) -> list[EntryRange]:
    """Cut ``[start, stop)`` into as few parts of at most `most` entries as there must be."""
    parts: list[EntryRange] = []
    while stop - start > most:
        left = ceil((stop - start) / most)
        ideal = start + ceil((stop - start) / left)
        # Never so far below the ideal that the rest would need one part more.
        least = max(start + 1, stop - (left - 1) * most)
        near = edges[(edges >= least) & (edges <= start + most)]
        cut = int(near[abs(near - ideal).argmin()]) if len(near) else ideal
        parts.append((start, cut))
        start = cut
    return [*parts, (start, stop)]


def _within(edges: Int64Array, start: int, stop: int) -> Int64Array:
    return edges[(edges >= start) & (edges <= stop)]
