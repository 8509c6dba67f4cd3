"""Lists of the same event one after the other, straight from the buffers.

awkward joins lists through a union of them, whatever they hold. For lists of
numbers of one type it is enough to know where each item comes to lie.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import ListOffsetArray, NumpyArray
from awkward.index import Index64

from sxdask.graph.plain import plain_lists

if TYPE_CHECKING:
    from collections.abc import Sequence


def concatenate(arrays: Sequence[Any], **options: Any) -> Any:
    """Return what `ak.concatenate` returns; what is not plain goes to awkward."""
    plain = [plain_lists(array) for array in arrays]
    known = [lists for lists in plain if lists is not None]
    shapes = {(len(lists), lists.content.data.dtype) for lists in known}
    if options != {"axis": 1} or len(known) != len(arrays) or len(shapes) != 1:
        return ak.concatenate(arrays, **options)
    counts = [np.diff(lists.offsets.data) for lists in known]
    offsets = np.zeros(len(counts[0]) + 1, np.int64)
    np.cumsum(sum(counts), out=offsets[1:])
    items = np.empty(offsets[-1], known[0].content.data.dtype)
    begins = offsets[:-1]
    for lists, count in zip(known, counts, strict=True):
        edges = lists.offsets.data
        places = np.arange(edges[0], edges[-1]) + np.repeat(begins - edges[:-1], count)
        items[places] = lists.content.data[edges[0] : edges[-1]]
        begins = begins + count
    return ak.Array(ListOffsetArray(Index64(offsets), NumpyArray(items)))
