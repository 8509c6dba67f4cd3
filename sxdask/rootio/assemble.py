"""Baskets of one column -> its output, in any order and from several threads.

One item an entry: each basket writes to its rows. Lists of an unbroken range
of rows: the headers tell how many items each basket has, so each basket
writes to its slot as well; the first and the last one may be cut and lie at
the inner end of theirs. Anything else is kept in parts and joined.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sxdask.rootio.basket import BasketError, Header, object_bytes, parse_header
from sxdask.rootio.decode import (
    ColumnValues,
    Selection,
    decode_flat,
    decode_lists,
    decode_whole_lists,
    empty_values,
    item_bytes,
    offsets_from,
    plain_counts,
)
from sxdask.rootio.nested import NestedOutput

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from sxdask.rootio.model import ColumnLayout, Int64Array


@dataclass(slots=True)
class BasketRead:
    """One basket to decode: its bytes, the wanted rows in it, their place in the output."""

    number: int
    data: memoryview
    entries: int
    rows: Selection
    out_start: int
    out_stop: int
    header: Header = field(init=False)

    def parse(self) -> None:
        """Read the header; raises `BasketError`."""
        self.header = parse_header(self.data, self.entries)

    def expand(self) -> npt.NDArray[np.uint8]:
        """Return the uncompressed object; raises `BlockError`."""
        return object_bytes(self.data, self.header)

    @property
    def whole(self) -> bool:
        """Whether all rows of the basket are wanted."""
        return self.out_stop - self.out_start == self.entries


class FlatOutput:
    """A column with one item an entry."""

    def __init__(self, layout: ColumnLayout, num_rows: int) -> None:
        self.strict = True
        self._layout = layout
        self._values = empty_values(layout, num_rows)

    def prepare(self, baskets: Sequence[BasketRead]) -> None:
        """Nothing to do: rows are places."""

    def add(self, basket: BasketRead, content: npt.NDArray[np.uint8]) -> None:
        """Decode the rows of one basket."""
        target = self._values[basket.out_start : basket.out_stop]
        decode_flat(content, basket.header, self._layout, basket.rows, target)

    def sound(self) -> bool:
        """Nothing is left to check: each basket has been."""
        return True

    def result(self) -> ColumnValues:
        """Return the column; all baskets have been added."""
        return ColumnValues(self._values)


class ListOutput:
    """A column of lists or strings; `strict` checks each basket by itself, which is slower."""

    def __init__(self, layout: ColumnLayout, num_rows: int) -> None:
        self.strict = False
        self._layout = layout
        self._byte_counts = np.empty(num_rows, np.int64)
        self._parts: dict[int, npt.NDArray[Any]] = {}
        self._slots: dict[int, tuple[int, int]] = {}
        self._values = empty_values(layout, 0)
        self._first = self._last = -1
        self._order: list[int] = []

    def prepare(self, baskets: Sequence[BasketRead]) -> None:
        """Give each basket its slot, if the headers tell how many items it has."""
        self._order = [basket.number for basket in baskets]
        inner_whole = all(basket.whole for basket in baskets[1:-1])
        unbroken = all(isinstance(basket.rows, slice) for basket in baskets)
        if self._layout.kind == "string" or not (inner_whole and unbroken and baskets):
            return
        size = item_bytes(self._layout)
        stop = 0
        for basket in baskets:
            body = basket.header.border - basket.entries * self._layout.header_bytes
            start, stop = stop, stop + max(body, 0) // size
            self._slots[basket.number] = (start, stop)
        self._first, self._last = self._order[0], self._order[-1]
        self._values = empty_values(self._layout, stop)

    def add(self, basket: BasketRead, content: npt.NDArray[np.uint8]) -> None:
        """Decode the rows of one basket; raises `BasketError` or `NotPlainError`."""
        byte_counts = self._byte_counts[basket.out_start : basket.out_stop]
        slot = self._slots.get(basket.number)
        if slot and basket.whole and not (self.strict or self._layout.header_bytes):
            target = self._values[slot[0] : slot[1]]
            decode_whole_lists(content, basket.header, self._layout, byte_counts, target)
            return
        counts, items = decode_lists(content, basket.header, self._layout, basket.rows)
        np.multiply(counts, item_bytes(self._layout), out=byte_counts)
        if slot is None:
            self._parts[basket.number] = items.astype(self._values.dtype)
            return
        start, stop = slot
        spare = stop - start - len(items)
        if spare < 0 or (spare and basket.number not in {self._first, self._last}):
            raise BasketError("its entry offsets leave out some values")
        if basket.number == self._last:
            stop -= spare
        else:
            start += spare
        self._values[start:stop] = items
        self._slots[basket.number] = (start, stop)

    def sound(self) -> bool:
        """Say whether the lengths of all lists make sense.

        If they do not, `strict` is to be set and all baskets added again: one
        of them raises.
        """
        if self.strict or not self._slots:
            return True
        items = sum(stop - start for start, stop in self._slots.values())
        size = item_bytes(self._layout)
        return plain_counts(self._byte_counts, items * size, size)

    def result(self) -> ColumnValues:
        """Return the column; all baskets have been added."""
        offsets = offsets_from(self._byte_counts)
        size = item_bytes(self._layout)
        if size & (size - 1):
            offsets //= size
        else:
            offsets >>= size.bit_length() - 1
        if not self._slots:
            parts = [self._parts[number] for number in self._order]
            return ColumnValues(np.concatenate([self._values, *parts]), offsets)
        start, stop = self._slots[self._first][0], self._slots[self._last][1]
        values = self._values[start:stop]
        # A short cut of large baskets must not keep all of them in memory.
        return ColumnValues(
            values.copy() if 2 * len(values) < len(self._values) else values, offsets
        )


def output_for(layout: ColumnLayout, num_rows: int) -> FlatOutput | ListOutput | NestedOutput:
    """Return the output that fits the column's encoding."""
    if layout.kind == "nested":
        return NestedOutput(layout)
    return (FlatOutput if layout.kind == "flat" else ListOutput)(layout, num_rows)


def local_rows(rows: Int64Array, first_entry: int) -> Selection:
    """Return the rows of a basket as positions in it: a slice where they are unbroken."""
    start, stop = int(rows[0]) - first_entry, int(rows[-1]) - first_entry + 1
    return slice(start, stop) if stop - start == len(rows) else rows - first_entry
