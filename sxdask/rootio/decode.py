"""Values of baskets -> one column in native byte order.

A column is decoded basket by basket while the bytes are in the processor's
cache, straight into the output where its place is known beforehand: always
for one item an entry, and for lists if the rows are an unbroken range.
Otherwise the surviving rows of each basket are gathered and joined at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd, prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sxdask.rootio.basket import (
    BasketError,
    Header,
    NotPlainError,
    entry_offsets,
    stored_offsets,
)

if TYPE_CHECKING:
    import awkward as ak

    from sxdask.rootio.model import ColumnLayout, Int64Array

Bytes: TypeAlias = npt.NDArray[np.uint8]
Selection: TypeAlias = "slice | Int64Array"
"""Rows of one basket: an unbroken range, or rising positions in it."""

_LONG_STRING = 255  # TString: a length byte, or 255 and the length in four bytes


@dataclass(frozen=True, slots=True)
class ColumnValues:
    """A decoded column: `values`, shape ``(n_items, *inner_shape)``, native byte order.

    `offsets`, shape ``(n_rows + 1,)``, starts at 0; None if every row has
    exactly one item.
    """

    values: npt.NDArray[Any]
    offsets: Int64Array | None = None

    def __len__(self) -> int:
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    def take(self, rows: Int64Array) -> ColumnValues:
        """Return the column with only `rows`, positions in rising order."""
        if self.offsets is None:
            return ColumnValues(self.values[rows])
        starts = self.offsets[:-1][rows]
        counts = self.offsets[1:][rows] - starts
        return ColumnValues(self.values[_positions(starts, counts)], offsets_from(counts))

    def to_awkward(self, layout: ColumnLayout) -> ak.Array:
        """Return the column as the array that uproot would give."""
        import awkward as ak

        if layout.kind == "string":
            content = ak.contents.NumpyArray(self.values, parameters={"__array__": "char"})
            parameters = {"__array__": "string"}
        else:
            parameters = None
            content = ak.contents.NumpyArray(self.values.reshape(-1))
            # The length matters only where a dimension is 0 and cannot tell it.
            for axis in range(len(layout.inner_shape) - 1, -1, -1):
                length = prod(self.values.shape[: axis + 1])
                content = ak.contents.RegularArray(content, layout.inner_shape[axis], length)
        if self.offsets is not None:
            index = ak.index.Index64(self.offsets)
            content = ak.contents.ListOffsetArray(index, content, parameters=parameters)
        return ak.Array(content)


def offsets_from(counts: npt.NDArray[Any]) -> Int64Array:
    """Return the offsets of lists of the given lengths, from 0 on, shape ``(n_lists + 1,)``."""
    offsets = np.empty(len(counts) + 1, np.int64)
    offsets[0] = 0
    np.cumsum(counts, out=offsets[1:])
    return offsets


def _positions(starts: npt.NDArray[Any], counts: npt.NDArray[Any]) -> Int64Array:
    """Return the positions of all items of lists that begin at `starts`."""
    ends = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    out = np.arange(total, dtype=np.int64)
    out += np.repeat(starts - (ends - counts), counts)
    return out


def empty_values(layout: ColumnLayout, items: int) -> npt.NDArray[Any]:
    """Return room for `items` items of the column, not filled."""
    dtype = "uint8" if layout.kind == "string" else layout.dtype
    return np.empty((items, *layout.inner_shape), dtype)


def item_bytes(layout: ColumnLayout) -> int:
    """Return the size of one item in the file."""
    if layout.kind == "string":
        return 1
    return np.dtype(layout.file_dtype).itemsize * prod(layout.inner_shape)


def decode_flat(
    content: Bytes, header: Header, layout: ColumnLayout, rows: Selection, out: npt.NDArray[Any]
) -> None:
    """Write `rows` of a basket with one item an entry to `out`, shape ``(n_rows, ...)``.

    Raises
    ------
    BasketError
        If the basket's size does not fit its number of entries.
    """
    if header.border != header.entries * item_bytes(layout):
        raise BasketError(f"{header.border} bytes of values for {header.entries} entries")
    out[...] = _items(content[: header.border], layout)[rows]


def decode_lists(
    content: Bytes, header: Header, layout: ColumnLayout, rows: Selection
) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
    """Return the list lengths and the items (file byte order) of `rows` of a basket.

    Raises
    ------
    BasketError
        If offsets and sizes do not fit together.
    NotPlainError
        If there are no entry offsets, or entries that are no whole number of items.
    """
    offsets = entry_offsets(content, header)
    if isinstance(rows, slice):
        starts, stops = offsets[rows.start : rows.stop], offsets[rows.start + 1 : rows.stop + 1]
    else:
        starts, stops = offsets[rows], offsets[rows + 1]
    values = content[: header.border]
    if layout.kind == "string":
        starts = _text_starts(values, starts + np.int32(layout.header_bytes), stops)
    elif layout.header_bytes:
        starts = starts + np.int32(layout.header_bytes)
    counts = stops - starts
    if len(counts) and counts.min() < 0:
        raise BasketError("an entry ends before it begins")
    size = item_bytes(layout)
    gapless = isinstance(rows, slice) and layout.kind == "jagged" and not layout.header_bytes
    if gapless:
        chosen = values[starts[0] : stops[-1]]
    else:
        chosen = _gather(values, starts, counts, gcd(size, layout.header_bytes, 8))
    return _item_counts(counts, size), _items(chosen, layout)


def decode_whole_lists(
    content: Bytes,
    header: Header,
    layout: ColumnLayout,
    byte_counts: Int64Array,
    values: npt.NDArray[Any],
) -> None:
    """Write list lengths (in bytes) and items of a whole basket without entry headers.

    What small baskets cost is the number of calls, so the lengths are not
    looked at here: `plain_counts` does it for all baskets of a column.

    Raises
    ------
    BasketError, NotPlainError
        As `decode_lists`.
    """
    offsets = stored_offsets(content, header)
    if header.border % item_bytes(layout):
        raise NotPlainError
    np.subtract(offsets[1:-1], offsets[:-2], out=byte_counts[:-1])
    byte_counts[-1] = header.border + header.key_length - int(offsets[-2])
    values[...] = _items(content[: header.border], layout)


def plain_counts(byte_counts: Int64Array, total: int, size: int) -> bool:
    """Say whether list lengths in bytes are whole items of `size` and make up `total` bytes."""
    if not len(byte_counts):
        return total == 0
    if byte_counts.min() < 0 or int(byte_counts.sum()) != total:
        return False
    if size & (size - 1):
        return not (byte_counts % size).any()
    return not int(np.bitwise_or.reduce(byte_counts)) & (size - 1)


def _item_counts(counts: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.int32]:
    """Return how many items of `size` bytes `counts` bytes are; a shift beats a division."""
    if size & (size - 1):
        if (counts % size).any():
            raise NotPlainError
        return counts // np.int32(size)
    if len(counts) and int(np.bitwise_or.reduce(counts)) & (size - 1):
        raise NotPlainError
    return counts >> np.int32(size.bit_length() - 1)


def _items(content: Bytes, layout: ColumnLayout) -> npt.NDArray[Any]:
    if layout.kind == "string":
        return content
    if len(content) % item_bytes(layout):
        raise NotPlainError
    return content.view(layout.file_dtype).reshape(-1, *layout.inner_shape)


def _text_starts(
    content: Bytes, starts: npt.NDArray[np.int32], stops: npt.NDArray[np.int32]
) -> npt.NDArray[np.int32]:
    """Return where the text of strings begins, after their length."""
    if len(starts) and (starts >= stops).any():
        raise BasketError("a string has no length")
    return starts + np.where(content[starts] == _LONG_STRING, np.int32(5), np.int32(1))


def _gather(
    content: Bytes, starts: npt.NDArray[np.int32], counts: npt.NDArray[np.int32], unit: int
) -> Bytes:
    """Return the bytes of all ranges, joined; they move in words of `unit` bytes."""
    if unit > 1 and not (len(content) % unit or (starts % unit).any() or (counts % unit).any()):
        words = content.view(f"u{unit}")
        return words[_positions(starts // unit, counts // unit)].view(np.uint8)
    return content[_positions(starts, counts)]
