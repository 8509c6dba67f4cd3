"""The rows of a result: values of the outputs, put together as the request asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
from awkward.contents import ListOffsetArray, NumpyArray, RecordArray

from sxdask.core.errors import RequestError
from sxdask.core.results import EVENTS, Shape

if TYPE_CHECKING:
    from collections.abc import Sequence

    from awkward.contents import Content
    from awkward.forms import Form


def assemble(
    names: Sequence[str], values: Sequence[Any], num_rows: int, shape: Shape = EVENTS
) -> ak.Array:
    """Return the rows that `values`, one per output and of `num_rows` events, make up.

    Values are packed, so that a selected partition holds no memory of the rows
    that were dropped; a constant is repeated for every row.

    Returns
    -------
    awkward.Array
        Records with one field per output, or what `shape` says.

    Raises
    ------
    RequestError
        If rows are items and the outputs do not have equally many of them.
    """
    contents = [_content(value, num_rows) for value in values]
    if shape.items:
        contents, num_rows = _items(names, contents, num_rows)
    if shape.bare:
        (content,) = contents
        return ak.Array(content)
    fields = None if shape.is_tuple else list(names)
    return ak.Array(RecordArray(contents, fields, length=num_rows))


def parts_of(form: Form, names: Sequence[str], shape: Shape) -> dict[str, Form]:
    """Return the form of each output within that of a result."""
    return {names[0]: form} if shape.bare else dict(zip(names, form.contents, strict=True))


def widened(form: Form) -> Form:
    """Return `form` with every number in double precision."""
    return ak.transform(_widen, form.length_zero_array()).layout.form


def _widen(layout: Content, **_: Any) -> Content | None:
    if not isinstance(layout, NumpyArray) or layout.parameter("__array__") is not None:
        return None
    return NumpyArray(layout.data.astype(np.float64)) if layout.data.dtype.kind in "iuf" else None


def _content(value: Any, num_rows: int) -> Content:
    if not isinstance(value, ak.Array):
        value = ak.Array(np.full(num_rows, value))
    layout = value.layout
    return layout if _is_packed(layout) else layout.to_packed()


def _items(
    names: Sequence[str], contents: Sequence[Content], num_rows: int
) -> tuple[list[Content], int]:
    """Return the items of each event's list, one after the other."""
    joined = [ak.flatten(ak.Array(content), axis=1).layout for content in contents]
    lengths = {content.length for content in joined}
    if len(lengths) > 1:
        counts = ", ".join(
            f"{name!r} has {content.length}" for name, content in zip(names, joined, strict=True)
        )
        raise RequestError(
            f"the items of {num_rows} events do not line up: {counts}",
            hint="take all columns from one collection",
        )
    return [_content(ak.Array(content), 0) for content in joined], lengths.pop() if lengths else 0


def _is_packed(layout: Content) -> bool:
    """Say whether packing would change nothing, which awkward takes longer to find out."""
    if isinstance(layout, ListOffsetArray):
        edges = layout.offsets.data
        ends = edges[0] == 0 and edges[-1] == layout.content.length
        return bool(ends) and edges.dtype == np.int64 and _is_packed(layout.content)
    plain = isinstance(layout, NumpyArray) and layout.data.ndim == 1
    return plain and bool(layout.data.flags.c_contiguous)
