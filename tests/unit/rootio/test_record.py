"""The record of a TTree: its numbers, and bytes that are not one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from sxdask.rootio.record import NotUsualError, read_record
from sxdask.testing import write_nanoaod

if TYPE_CHECKING:
    from pathlib import Path


class Record(NamedTuple):
    """The bytes of a tree's record and the length of its key."""

    data: bytes
    key_length: int


def record_of(path: Path, tree: str) -> Record:
    """Return the record of a tree as it lies in its file."""
    with uproot.open(path) as file:
        chunk, cursor = file.key(tree).get_uncompressed_chunk_cursor()
        return Record(chunk.raw_data.tobytes(), -cursor.origin)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Record:
    """Return the record of a tree with numbers, lists and text."""
    path = tmp_path_factory.mktemp("record") / "small.root"
    with uproot.recreate(path) as file:
        tree = file.mktree("t", {"x": "float32", "v": "var * int64", "s": "string"})
        for _ in range(3):
            tree.extend({"x": np.zeros(4, np.float32), "v": [[1], [], [2, 3], []], "s": ["a"] * 4})
    return record_of(path, "t")


def test_numbers_are_those_of_uproot(nanoaod: Path):
    found = read_record(*record_of(nanoaod, "Events"))
    with uproot.open({nanoaod: "Events"}) as tree:
        assert found.num_entries == tree.num_entries
        assert len(found.compressed) == len(tree.branches)
        for place, branch in enumerate(tree.branches):
            begin, end = found.baskets_at[place : place + 2].tolist()
            count = branch.num_baskets
            assert end - begin == count
            assert found.seek[begin:end].tolist() == branch.member("fBasketSeek")[:count].tolist()
            sizes = [branch.basket_compressed_bytes(number) for number in range(count)]
            assert found.num_bytes[begin:end].tolist() == sizes
            assert found.starts[found.starts_of[place]].tolist() == branch.entry_offsets
            assert found.compressed[place] == branch.compressed_bytes
            assert found.uncompressed[place] == branch.uncompressed_bytes
            assert found.compression[place] == branch.member("fCompress")
    assert not found.has_classes


def test_the_digest_is_of_the_description_alone(tmp_path: Path, nanoaod: Path):
    other = write_nanoaod(tmp_path / "other.root", 70)
    ours, theirs = (read_record(*record_of(path, "Events")) for path in (nanoaod, other))
    assert ours.digest == theirs.digest
    assert ours.num_entries != theirs.num_entries


def test_branches_that_share_edges_share_their_starts(small: Record):
    found = read_record(*small)
    assert [edges.tolist() for edges in found.starts] == [[0, 4, 8, 12]]
    assert set(found.starts_of) == {0}


def test_a_record_that_ends_early_is_not_usual(small: Record):
    read_record(*small)
    for size in range(0, len(small.data) * 3 // 4, 7):  # behind the branches nothing is read
        with pytest.raises(NotUsualError):
            read_record(small.data[:size], small.key_length)


def test_another_version_or_class_is_not_usual(small: Record):
    newer = small.data[:4] + b"\x00\x63" + small.data[6:]
    with pytest.raises(NotUsualError, match="version 99"):
        read_record(newer, small.key_length)
    with pytest.raises(NotUsualError, match="a branch that is a b'TUnknow'"):
        read_record(small.data.replace(b"TBranch\0", b"TUnknow\0", 1), small.key_length)
    with pytest.raises(NotUsualError, match="a leaf that is a b'TLeafX'"):
        read_record(small.data.replace(b"TLeafF\0", b"TLeafX\0", 1), small.key_length)


def test_references_count_from_the_key(small: Record):
    with pytest.raises(NotUsualError):
        read_record(small.data, small.key_length + 1)


@given(st.data())
def test_damaged_bytes_raise_nothing_else(small: Record, data: st.DataObject):
    damaged = bytearray(small.data)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(damaged) - 1))
        damaged[place] = data.draw(st.integers(0, 255))
    try:
        found = read_record(bytes(damaged), small.key_length)
    except NotUsualError:
        return
    count = len(found.compressed)
    assert len(found.baskets_at) == count + 1
    assert found.baskets_at[-1] == len(found.seek) == len(found.num_bytes)
    for place, number in enumerate(found.starts_of):
        baskets = int(found.baskets_at[place + 1] - found.baskets_at[place])
        edges = found.starts[number]
        assert len(edges) == baskets + 1
        assert edges[-1] == (found.num_entries if baskets else 0)
