"""Columns of numbers, and lists of numbers, as Arrow arrays that share the buffers.

``ak.to_arrow`` does this for every type there is, and looks at the type anew
each time; most columns of most partitions are one of the two.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Hashable


def form_key(layout: Any) -> Hashable:
    """Return a key that two layouts share if, and only if, they are of one form.

    A form as JSON is one too, and takes longer than to convert the array.
    """
    notes = json.dumps(layout.parameters, sort_keys=True) if layout.parameters else ""
    match layout:
        case ak.contents.NumpyArray():
            return ("numpy", layout.dtype.str, layout.inner_shape, notes)
        case ak.contents.ListOffsetArray():
            return ("list", layout.offsets.dtype.str, notes, form_key(layout.content))
        case ak.contents.RecordArray():
            names = None if layout.is_tuple else tuple(layout.fields)
            return ("record", names, notes, *map(form_key, layout.contents))
        case _:
            return json.dumps(layout.form.to_dict())


def shared_column(layout: Any, kind: pa.DataType, length: int) -> pa.Array | None:
    """Return the first `length` rows of `layout` as an Arrow array of `kind`.

    Parameters
    ----------
    layout
        One column.
    kind
        The type that awkward gives arrays of this form in Arrow.
    length
        Number of rows; the layout may have more.

    Returns
    -------
    pyarrow.Array or None
        None if the column is not numbers, nor 64-bit lists of numbers without
        a gap between them.
    """
    if isinstance(layout, ak.contents.ListOffsetArray) and pa.types.is_large_list(kind):
        offsets = np.asarray(layout.offsets.data[: length + 1])
        if offsets.dtype != np.int64 or not len(offsets):
            return None
        values = _numbers(layout.content, kind.value_type, int(offsets[-1]))
        if values is None:
            return None
        buffers = [None, pa.py_buffer(np.ascontiguousarray(offsets))]
        return pa.Array.from_buffers(kind, length, buffers, 0, 0, [values])
    return _numbers(layout, kind, length)


def _numbers(layout: Any, kind: pa.DataType, length: int) -> pa.Array | None:
    if not isinstance(layout, ak.contents.NumpyArray):
        return None
    data = np.asarray(layout.data[:length])
    if data.ndim != 1:
        return None
    if pa.types.is_boolean(kind) and data.dtype == np.bool_:
        bits = np.packbits(data, bitorder="little")  # the one kind that cannot be shared
        return pa.Array.from_buffers(kind, length, [None, pa.py_buffer(bits)], 0)
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    if data.dtype != kind.to_pandas_dtype():
        return None
    return pa.Array.from_buffers(kind, length, [None, pa.py_buffer(np.ascontiguousarray(data))], 0)
