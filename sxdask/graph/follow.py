"""Follow references: items of a list by their positions, event by event.

Positions may lie deeper in lists than the items they name (the tracks of each
vertex) and may be missing. Everything is one gather over the partition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import awkward as ak
import numpy as np
from awkward.contents import Content, IndexedArray, IndexedOptionArray
from awkward.index import Index64

from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    import numpy.typing as npt

_BEYOND: Final = "a reference leads beyond the end of the list that it refers to"


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
    if _is_plain(ak.to_layout(index)):
        try:
            return array[index]
        except (IndexError, ValueError):
            raise RequestError(_BEYOND) from None
    counts = ak.num(array, axis=1)
    if ak.any((index < 0) | (index >= counts), axis=None):
        raise RequestError(_BEYOND)
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


def _is_plain(layout: Content) -> bool:
    """Whether these are lists of positions that awkward itself takes, in less than half the time.

    Without sign, as those of links in files: awkward counts negative ones from the end.
    """
    if not layout.is_list or layout.is_regular:
        return False
    inner = layout.content.content if layout.content.is_option else layout.content
    return bool(inner.is_numpy and inner.dtype.kind == "u" and inner.purelist_depth == 1)


def _integers(layout: Content) -> npt.NDArray[np.int64]:
    return np.asarray(ak.to_numpy(layout), dtype=np.int64)
