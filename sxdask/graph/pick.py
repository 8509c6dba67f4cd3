"""Items of lists by mask or by position, straight from the buffers.

Selecting within events (``Jet_pt[Jet_pt > 30]``, ``px[pairs["0"]]``) is what
analyses do most, and a request does it to many columns with one index. For
lists of numbers this is one NumPy operation a column, with what the index alone
decides kept for the next column; awkward's slicing, which handles every type,
takes four times as long. Whatever is not plain goes to awkward, mistakes of
the user included, so that there is one source of errors.
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
    from collections.abc import Iterable

    import numpy.typing as npt

    from sxdask.rootio.model import Int64Array


@dataclass(frozen=True, slots=True)
class Picked:
    """Where an index leads in lists with these `edges`.

    `places`, shape ``(n_items,)``, are positions in the content; `offsets` the
    edges of the resulting lists. `begins` and `room` are the first position and
    the length of the list that each item was picked from, if it was by position.
    """

    edges: Int64Array
    places: Int64Array
    offsets: Index64
    begins: Int64Array | None = None
    room: Int64Array | None = None


def pick(
    value: Any, index: Any, known: Picked | None, others: Iterable[Picked] = ()
) -> tuple[ak.Array, Picked] | None:
    """Return ``value[index]`` and what the next column can use; None if awkward must do it.

    Parameters
    ----------
    value
        Lists of numbers, one per event.
    index
        Booleans or positions, a list per event.
    known
        What this same index led to in another column.
    others
        The same for other indexes: the first, second and third jet of the same
        triples have the same lists.
    """
    lists = plain_lists(value)
    if lists is None:
        return None
    edges: Int64Array = lists.offsets.data
    if known is None or not same_edges(known.edges, edges):
        known = _places(edges, index, others)
        if known is None:
            return None
    content = NumpyArray(lists.content.data[known.places])
    return ak.Array(ListOffsetArray(known.offsets, content)), known


def _places(edges: Int64Array, index: Any, others: Iterable[Picked]) -> Picked | None:
    lists = plain_lists(index)
    if lists is None or len(lists.offsets.data) != len(edges):
        return None
    own: Int64Array = lists.offsets.data
    items: npt.NDArray[Any] = lists.content.data[own[0] : own[-1]]
    if items.dtype == np.bool_:
        return _of_mask(edges, own, items)
    if items.dtype == np.int64:
        return _of_positions(edges, own, items, others)
    return None


def _of_mask(edges: Int64Array, own: Int64Array, mask: npt.NDArray[np.bool_]) -> Picked | None:
    if not np.array_equal(edges - edges[0], own - own[0]):
        return None
    count = np.zeros(len(mask) + 1, np.int64)
    np.cumsum(mask, out=count[1:])
    places = np.flatnonzero(mask) + edges[0]
    return Picked(edges, places, Index64(count[own - own[0]]))


def _of_positions(
    edges: Int64Array, own: Int64Array, positions: Int64Array, others: Iterable[Picked]
) -> Picked | None:
    offsets = own - own[0]
    begins = room = None
    for other in others:
        if (
            other.room is not None
            and same_edges(other.edges, edges)
            and np.array_equal(other.offsets.data, offsets)
        ):
            begins, room = other.begins, other.room
            break
    if begins is None or room is None:
        counts = np.diff(own)
        begins, room = np.repeat(edges[:-1], counts), np.repeat(np.diff(edges), counts)
    # positions from the end (beyond all room as unsigned) and too large ones are awkward's
    if (positions.view(np.uint64) >= room.view(np.uint64)).any():
        return None
    return Picked(edges, positions + begins, Index64(offsets), begins, room)
