"""Byte ranges -> fewer, larger requests; pure.

Baskets of the columns of one request lie close together in a file. Reading
through a small hole is cheaper than one more round trip.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sxdask.rootio.model import Int64Array


@dataclass(frozen=True, slots=True)
class Requests:
    """Merged requests and where each wanted range lies in them.

    `starts` and `stops`, shape ``(n_requests,)``, are byte positions in the
    file, sorted. Range ``i`` is in request ``owner[i]`` from byte
    ``offset[i]`` on; both have shape ``(n_ranges,)``. All int64.
    """

    starts: Int64Array
    stops: Int64Array
    owner: Int64Array
    offset: Int64Array

    @property
    def num_bytes(self) -> int:
        """Bytes of all requests, holes that are read through included."""
        return int((self.stops - self.starts).sum())


def coalesce(
    starts: Int64Array, sizes: Int64Array, *, gap_bytes: int, request_bytes: int
) -> Requests:
    """Merge byte ranges whose holes are small into requests of limited size.

    Parameters
    ----------
    starts, sizes
        First byte and length of each range, shape ``(n_ranges,)``, in any
        order; ranges may touch, overlap and repeat.
    gap_bytes
        Largest hole between two ranges that is read through. With 0 only
        bytes that are wanted are read.
    request_bytes
        A request does not grow beyond this size; a single range (or ranges
        that overlap) larger than it stays one request.

    Returns
    -------
    Requests
        Disjoint requests that cover every range, and the way back.
    """
    if len(starts) == 0:
        none = np.empty(0, np.int64)
        return Requests(none, none, none, none)
    order = np.argsort(starts, kind="stable")
    begins = starts[order].tolist()
    ends = (starts + sizes)[order].tolist()
    first, last = [begins[0]], [ends[0]]
    group: list[int] = []
    for begin, end in zip(begins, ends, strict=True):
        inside = begin < last[-1]  # overlapping ranges must share a request to be disjoint
        near = begin - last[-1] <= gap_bytes and end - first[-1] <= request_bytes
        if group and not (inside or near):
            first.append(begin)
            last.append(end)
        last[-1] = max(last[-1], end)
        group.append(len(first) - 1)
    owner = np.empty(len(order), np.int64)
    owner[order] = group
    request_starts = np.array(first, np.int64)
    return Requests(request_starts, np.array(last, np.int64), owner, starts - request_starts[owner])
