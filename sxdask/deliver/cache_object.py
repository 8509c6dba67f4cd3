"""One stored result as bytes: an Arrow stream (buffers LZ4 or plain), and a checksum behind it.

What is stored are the buffers of an awkward array (or of the state of a fold)
as they are, so that the very layout comes back, whatever its type. Each
buffer is a column of one binary value; what they mean is JSON in the metadata
of the schema. The checksum comes after the end of the stream, where other
readers of Arrow do not look.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import awkward as ak
import numpy as np
import pyarrow as pa
import xxhash

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    Buffers = Mapping[str, npt.NDArray[Any]]

HEAD: Final = b"sxdask:result"
_CHECKSUM_BYTES: Final = 16  # XXH3, 128 bits


class DamagedObjectError(ValueError):
    """The bytes are not those of a stored result, or not all of them."""


def pack(head: Mapping[str, Any], buffers: Buffers, *, compressed: bool = True) -> bytes:
    """Return the bytes of an object; `head` is kept as JSON."""
    schema = pa.schema(
        [pa.field(name, pa.large_binary(), nullable=False) for name in buffers],
        metadata={HEAD: json.dumps(dict(head))},
    )
    columns = [_binary(values) for values in buffers.values()]
    out = pa.BufferOutputStream()
    codec = "lz4" if compressed else None
    options = pa.ipc.IpcWriteOptions(compression=codec, use_threads=False)
    with pa.ipc.new_stream(out, schema, options=options) as writer:
        writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
    data = memoryview(out.getvalue())
    return b"".join((data, xxhash.xxh3_128_digest(data)))


def unpack(data: bytes) -> tuple[dict[str, Any], dict[str, npt.NDArray[np.uint8]]]:
    """Return head and buffers of an object.

    Raises
    ------
    DamagedObjectError
        If the checksum is not that of the bytes, or they are no object.
    """
    body = memoryview(data)[:-_CHECKSUM_BYTES]
    if xxhash.xxh3_128_digest(body) != data[-_CHECKSUM_BYTES:]:
        raise DamagedObjectError("the checksum is another")
    try:
        # a task has one thread; waiting for those of Arrow takes longer than to decompress
        options = pa.ipc.IpcReadOptions(use_threads=False)
        with pa.ipc.open_stream(pa.py_buffer(body), options=options) as reader:
            head = json.loads(reader.schema.metadata[HEAD])
            batch = reader.read_next_batch()
    except (pa.ArrowInvalid, StopIteration, KeyError, TypeError, ValueError) as error:
        raise DamagedObjectError(str(error)) from error
    columns = zip(batch.schema.names, batch.columns, strict=True)
    return head, {name: _bytes_of(column) for name, column in columns}


def array_to_object(array: ak.Array, *, compressed: bool = True, **facts: Any) -> bytes:
    """Return `array` as an object; `facts` go into its head."""
    form, length, buffers = ak.to_buffers(ak.to_packed(array))
    head = {**facts, "form": form.to_json(), "length": length}
    return pack(head, buffers, compressed=compressed)


def array_from_object(data: bytes) -> ak.Array:
    """Return the array in an object; see `open_array`."""
    return open_array(data)[1]


def open_array(data: bytes) -> tuple[dict[str, Any], ak.Array]:
    """Return head and array in an object.

    Raises
    ------
    DamagedObjectError
        If there is none.
    """
    head, buffers = unpack(data)
    try:
        form = _form(head["form"])
        layout = _plain(form, head["length"], buffers)
        if layout is None:
            return head, ak.from_buffers(form, head["length"], buffers)
        return head, ak.Array(layout)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedObjectError(str(error)) from error


def state_to_object(state: Any, **facts: Any) -> bytes | None:
    """Return the state of a fold as an object: histograms by name, one number, or nothing.

    None if it is something else, which is not stored then.
    """
    if state is None:
        return pack({**facts, "state": "nothing"}, {})
    if isinstance(state, np.generic) and state.dtype.kind in "biufc":
        return pack({**facts, "state": "number", "dtype": state.dtype.str}, {"": np.asarray(state)})
    if not isinstance(state, dict):
        return None
    views = {name: np.ascontiguousarray(item.view(flow=True)) for name, item in state.items()}
    shapes = {name: [str(view.dtype), *view.shape] for name, view in views.items()}
    return pack({**facts, "state": "histograms", "shapes": shapes}, views)


def state_from_object(data: bytes, empty: Any) -> tuple[dict[str, Any], Any]:
    """Return head and state in an object; `empty` is a state of no rows, which is copied.

    Raises
    ------
    DamagedObjectError
        If there is none, or it is not one like `empty`.
    """
    head, buffers = unpack(data)
    match head.get("state"):
        case "nothing":
            return head, None
        case "number":
            return head, buffers[""].view(head["dtype"])[0]
        case "histograms" if isinstance(empty, dict) and list(empty) == list(buffers):
            state = {name: item.copy() for name, item in empty.items()}
            for name, item in state.items():
                view = item.view(flow=True)
                if head["shapes"][name] != [str(view.dtype), *view.shape]:
                    raise DamagedObjectError(f"histogram {name!r} has other bins")
                view[...] = buffers[name].view(view.dtype).reshape(view.shape)
            return head, state
        case _:
            raise DamagedObjectError("it holds another kind of state")


@lru_cache(maxsize=256)
def _form(text: str) -> Any:
    return ak.forms.from_json(text)


def _plain(form: Any, length: int, buffers: Buffers) -> Any:
    """Return the layout of records, lists and numbers, which most results are; else None.

    `ak.from_buffers` takes three times as long, mostly to find out what it was given.
    """
    kind = type(form)
    if kind is ak.forms.NumpyForm:
        values = buffers[f"{form.form_key}-data"].view(form.primitive)
        if form.inner_shape or len(values) < length:
            return None
        return ak.contents.NumpyArray(values[:length], parameters=form.parameters)
    if kind is ak.forms.ListOffsetForm and form.offsets == "i64":
        offsets = buffers[f"{form.form_key}-offsets"].view(np.int64)
        if len(offsets) != length + 1:
            return None
        content = _plain(form.content, int(offsets[-1]), buffers)
        if content is None:
            return None
        index = ak.index.Index64(offsets)
        return ak.contents.ListOffsetArray(index, content, parameters=form.parameters)
    if kind is ak.forms.RecordForm:
        contents = [_plain(item, length, buffers) for item in form.contents]
        if any(item is None for item in contents):
            return None
        fields = None if form.is_tuple else form.fields
        return ak.contents.RecordArray(contents, fields, length, parameters=form.parameters)
    return None


def _binary(values: npt.NDArray[Any]) -> pa.Array:
    """Return the bytes of `values` as one binary value, not copied."""
    plain = np.ascontiguousarray(values).reshape(-1).view(np.uint8)
    ends = pa.py_buffer(np.array([0, len(plain)], np.int64))
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(plain)])


def _bytes_of(column: pa.Array) -> npt.NDArray[np.uint8]:
    start, stop = np.frombuffer(column.buffers()[1], np.int64, count=2).tolist()
    content = column.buffers()[2]
    if content is None or start == stop:
        return np.empty(0, np.uint8)
    return np.frombuffer(content, np.uint8)[start:stop]
