"""Arrays of one formula side by side, as ROOT's TTree::Draw goes through them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import awkward as ak
import numpy as np
from awkward.contents import IndexedOptionArray, ListOffsetArray
from awkward.index import Index64

if TYPE_CHECKING:
    import numpy.typing as npt

Int64: TypeAlias = "npt.NDArray[np.int64]"


def instances(array: ak.Array, *arrays: ak.Array) -> ak.Array:
    """Return the items of `array` for each instance that `arrays` have together.

    There are as many instances as the shortest of `arrays` has items, first
    along the events' lists and then along the lists in these. ROOT takes one
    item for a length that is not known yet: behind an array of one item, the
    length of the next one counts [1]_, and items that are not there are
    missing.

    Parameters
    ----------
    array
        Lists of items per event, or lists of lists.
    *arrays
        All arrays of the formula, in order; `array` is one of them.

    References
    ----------
    .. [1] ROOT 6.40, ``TTreeFormula::LoadCurrentDim``.

    Examples
    --------
    >>> x, y = ak.Array([[1, 2], [3]]), ak.Array([[7], [8, 9]])
    >>> instances(y, x, y).to_list(), instances(x, x, y).to_list()
    ([[7], [8, 9]], [[1], [3, None]])
    """
    used = _together([_counts(item) for item in arrays])
    outer = _taken(array, used)
    if array.ndim < 3:
        return outer
    deep = [ak.flatten(_taken(item, used), axis=1) for item in arrays if item.ndim > 2]
    # a list that is not there sets no length
    here = [~ak.to_numpy(ak.is_none(item)) for item in deep]
    inner = _together([_counts(item) for item in deep], here)
    items = _taken(ak.flatten(outer, axis=1), inner)
    return ak.unflatten(items, used)


def _counts(array: ak.Array) -> Int64:
    counts: Any = ak.fill_none(ak.num(array, axis=1), 0)
    return np.asarray(ak.to_numpy(counts), dtype=np.int64)


def _together(counts: list[Int64], here: list[npt.NDArray[np.bool_]] | None = None) -> Int64:
    """Return the number of instances, from the lengths of the arrays in order."""
    used = np.ones(len(counts[0]), dtype=np.int64)
    for place, count in enumerate(counts):
        shorter = (used == 1) | (count < used)
        if here is not None:
            shorter &= here[place]
        used = np.where(shorter, count, used)
    return used


def _taken(array: ak.Array, used: Int64) -> ak.Array:
    """Return the first `used` items of each list; those that it does not have are missing."""
    counts = _counts(array)
    if np.array_equal(counts, used):
        return array
    position = np.arange(used.sum()) - np.repeat(np.cumsum(used) - used, used)
    begin = np.repeat(np.cumsum(counts) - counts, used)
    content = ak.to_layout(ak.flatten(array, axis=1))
    inside = position < np.repeat(counts, used)
    offsets = Index64(np.concatenate([[0], np.cumsum(used)]))
    place = begin + position
    if inside.all():
        return ak.Array(ListOffsetArray(offsets, content[place]))
    place = np.where(inside, place, -1)
    return ak.Array(
        ListOffsetArray(offsets, IndexedOptionArray.simplified(Index64(place), content))
    )
