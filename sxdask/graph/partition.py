"""Clusters -> entry ranges near a byte target."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sxdask.rootio.model import Int64Array


def partition_entries(
    cluster_edges: Int64Array, *, bytes_per_entry: float, target_bytes: int
) -> list[tuple[int, int]]:
    """Group a tree's clusters into partitions near a target size.

    A cluster is the smallest range that can be read without decompressing a
    neighbour's baskets, so partition edges always fall on cluster edges.

    Parameters
    ----------
    cluster_edges
        First entry of each cluster and the end of the last one, shape
        ``(n_clusters + 1,)``, strictly increasing from 0. A tree without
        entries has the one edge 0 and gives no partition.
    bytes_per_entry
        Mean compressed size of the *projected* branches, in bytes.
    target_bytes
        Wanted compressed bytes per partition. One cluster larger than this
        becomes a partition on its own.

    Returns
    -------
    list of (start, stop)
        Half-open entry ranges, shape ``(n_partitions, 2)``; they tile
        ``[0, num_entries)`` in order, without gap or overlap.

    Raises
    ------
    ValueError
        If the edges do not increase from 0, or the target is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> edges = np.array([0, 100, 200, 250])
    >>> partition_entries(edges, bytes_per_entry=1.0, target_bytes=200)
    [(0, 200), (200, 250)]
    """
    edges = np.asarray(cluster_edges, dtype=np.int64)
    if len(edges) == 0 or edges[0] != 0 or (np.diff(edges) <= 0).any():
        raise ValueError("cluster edges must increase strictly from 0")
    if target_bytes <= 0 or bytes_per_entry < 0:
        raise ValueError("sizes must be positive")
    most = int(edges[-1])
    if bytes_per_entry * most <= target_bytes:
        return [(0, most)] if most else []
    entries = target_bytes / bytes_per_entry
    ranges: list[tuple[int, int]] = []
    start = 0
    while start < most:
        # the last edge within the target, or the next one if even that is beyond it
        place = int(np.searchsorted(edges, start + entries, side="right")) - 1
        stop = int(edges[place])
        if stop <= start:
            stop = int(edges[np.searchsorted(edges, start, side="right")])
        ranges.append((start, stop))
        start = stop
    return ranges
