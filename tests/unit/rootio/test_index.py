"""The file index: what it says of baskets, how it cuts them, how it goes to disk and back."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import uproot

from sxdask.rootio.build import build_index
from sxdask.rootio.index import (
    FORMAT_VERSION,
    FileIndex,
    compression_name,
    index_from_bytes,
    index_to_bytes,
    open_index,
)

NAMES = ("nMuon", "Muon_pt", "MET_pt", "event")


@pytest.fixture(scope="module")
def index(nanoaod: Path) -> FileIndex:
    return build_index(str(nanoaod), "Events")


@pytest.fixture(scope="module")
def tree(nanoaod: Path):
    with uproot.open(nanoaod) as file:
        yield file["Events"]


def num_descriptors() -> int:
    """Return how many file descriptors this process has open (0 where Linux does not tell)."""
    table = Path("/proc/self/fd")
    return len(list(table.iterdir())) if table.is_dir() else 0


def overlapping(starts: list[int], start: int, stop: int) -> list[int]:
    """Return the baskets that have an entry of the range: the obvious way."""
    return [
        number
        for number, (first, last) in enumerate(pairwise(starts))
        if first < stop and start < last
    ]


def test_baskets_are_those_that_uproot_reads(index: FileIndex, tree):
    assert set(index.layout.names) == set(tree.keys(recursive=True, full_paths=False))
    for name in index.layout.names:
        found, branch = index.column(name), tree[name]
        assert found.entry_starts.tolist() == branch.entry_offsets
        for number, (seek, size) in enumerate(zip(found.seek, found.num_bytes, strict=True)):
            chunk, cursor = branch.basket_chunk_cursor(number)
            assert (seek, seek + size) == (cursor.index, chunk.stop)
        assert index.compressed_bytes([name]) == [branch.compressed_bytes]
        assert index.uncompressed_bytes([name]) == [branch.uncompressed_bytes]
        assert index.num_baskets(name) == branch.num_baskets
    assert index.total_bytes == sum(branch.compressed_bytes for branch in tree.values())


def test_clusters_are_the_common_basket_edges(index: FileIndex, tree):
    assert index.cluster_starts.tolist() == tree.common_entry_offsets()
    assert index.cluster_starts.tolist() == [0, 4_000, 8_000, 12_000, 16_000, 20_000]
    assert index.num_entries == 20_000


@pytest.mark.parametrize(
    ("start", "stop"),
    [(0, 20_000), (0, 1), (3_999, 4_001), (4_000, 8_000), (4_000, 8_001), (19_999, 20_000)],
)
def test_a_piece_has_the_baskets_that_overlap_its_range(
    index: FileIndex, tree, start: int, stop: int
):
    piece = index.piece(7, start, stop, NAMES, layout=2)
    assert (piece.index, piece.layout, piece.num_entries) == (7, 2, stop - start)
    assert (piece.url, piece.tree, piece.kind) == (index.url, "Events", "ttree")
    assert list(piece.baskets) == list(NAMES)
    for name, rows in piece.baskets.items():
        branch = tree[name]
        wanted = overlapping(branch.entry_offsets, start, stop)
        assert rows.seek.tolist() == [branch.member("fBasketSeek")[item] for item in wanted]
        assert rows.num_bytes.tolist() == [branch.member("fBasketBytes")[item] for item in wanted]
        edges = branch.entry_offsets[wanted[0] : wanted[-1] + 2]
        assert rows.entry_starts.tolist() == edges
    inside = [edge for edge in index.cluster_starts.tolist() if start < edge < stop]
    assert piece.cluster_starts.tolist() == [start, *inside, stop]


def test_an_empty_range_needs_no_baskets(index: FileIndex):
    piece = index.piece(0, 5, 5, NAMES)
    assert piece.num_entries == 0
    assert all(rows.seek.size == 0 for rows in piece.baskets.values())
    assert piece.cluster_starts.tolist() == [5]


def test_a_piece_owns_its_arrays_and_shares_equal_edges(index: FileIndex):
    piece = index.piece(0, 0, 4_000, NAMES)
    edges = {id(rows.entry_starts) for rows in piece.baskets.values()}
    assert len(edges) == 1  # pickled once
    for rows in piece.baskets.values():
        for values in (rows.seek, rows.num_bytes, rows.entry_starts):
            assert values.base is None
            assert values.dtype == np.int64


def test_branches_share_their_entry_starts(index: FileIndex):
    assert len(index.table.starts_of) == len(index.layout.names)
    assert len(index.table.starts_at) - 1 == 1
    assert index.table.starts.tolist() == index.cluster_starts.tolist()


def test_an_index_goes_to_bytes_and_back(index: FileIndex, tmp_path: Path):
    path = tmp_path / "i.arrow"
    path.write_bytes(index_to_bytes(index))
    again = open_index(path)
    assert again.layout is index.layout
    for name in ("url", "tree", "kind", "stamp", "num_entries", "compression", "total_bytes"):
        assert getattr(again, name) == getattr(index, name)
    assert again.index_bytes == path.stat().st_size
    for name in index.layout.names:
        old, new = index.column(name), again.column(name)
        for part in ("seek", "num_bytes", "entry_starts"):
            np.testing.assert_array_equal(getattr(old, part), getattr(new, part))


def test_an_open_index_holds_no_descriptor_and_copies_nothing(index: FileIndex, tmp_path: Path):
    path = tmp_path / "i.arrow"
    path.write_bytes(index_to_bytes(index))
    before = num_descriptors()
    held = [open_index(path) for _ in range(50)]
    assert num_descriptors() == before
    assert all(not item.table.seek.flags.owndata for item in held)
    path.unlink()
    assert held[0].column("event").seek.tolist() == index.column("event").seek.tolist()


def test_size_grows_with_baskets_and_not_with_shared_edges(
    index: FileIndex, make_nanoaod, tmp_path: Path
):
    many = build_index(str(make_nanoaod(20_000, entries_per_cluster=200)), "Events")
    added = 95 * len(index.layout.names)  # baskets
    growth = many.index_bytes - index.index_bytes
    assert growth <= 12 * added + 8 * 95 + 1024  # 8 bytes for the place, 4 for the size


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.9999])
def test_a_file_cut_short_is_no_index(index: FileIndex, tmp_path: Path, share: float):
    data = index_to_bytes(index)
    path = tmp_path / "i.arrow"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(ValueError, match=r".+"):
        open_index(path)


def test_columns_know_the_branch_that_counts_their_items(index: FileIndex, tree, tmp_path: Path):
    (tmp_path / "index").write_bytes(index_to_bytes(index))
    for known in (index, open_index(tmp_path / "index")):
        for field in known.layout.schema.fields:
            counter = tree[field.name].count_branch
            assert field.counter == ("" if counter is None else counter.name)
    assert index.layout.schema["Muon_pt"].counter == "nMuon"


def test_another_version_is_no_index(index: FileIndex):
    data = index_to_bytes(index)
    with pytest.raises(ValueError, match="version"):
        index_from_bytes(data.replace(f'"version": {FORMAT_VERSION}'.encode(), b'"version": 0'))


def test_damaged_bytes_are_refused_or_harmless(index: FileIndex):
    data = index_to_bytes(index)
    pick = random.Random(0)  # noqa: S311
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(4):
            damaged[pick.randrange(len(data))] ^= 1 << pick.randrange(8)
        try:
            found = index_from_bytes(bytes(damaged))
        except (ValueError, OSError):
            continue
        assert len(found.table.compressed) == len(found.layout.names)


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (0, ("none", 0)),
        (1, ("ZLIB", 1)),
        (101, ("ZLIB", 1)),
        (207, ("LZMA", 7)),
        (404, ("LZ4", 4)),
        (505, ("ZSTD", 5)),
        (500, ("none", 0)),
    ],
)
def test_compression_codes_are_roots(code: int, name: tuple[str, int]):
    assert compression_name(code) == name


@pytest.mark.parametrize("compression", ["zstd", "lz4", "zlib", "lzma", "none"])
def test_compression_of_a_branch_is_named(make_nanoaod, compression: str):
    index = build_index(str(make_nanoaod(500, compression=compression)), "Events")
    expected = "none" if compression == "none" else compression.upper()
    assert index.compression_of("Muon_pt")[0] == expected
    assert index.compression[0] == expected
