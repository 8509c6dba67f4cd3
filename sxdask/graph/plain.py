"""Columns of numbers, and of lists of numbers, as their buffers.

Nearly every step of a request works on these two. awkward's way through any
type costs some tenths of a millisecond a step; a partition of ten thousand
events with a hundred steps would spend most of its time there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import ListOffsetArray, NumpyArray
from awkward.index import Index64

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from sxdask.rootio.model import Int64Array

SCALARS = (bool, int, float, np.generic)


def plain_numbers(array: Any) -> npt.NDArray[Any] | None:
    """Return the values of one number per event, if `array` is that and nothing else."""
    if not isinstance(array, ak.Array) or array.behavior is not None:
        return None
    return _numbers(array.layout)


def plain_lists(array: Any) -> ListOffsetArray | None:
    """Return the layout of lists of numbers, one list per event, if `array` is that."""
    if not isinstance(array, ak.Array) or array.behavior is not None:
        return None
    layout = array.layout
    if not isinstance(layout, ListOffsetArray) or layout.parameters:
        return None
    edges = layout.offsets.data
    is_here = isinstance(edges, np.ndarray) and edges.dtype == np.int64
    return layout if is_here and _numbers(layout.content) is not None else None


def _numbers(layout: Any) -> npt.NDArray[Any] | None:
    if not isinstance(layout, NumpyArray) or layout.parameters:
        return None
    values = layout.data
    return values if isinstance(values, np.ndarray) and values.ndim == 1 else None


def same_edges(left: Int64Array, right: Int64Array) -> bool:
    """Say whether two columns have the same lists; `left` and `right` begin at 0."""
    return left is right or np.array_equal(left, right)


def trimmed(lists: ListOffsetArray) -> tuple[Index64, npt.NDArray[Any]]:
    """Return edges that begin at 0, and the items between them."""
    edges = lists.offsets.data
    begin, end = edges[0], edges[-1]
    values = lists.content.data[begin:end]
    return (lists.offsets, values) if begin == 0 else (Index64(edges - begin), values)


def elementwise(function: Callable[..., Any], args: Sequence[Any]) -> ak.Array | None:
    """Return ``function(*args)`` for a function of numbers; None if awkward must broadcast.

    Parameters
    ----------
    function
        An operator or a NumPy universal function.
    args
        Scalars, numbers per event and lists of numbers per event. Lists line up
        if they have the same lengths; a number meets every item of its event.
    """
    operands = [_operand(arg) for arg in args]
    if any(operand is None for operand in operands):
        return None
    found = [operand for operand in operands if operand is not None]
    edges = next((operand.edges for operand in found if operand.edges is not None), None)
    values = _lined_up(found, edges)
    if values is None:
        return None
    result = NumpyArray(function(*values))
    return ak.Array(result if edges is None else ListOffsetArray(edges, result))


@dataclass(frozen=True, slots=True)
class _Operand:
    """Values of one argument: a scalar, numbers per event, or items of lists with `edges`."""

    values: Any
    edges: Index64 | None = None
    is_scalar: bool = False


def _operand(arg: Any) -> _Operand | None:
    if isinstance(arg, SCALARS):
        return _Operand(arg, is_scalar=True)
    numbers = plain_numbers(arg)
    if numbers is not None:
        return _Operand(numbers)
    lists = plain_lists(arg)
    if lists is None:
        return None
    edges, items = trimmed(lists)
    return _Operand(items, edges)


def _lined_up(operands: Sequence[_Operand], edges: Index64 | None) -> list[Any] | None:
    """Return values of one length, numbers repeated for the items of their event."""
    arrays = [operand for operand in operands if not operand.is_scalar]
    if edges is None:
        lengths = {len(operand.values) for operand in arrays}
        return [operand.values for operand in operands] if len(lengths) == 1 else None
    counts = np.diff(edges.data)
    values = []
    for operand in operands:
        if operand.edges is not None:
            if not same_edges(edges.data, operand.edges.data):
                return None
        elif not operand.is_scalar:
            if len(operand.values) != len(counts):
                return None
            values.append(np.repeat(operand.values, counts))
            continue
        values.append(operand.values)
    return values
