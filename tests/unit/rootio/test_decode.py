"""Decoded columns: rows taken from them, and their awkward form."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sxdask.rootio.basket import BasketError, Header, NotPlainError
from sxdask.rootio.decode import ColumnValues, decode_flat, decode_lists
from sxdask.rootio.model import ColumnLayout

FLOATS = ColumnLayout("x", "x", "jagged", "", ">f4", "float32")
VECTORS = ColumnLayout("x", "x", "jagged", "", ">f4", "float32", header_bytes=10)
TEXT = ColumnLayout("s", "s", "string", "")


def _content(entries: list[bytes]) -> tuple[np.ndarray, Header]:
    """Return a basket's object and header: the entries and their offsets."""
    key, body = 60, b"".join(entries)
    offsets = np.cumsum([0, *map(len, entries)]) + key
    tail = np.array([len(offsets), *offsets[:-1], 0], ">i4").tobytes()
    content = np.frombuffer(body + tail, np.uint8)
    return content, Header(key, len(content), len(body), len(entries))


def _floats(*values: float) -> bytes:
    return np.array(values, ">f4").tobytes()


@pytest.mark.parametrize("layout", [FLOATS, VECTORS], ids=["plain", "vector"])
def test_rows_of_lists_by_range_and_by_position_agree(layout: ColumnLayout) -> None:
    head = b"H" * layout.header_bytes
    lists = [[1.0, 2.0], [], [3.0], [4.0, 5.0, 6.0]]
    content, header = _content([head + _floats(*item) for item in lists])
    by_range = decode_lists(content, header, layout, slice(1, 4))
    by_position = decode_lists(content, header, layout, np.array([1, 2, 3]))
    for counts, items in (by_range, by_position):
        assert counts.tolist() == [0, 1, 3]
        assert items.tolist() == [3.0, 4.0, 5.0, 6.0]
    counts, items = decode_lists(content, header, layout, np.array([0, 3]))
    assert (counts.tolist(), items.tolist()) == ([2, 3], [1.0, 2.0, 4.0, 5.0, 6.0])


def test_strings_of_any_length_lose_their_length_prefix() -> None:
    long = b"y" * 300
    content, header = _content([b"\x02ab", b"\x00", b"\xff\x00\x00\x01\x2c" + long])
    counts, text = decode_lists(content, header, TEXT, slice(0, 3))
    assert counts.tolist() == [2, 0, 300]
    assert text.tobytes() == b"ab" + long


def test_a_string_without_its_length_is_an_error() -> None:
    content, header = _content([b"\x01a", b""])
    with pytest.raises(BasketError, match="no length"):
        decode_lists(content, header, TEXT, slice(0, 2))


def test_offsets_that_fall_are_an_error() -> None:
    content, header = _content([_floats(1, 2), _floats(3), _floats(4)])
    damaged = content.copy()
    damaged[header.border :].view(">i4")[2] = header.key_length + 16
    with pytest.raises(BasketError, match="before it begins"):
        decode_lists(damaged, header, FLOATS, slice(0, 3))


def test_an_entry_shorter_than_its_header_is_an_error() -> None:
    content, header = _content([b"H" * 10 + _floats(1), b"H" * 6])
    with pytest.raises(BasketError, match="before it begins"):
        decode_lists(content, header, VECTORS, slice(0, 2))


@pytest.mark.parametrize("size", [6, 5, 3])
def test_entries_that_are_no_whole_number_of_items_are_left_to_uproot(size: int) -> None:
    content, header = _content([b"a" * size, b"b" * (12 - size)])
    with pytest.raises(NotPlainError):
        decode_lists(content, header, FLOATS, slice(0, 2))


def test_flat_values_of_a_wrong_size_are_an_error() -> None:
    layout = ColumnLayout("x", "x", "flat", "", ">f4", "float32")
    with pytest.raises(BasketError, match="12 bytes of values for 4 entries"):
        decode_flat(np.zeros(12, np.uint8), Header(60, 12, 12, 4), layout, slice(0, 4), np.empty(4))


def test_taking_rows_is_what_awkward_does() -> None:
    column = ColumnValues(
        np.arange(12, dtype=np.float32).reshape(6, 2), np.array([0, 2, 2, 5, 6], np.int64)
    )
    layout = ColumnLayout("x", "x", "jagged", "", ">f4", "float32", (2,))
    rows = np.array([0, 2, 3])
    taken = column.take(rows).to_awkward(layout)
    assert ak.array_equal(taken, column.to_awkward(layout)[rows])
    assert len(column.take(rows[:0])) == 0


def test_inner_dimensions_of_no_entries_keep_their_sizes() -> None:
    layout = ColumnLayout("x", "x", "flat", "", ">f4", "float32", (3, 2))
    array = ColumnValues(np.empty((0, 3, 2), np.float32)).to_awkward(layout)
    assert str(array.type) == "0 * 3 * 2 * float32"
