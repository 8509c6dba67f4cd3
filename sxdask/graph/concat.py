"""Lists of the same event one after the other, straight from the buffers.

awkward joins lists through a union of them, whatever they hold. For lists of
numbers of one type it is enough to know where each item comes to lie, and that
is the same for every column of the same collections: momenta, angles, charges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import ListOffsetArray, NumpyArray
from awkward.index import Index64

from sxdask.graph.plain import plain_lists, same_edges

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.rootio.model import Int64Array


@dataclass(frozen=True, slots=True)
class Joined:
    """Where the items of lists that begin and end at `edges` come to lie.

    `places`, shape ``(n_items,)`` for each of the arrays that are joined, are
    positions in the result; `offsets` are the edges of its lists.
    """

    edges: tuple[Int64Array, ...]
    places: tuple[Int64Array, ...]
    offsets: Index64


def concatenate(arrays: Sequence[Any], known: list[Joined] | None = None, **options: Any) -> Any:
    """Return what `ak.concatenate` returns; what is not plain goes to awkward.

    Parameters
    ----------
    arrays
        Columns to join within each event.
    known
        What earlier columns of the same events led to; the newest is added.
    **options
        Those of `ak.concatenate`.
    """
    plain = [lists for lists in map(plain_lists, arrays) if lists is not None]
    shapes = {(len(lists), lists.content.data.dtype) for lists in plain}
    if options != {"axis": 1} or len(plain) != len(arrays) or len(shapes) != 1:
        return ak.concatenate(arrays, **options)
    edges = tuple(lists.offsets.data for lists in plain)
    found = next((item for item in known or () if _has_edges(item, edges)), None)
    if found is None:
        found = _joined(edges)
        if known is not None:
            known.append(found)
    items = np.empty(found.offsets.data[-1], plain[0].content.data.dtype)
    for lists, own, places in zip(plain, edges, found.places, strict=True):
        items[places] = lists.content.data[own[0] : own[-1]]
    return ak.Array(ListOffsetArray(found.offsets, NumpyArray(items)))


def _has_edges(item: Joined, edges: tuple[Int64Array, ...]) -> bool:
    return len(item.edges) == len(edges) and all(map(same_edges, item.edges, edges))


def _joined(edges: tuple[Int64Array, ...]) -> Joined:
    counts = [np.diff(own) for own in edges]
    offsets = np.zeros(len(edges[0]), np.int64)
    np.cumsum(sum(counts), out=offsets[1:])
    places = []
    begins = offsets[:-1]
    for own, count in zip(edges, counts, strict=True):
        places.append(np.arange(own[0], own[-1]) + np.repeat(begins - own[:-1], count))
        begins = begins + count
    return Joined(edges, tuple(places), Index64(offsets))
