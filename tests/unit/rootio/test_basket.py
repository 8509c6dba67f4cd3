"""Basket headers and offsets: every length is checked before it is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

from sxdask.rootio.basket import (
    BasketError,
    NotPlainError,
    entry_offsets,
    object_bytes,
    parse_header,
)
from tests.pieces import describe

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def basket(tmp_path: Path) -> bytes:
    """Return the only basket of a branch of four lists: [], [1.1, 2.2], [3.3], []."""
    path = tmp_path / "lists.root"
    with uproot.recreate(path, compression=None) as file:
        file.mktree("t", {"x": "var * float64"}).extend(
            {"x": ak.Array([[], [1.1, 2.2], [3.3], []])}
        )
    found = describe(path, "t").baskets["x"]
    start = int(found.seek[0])
    return path.read_bytes()[start : start + int(found.num_bytes[0])]


def test_header_and_offsets_are_those_of_the_lists(basket: bytes) -> None:
    header = parse_header(memoryview(basket), 4)
    content = object_bytes(memoryview(basket), header)
    assert header.entries == 4
    assert entry_offsets(content, header).tolist() == [0, 0, 16, 24, 24]
    assert content[: header.border].view(">f8").tolist() == [1.1, 2.2, 3.3]


@pytest.mark.parametrize("entries", [0, 3, 5])
def test_a_number_of_entries_other_than_the_index_says_is_an_error(
    basket: bytes, entries: int
) -> None:
    with pytest.raises(BasketError, match="4 entries"):
        parse_header(memoryview(basket), entries)


def test_a_shorter_buffer_is_an_error(basket: bytes) -> None:
    for stop in range(len(basket)):
        with pytest.raises(BasketError):
            parse_header(memoryview(basket)[:stop], 4)


def test_a_flip_in_the_header_is_an_error_or_is_not_used(basket: bytes) -> None:
    length = parse_header(memoryview(basket), 4).key_length
    expected = [0, 0, 16, 24, 24]
    for place in range(length):
        for bit in range(8):
            damaged = bytearray(basket)
            damaged[place] ^= 1 << bit
            try:
                header = parse_header(memoryview(damaged), 4)
                offsets = entry_offsets(object_bytes(memoryview(damaged), header), header)
            except (ValueError, NotPlainError):
                continue
            assert offsets.tolist() == expected, (place, bit)


def test_offsets_that_leave_the_values_are_an_error(basket: bytes) -> None:
    header = parse_header(memoryview(basket), 4)
    content = object_bytes(memoryview(basket), header).copy()
    tail = content[header.border :].view(">i4")
    tail[2] = header.key_length + header.border + 8
    with pytest.raises(BasketError, match="leave"):
        entry_offsets(content, header)
    tail[2] = 0
    with pytest.raises(BasketError, match="leave"):
        entry_offsets(content, header)


def test_lists_without_offsets_are_left_to_uproot(basket: bytes) -> None:
    header = parse_header(memoryview(basket), 4)
    content = object_bytes(memoryview(basket), header)
    with pytest.raises(NotPlainError):
        entry_offsets(content[: header.border], header._replace(object_length=header.border))


def test_offsets_of_no_entries_are_none() -> None:
    from sxdask.rootio.basket import Header

    header = Header(60, 8, 0, 0)
    assert entry_offsets(np.array([0, 0, 0, 1, 0, 0, 0, 60], np.uint8), header).tolist() == [0]
