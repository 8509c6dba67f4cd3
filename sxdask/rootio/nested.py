"""Lists of lists of numbers, or of records of numbers: ``std::vector<std::vector<T>>``.

An entry is the header of the outer vector (a byte count, a version, its
length), then each inner vector: its length and its items, without a header.
A record has its own headers and those of its base class before its numbers;
they are the same bytes in every item (`ColumnLayout.prefix`). Anything that
differs from this in one bit is left to uproot. Source: ``TBufferFile``'s
``WriteVersion`` and ``SetByteCount``, ``TGenCollectionStreamer`` of ROOT.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sxdask.rootio.basket import NotPlainError, entry_offsets
from sxdask.rootio.decode import offsets_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    import awkward as ak
    import numpy.typing as npt

    from sxdask.rootio.assemble import BasketRead
    from sxdask.rootio.basket import Header
    from sxdask.rootio.decode import Bytes, Selection
    from sxdask.rootio.model import ColumnLayout, Int64Array

_LENGTH = 4
_HEADER = 6  # byte count and version; the length follows
_START = _HEADER + _LENGTH
_COUNTED = 0x4000_0000  # kByteCountMask
_MEMBERWISE = 0x4000  # kStreamedMemberWise


class Nested(NamedTuple):
    """Rows of one basket: lengths of outer and inner lists, and each number of the items."""

    outer: Int64Array
    inner: Int64Array
    members: list[npt.NDArray[Any]]


def decode_nested(content: Bytes, header: Header, layout: ColumnLayout, rows: Selection) -> Nested:
    """Return `rows` of a basket, numbers in native byte order.

    Raises
    ------
    BasketError
        If the entry offsets are wrong.
    NotPlainError
        If an entry is encoded in any other way.
    """
    offsets = entry_offsets(content, header).astype(np.int64)
    if isinstance(rows, slice):
        starts, stops = offsets[rows.start : rows.stop], offsets[rows.start + 1 : rows.stop + 1]
    else:
        starts, stops = offsets[rows], offsets[rows + 1]
    values = content[: header.border]
    item = _item_dtype(layout)
    outer = _outer_lengths(values, starts, stops)
    inner, begins = _inner_lists(values, (starts, stops), outer, item.itemsize)
    items = _items(values, begins, inner, item)
    if layout.prefix:
        expected = np.frombuffer(bytes.fromhex(layout.prefix), np.uint8)
        if not (items["prefix"] == expected).all():
            raise NotPlainError
    names = [name for name in item.names or () if name != "prefix"]
    dtypes = layout.dtype.split(",")
    members = [items[name].astype(dtype) for name, dtype in zip(names, dtypes, strict=True)]
    return Nested(outer, inner, members)


def _item_dtype(layout: ColumnLayout) -> np.dtype[Any]:
    fields: list[Any] = [
        (f"m{number}", dtype) for number, dtype in enumerate(layout.file_dtype.split(","))
    ]
    if layout.prefix:
        fields.insert(0, ("prefix", np.uint8, (len(layout.prefix) // 2,)))
    return np.dtype(fields)


def _windows(values: Bytes, dtype: Any) -> npt.NDArray[Any]:
    """Return `values` as one item from each byte on; they overlap."""
    size = np.dtype(dtype).itemsize
    count = max(len(values) - size + 1, 0)
    return np.ndarray((count,), dtype, values, strides=(1,))


def _outer_lengths(values: Bytes, starts: Int64Array, stops: Int64Array) -> Int64Array:
    sizes = stops - starts
    if not len(sizes):
        return np.zeros(0, np.int64)
    if sizes.min() < _START:
        raise NotPlainError
    words = _windows(values, ">u4")
    counted = words[starts].astype(np.int64) == (sizes - _LENGTH) | _COUNTED
    versions = _windows(values, ">u2")[starts + _LENGTH]
    lengths = words[starts + _HEADER].astype(np.int64)
    if not counted.all() or (versions & _MEMBERWISE).any():
        raise NotPlainError
    if (lengths * _LENGTH > sizes - _START).any():
        raise NotPlainError
    return lengths


def _inner_lists(
    values: Bytes, spans: tuple[Int64Array, Int64Array], outer: Int64Array, size: int
) -> tuple[Int64Array, Int64Array]:
    """Return the lengths of all inner lists, and where their items begin.

    Where a list begins is known when the one before it is: the first lists of
    all entries are looked at together, then the second ones, and so on.
    """
    first = offsets_from(outer)
    inner, begins = (np.empty(first[-1], np.int64) for _ in range(2))
    order = np.argsort(-outer, kind="stable")
    places, stops, lengths = first[:-1][order], spans[1][order], outer[order]
    cursors = spans[0][order] + _START
    words = _windows(values, ">u4")
    remaining = np.searchsorted(-lengths, -np.arange(lengths[0] if len(lengths) else 0))
    for number, active in enumerate(remaining.tolist()):
        at, stop = cursors[:active], stops[:active]
        if (at + _LENGTH > stop).any():
            raise NotPlainError
        found = words[at].astype(np.int64)
        at += _LENGTH
        places_now = places[:active] + number
        inner[places_now], begins[places_now] = found, at
        at += found * size
        if (at > stop).any():
            raise NotPlainError
    if (cursors != stops).any():
        raise NotPlainError
    return inner, begins


def _items(
    values: Bytes, begins: Int64Array, counts: Int64Array, item: np.dtype[Any]
) -> npt.NDArray[Any]:
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    if not total:
        return np.empty(0, item)
    at = np.arange(total, dtype=np.int64) * item.itemsize
    at += np.repeat(begins - (ends - counts) * item.itemsize, counts)
    return _windows(values, f"V{item.itemsize}")[at].view(item)


class NestedOutput:
    """A column of lists of lists, basket by basket; `result` is the array that uproot gives."""

    def __init__(self, layout: ColumnLayout) -> None:
        self.strict = True
        self._layout = layout
        self._parts: dict[int, Nested] = {}
        self._order: list[int] = []

    def prepare(self, baskets: Sequence[BasketRead]) -> None:
        """Remember the order of the baskets."""
        self._order = [basket.number for basket in baskets]

    def add(self, basket: BasketRead, content: npt.NDArray[np.uint8]) -> None:
        """Decode the rows of one basket; raises `BasketError` or `NotPlainError`."""
        self._parts[basket.number] = decode_nested(
            content, basket.header, self._layout, basket.rows
        )

    def sound(self) -> bool:
        """Nothing is left to check: each basket has been."""
        return True

    def result(self) -> ak.Array:
        """Return the column; all baskets have been added."""
        import awkward as ak

        parts = [self._parts[number] for number in self._order]
        dtypes = self._layout.dtype.split(",")
        members = [
            np.concatenate([np.empty(0, dtype), *(part.members[number] for part in parts)])
            for number, dtype in enumerate(dtypes)
        ]
        leaves = [ak.contents.NumpyArray(member) for member in members]
        form = json.loads(self._layout.form)["content"]["content"]
        content: Any = leaves[0]
        if isinstance(form, dict) and form["class"] == "RecordArray":
            content = ak.contents.RecordArray(
                leaves, form["fields"], parameters=form.get("parameters")
            )
        none = np.empty(0, np.int64)
        for lengths in ([part.inner for part in parts], [part.outer for part in parts]):
            offsets = ak.index.Index64(offsets_from(np.concatenate([none, *lengths])))
            content = ak.contents.ListOffsetArray(offsets, content)
        return ak.Array(content)
