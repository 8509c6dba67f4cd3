"""Follow references: items of a list by their positions, event by event.

Positions may lie deeper in lists than the items they name (the tracks of each
vertex) and may be missing. Everything is one gather over the partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import Content, IndexedArray, IndexedOptionArray
from awkward.index import Index64

from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    import numpy.typing as npt


def follow(array: ak.Array, index: ak.Array) -> ak.Array:
    """Return the items of `array` at `index`, in the list structure of `index`.

    Parameters
    ----------
    array
        A list of items per event.
    index
        Positions in the list of the same event, in lists of any depth or none;
        a missing position gives a missing item.

    Raises
    ------
    RequestError
        If a position is not in the list.

    Examples
    --------
    >>> follow(ak.Array([[1, 2], [3]]), ak.Array([[[1, 0]], [[0], [None]]])).to_list()
    [[[2, 1]], [[3], [None]]]
    """
    counts = ak.num(array, axis=1)
    if ak.any((index < 0) | (index >= counts), axis=None):
        raise RequestError("a reference leads beyond the end of the list that it refers to")
    starts = np.cumsum(counts, dtype=np.int64) - ak.to_numpy(counts)
    items = ak.to_layout(ak.flatten(array, axis=1))

    def place(layout: Content, **_: Any) -> Content | None:
        if layout.is_option and not layout.content.is_list:
            found = layout.mask_as_bool(valid_when=True)
            values = np.full(layout.length, -1, dtype=np.int64)
            values[found] = _integers(layout.project())
            return IndexedOptionArray.simplified(Index64(values), items)
        if layout.is_numpy:
            return IndexedArray.simplified(Index64(_integers(layout)), items)
        return None

    # signed and wide before the sum: positions in files are 32 bits without sign
    positions = ak.values_astype(index, np.int64) + starts
    return ak.transform(place, positions)


def _integers(layout: Content) -> npt.NDArray[np.int64]:
    return np.asarray(ak.to_numpy(layout), dtype=np.int64)
