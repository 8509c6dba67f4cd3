"""Each item of a list with each of another list of the same event, straight from the buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import ListArray, ListOffsetArray, NumpyArray, RecordArray, RegularArray
from awkward.index import Index64

from sxdask.graph.plain import plain_lists, trimmed

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from sxdask.rootio.model import Int64Array


def cartesian(arrays: Any, **options: Any) -> Any:
    """Return what `ak.cartesian` returns: each item of the first list with each of the second."""
    found = _plain(arrays)
    usual = {"axis": 1, "nested": options.get("nested", False)}
    if found is None or len(found) != 2 or {**usual, **options} != usual:
        return ak.cartesian(arrays, **options)
    if not isinstance(usual["nested"], bool):
        return ak.cartesian(arrays, **options)
    (first_edges, first), (second_edges, second) = found
    inner, rows, columns = places(first_edges, second_edges)
    pairs = RecordArray([NumpyArray(first[rows]), NumpyArray(second[columns])], None)
    if usual["nested"]:
        lists = ListOffsetArray(Index64(inner), pairs)
        return ak.Array(ListOffsetArray(Index64(first_edges), lists))
    return ak.Array(ListOffsetArray(Index64(inner[first_edges]), pairs))


def places(first: Int64Array, second: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Return how each item of a list meets each item of another list of the same event.

    Parameters
    ----------
    first, second
        Edges of the lists, from 0, shape ``(n_events + 1,)``.

    Returns
    -------
    inner, rows, columns
        Edges of the partners of each first item, shape ``(n_first + 1,)``, and
        for each pair its place in the first and in the second list.
    """
    partners = np.repeat(np.diff(second), np.diff(first))
    inner = np.zeros(len(partners) + 1, np.int64)
    np.cumsum(partners, out=inner[1:])
    begins = np.repeat(second[:-1], np.diff(first)) - inner[:-1]
    rows = np.repeat(np.arange(len(partners)), partners)
    return inner, rows, np.arange(inner[-1]) + begins[rows]


def _plain(arrays: Any) -> list[tuple[Int64Array, npt.NDArray[Any]]] | None:
    """Return edges and items of each array if all are lists of numbers of the same events."""
    if not isinstance(arrays, Sequence) or not arrays:
        return None
    found = []
    for array in arrays:
        lists = plain_lists(array)
        if lists is None:
            return None
        edges, items = trimmed(lists)
        found.append((edges.data, items))
    return found if len({len(edges) for edges, _ in found}) == 1 else None


def outer(function: Callable[..., Any], args: Sequence[Any]) -> ak.Array | None:
    """Return ``function(x, y[:, None])`` for each item of x with each of y; None if it is not that.

    The two may come in either order.
    """
    if len(args) != 2:
        return None
    row = _row(args[1])
    place = 1 if row is not None else 0
    row = row or _row(args[0])
    lists = plain_lists(args[1 - place])
    if row is None or lists is None or len(lists.offsets) != len(row[0]):
        return None
    edges, items = trimmed(lists)
    inner, rows, columns = places(edges.data, row[0])
    pair = [items[rows], row[1][columns]]
    values = NumpyArray(function(*(pair if place else reversed(pair))))
    return ak.Array(ListOffsetArray(edges, ListOffsetArray(Index64(inner), values)))


def _row(array: Any) -> tuple[Int64Array, npt.NDArray[Any]] | None:
    """Return edges and items of ``y[:, None]``, one list in a list per event."""
    layout = array.layout if isinstance(array, ak.Array) and array.behavior is None else None
    if not isinstance(layout, RegularArray) or layout.size != 1 or layout.parameters:
        return None
    content = layout.content
    if isinstance(content, ListArray):  # what slicing makes of lists
        content = content.to_ListOffsetArray64(True)  # noqa: FBT003  awkward's signature
    lists = plain_lists(ak.Array(content))
    if lists is None or len(lists) != len(layout):
        return None
    edges, items = trimmed(lists)
    return edges.data, items
