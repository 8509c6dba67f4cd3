"""Pairs and triples within events, from tables of those of a list of each length.

An event with n items has the same combinations as any other with n: they are
looked up, not counted out again. awkward does the rest, such as long lists.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import awkward as ak
import numpy as np
from awkward.contents import ListOffsetArray, NumpyArray, RecordArray
from awkward.index import Index64

if TYPE_CHECKING:
    from sxdask.rootio.model import Int64Array

_LONGEST: Final = {2: 200, 3: 40}
"""Longest lists by size of the combinations: their tables stay below ten megabytes."""


def argcombinations(array: Any, n: int, **options: Any) -> Any:
    """Return what `ak.argcombinations` returns: positions of each combination of n items."""
    lists = array.layout if isinstance(array, ak.Array) else None
    is_usual = n in _LONGEST and options == {"axis": 1}
    if not is_usual or not isinstance(lists, ListOffsetArray) or lists.parameters:
        return ak.argcombinations(array, n, **options)
    if not isinstance(lists.offsets.data, np.ndarray):
        return ak.argcombinations(array, n, **options)
    counts = np.diff(lists.offsets.data)
    longest = int(counts.max()) if len(counts) else 0
    if longest > _LONGEST[n]:
        return ak.argcombinations(array, n, **options)
    table, first = _table(n, max(longest, n))
    sizes = np.diff(first)[counts]
    offsets = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(sizes, out=offsets[1:])
    rows = np.arange(offsets[-1]) + np.repeat(first[counts] - offsets[:-1], sizes)
    fields = [NumpyArray(column[rows]) for column in table]
    return ak.Array(ListOffsetArray(Index64(offsets), RecordArray(fields, None, length=len(rows))))


@lru_cache(maxsize=16)
def _table(n: int, longest: int) -> tuple[Int64Array, Int64Array]:
    """Return the combinations of lists of 0, 1, ... `longest` items, and where each begins.

    The first array has shape ``(n, n_combinations)``, the second
    ``(longest + 2,)``.
    """
    groups = [list(combinations(range(length), n)) for length in range(longest + 1)]
    first = np.cumsum([0, *map(len, groups)])
    rows = [row for group in groups for row in group]
    return np.array(rows, np.int64).reshape(-1, n).T.copy(), first
