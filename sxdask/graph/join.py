"""Partitions of one result, joined.

`ak.concatenate` converts every list array to another kind and back, which
costs more than reading the partitions did. Columns of numbers and of lists,
nearly all there are, are joined here with one copy each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import ListOffsetArray, NumpyArray, RecordArray

if TYPE_CHECKING:
    from collections.abc import Sequence

    from awkward.contents import Content


def join(arrays: Sequence[ak.Array]) -> ak.Array:
    """Return the rows of arrays of one type, those of the first before those of the next.

    Examples
    --------
    >>> join([ak.Array([{"x": [1, 2]}]), ak.Array([{"x": []}, {"x": [3]}])]).to_list()
    [{'x': [1, 2]}, {'x': []}, {'x': [3]}]
    """
    if len(arrays) == 1:
        return arrays[0]
    return ak.Array(_join([array.layout for array in arrays]))


def _join(parts: Sequence[Any]) -> Content:
    first = parts[0]
    if all(isinstance(part, RecordArray) and part.fields == first.fields for part in parts):
        return _records(parts)
    if all(_is_like(part, first) for part in parts):
        return _plain(parts)
    return ak.concatenate(parts, highlevel=False)


def _is_like(part: Any, first: Any) -> bool:
    """Say whether both are numbers, or lists (of lists) of numbers, of one type."""
    if type(part) is not type(first) or part.parameters != first.parameters:
        return False
    if isinstance(part, ListOffsetArray):
        return _is_like(part.content, first.content)
    return (
        isinstance(part, NumpyArray)
        and part.dtype == first.dtype
        and part.inner_shape == first.inner_shape
    )


def _records(parts: Sequence[Any]) -> Content:
    first = parts[0]
    columns = [
        _join([part.content(number) for part in parts]) for number in range(len(first.contents))
    ]
    names = None if first.is_tuple else first.fields
    length = sum(part.length for part in parts)
    return RecordArray(columns, names, length=length, parameters=first.parameters)


def _plain(parts: Sequence[Any]) -> Content:
    parameters = parts[0].parameters
    if isinstance(parts[0], NumpyArray):
        return NumpyArray(np.concatenate([part.data for part in parts]), parameters=parameters)
    offsets = np.empty(sum(part.length for part in parts) + 1, np.int64)
    offsets[0] = 0
    contents = []
    row = items = 0
    for part in parts:
        edges = part.offsets.data
        begin, end = int(edges[0]), int(edges[-1])
        np.add(edges[1:], items - begin, out=offsets[row + 1 : row + len(edges)])
        contents.append(part.content[begin:end])
        row += len(edges) - 1
        items += end - begin
    index = ak.index.Index64(offsets)
    return ListOffsetArray(index, _plain(contents), parameters=parameters)
