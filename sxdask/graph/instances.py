"""Arrays of one formula side by side, as ROOT's TTree::Draw goes through them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import awkward as ak
import numpy as np
from awkward.contents import IndexedOptionArray, ListOffsetArray, UnmaskedArray
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
    missing. The rules for inner lists are a little different [2]_.

    Parameters
    ----------
    array
        Lists of items per event, or lists of lists.
    *arrays
        All arrays of the formula, in order; `array` is one of them.

    References
    ----------
    .. [1] ROOT 6.40, ``TTreeFormula::LoadCurrentDim``.
    .. [2] ROOT 6.40, ``TTreeFormulaManager::GetNdata``.

    Examples
    --------
    >>> x, y = ak.Array([[1, 2], [3]]), ak.Array([[7], [8, 9]])
    >>> instances(y, x, y).to_list(), instances(x, x, y).to_list()
    ([[7], [8, 9]], [[1], [3, None]])
    """
    used = _together([_counts(item) for item in arrays])
    if array.ndim < 3:
        return _taken(array, used, optional=True)
    inner = _inner([ak.flatten(_taken(item, used), axis=1) for item in arrays if item.ndim > 2])
    lists = ak.flatten(_taken(array, used), axis=1)
    return ak.unflatten(_taken(lists, inner, optional=True), used)


def iteration(array: ak.Array) -> ak.Array:
    """Return the number of each item of lists of lists within its event.

    Examples
    --------
    >>> iteration(ak.Array([[[7, 7], [7]], [[7]]])).to_list()
    [[[0, 1], [2]], [[0]]]
    """
    outer, lists = _counts(array), ak.flatten(array, axis=1)
    inner = _counts(lists)
    begin = np.cumsum(inner) - inner
    # the first item of the first list of each event, for each of its lists
    first = np.append(begin, inner.sum())[np.cumsum(outer) - outer]
    number = np.arange(inner.sum()) - np.repeat(np.repeat(first, outer), inner)
    return ak.unflatten(ak.unflatten(number, inner), outer)


def _counts(array: ak.Array) -> Int64:
    counts: Any = ak.fill_none(ak.num(array, axis=1), 0)
    return np.asarray(ak.to_numpy(counts), dtype=np.int64)


def _together(counts: list[Int64]) -> Int64:
    """Return the number of instances, from the lengths of the arrays in order."""
    used = np.ones(len(counts[0]), dtype=np.int64)
    for count in counts:
        used = np.where((used == 1) | (count < used), count, used)
    return used


def _inner(arrays: list[ak.Array]) -> Int64:
    """Return the number of instances in each of the inner lists, some of which may be missing."""
    fixed, varying = 1, np.zeros(len(arrays[0]), dtype=np.int64)
    jagged = False
    for item in arrays:
        size = _size(item)
        if size is not None:
            fixed = size if fixed == 1 or size < fixed else fixed
            continue
        jagged = True
        counts, here = _counts(item), ~ak.to_numpy(ak.is_none(item))
        # here ROOT takes none for a length that is not known yet
        varying = np.where(here & ((varying == 0) | (counts < varying)), counts, varying)
    if not jagged:
        return np.full(len(arrays[0]), fixed, dtype=np.int64)
    if fixed == 1:
        return varying
    return np.where((varying != 1) & (varying < fixed), varying, fixed)


def _size(array: ak.Array) -> int | None:
    """Return the number of items in each list, None if it varies."""
    kind = array.type.content
    kind = kind.content if isinstance(kind, ak.types.OptionType) else kind
    return kind.size if isinstance(kind, ak.types.RegularType) else None


def _taken(array: ak.Array, used: Int64, *, optional: bool = False) -> ak.Array:
    """Return the first `used` items of each list; those that it does not have are missing.

    With `optional` the type says so even where all are there.
    """
    counts = _counts(array)
    same = np.array_equal(counts, used)
    if same and not optional and not array.layout.is_option:
        return array
    content = ak.to_layout(ak.flatten(array, axis=1))
    offsets = Index64(np.concatenate([[0], np.cumsum(used)]))
    if not same:
        position = np.arange(used.sum()) - np.repeat(np.cumsum(used) - used, used)
        inside = position < np.repeat(counts, used)
        place = np.where(inside, np.repeat(np.cumsum(counts) - counts, used) + position, -1)
        content = IndexedOptionArray.simplified(Index64(place), content)
    elif optional:
        content = UnmaskedArray.simplified(content)
    return ak.Array(ListOffsetArray(offsets, content))
