"""Building an index: which tree, how branches are decoded, files that are not what they seem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from sxdask.core.errors import (
    FileMissingError,
    NotRootFileError,
    SxdaskError,
    TruncatedFileError,
    UnknownTreeError,
)
from sxdask.rootio.branches import BranchRow
from sxdask.rootio.build import build_index, cluster_edges
from sxdask.rootio.layout import BranchFacts
from sxdask.rootio.model import ColumnLayout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import RangeServer


def row(starts: list[int], size: int = 1000) -> BranchRow:
    """Return a branch whose baskets begin at `starts` and hold `size` bytes in all."""
    facts = BranchFacts("x", "x", "float", "", ColumnLayout("x", "x", "flat", '"float32"'))
    seek = np.zeros(len(starts) - 1, np.int64)
    return BranchRow(facts, 0, seek, seek, np.array(starts, np.int64), size, size, 0)


@pytest.fixture
def several(tmp_path: Path) -> Path:
    """Return a file with trees in folders, two cycles, a histogram and an empty tree."""
    path = tmp_path / "several.root"
    with uproot.recreate(path) as file:
        file.mktree("deep/er/first", {"x": "int32"}).extend({"x": np.arange(3, dtype=np.int32)})
        file["second"] = {"y": np.arange(5.0)}
        file["second"] = {"y": np.arange(7.0), "z": np.arange(7)}
        file["hist"] = np.histogram([1.0, 2.0])
        file.mktree("empty", {"v": "var * float32", "w": "3 * int64"})
    return path


def test_edges_that_all_share_are_the_clusters():
    rows = [row([0, 10, 20, 25]), row([0, 5, 10, 15, 20, 25]), row([0, 10, 20, 25])]
    assert cluster_edges(rows, 25).tolist() == [0, 10, 20, 25]


def test_a_small_branch_of_its_own_does_not_spoil_the_clusters():
    rows = [row([0, 10, 20, 25], 100_000), row([0, 25], 10)]
    assert cluster_edges(rows, 25).tolist() == [0, 10, 20, 25]


def test_without_common_edges_the_partition_of_most_bytes_is_taken():
    rows = [row([0, 10, 20, 25], 500), row([0, 7, 25], 400), row([0, 10, 20, 25], 50)]
    assert cluster_edges(rows, 25).tolist() == [0, 10, 20, 25]


def test_a_tree_without_baskets_or_entries_has_the_least_clusters():
    assert cluster_edges([row([0])], 25).tolist() == [0, 25]
    assert cluster_edges([row([0])], 0).tolist() == [0]
    assert cluster_edges([], 3).tolist() == [0, 3]


def test_a_tree_is_found_in_folders_and_by_its_newest_cycle(several: Path):
    assert build_index(str(several), "deep/er/first").num_entries == 3
    assert build_index(str(several), "/deep/er/first").tree == "deep/er/first"
    newest = build_index(str(several), "second")
    assert (newest.num_entries, newest.layout.names) == (7, ("y", "z"))
    assert build_index(str(several), "second;1").num_entries == 5


def test_a_tree_in_a_folder_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    reads: list[str] = []
    read = uproot.reading.ReadOnlyKey.get_uncompressed_chunk_cursor

    def counted(key: Any) -> Any:
        reads.append(key.fName)
        return read(key)

    path = tmp_path / "deep.root"
    with uproot.recreate(path) as file:
        file.mktree("deep/t", {"x": "float32"}).extend({"x": np.zeros(5, np.float32)})
    monkeypatch.setattr(uproot.reading.ReadOnlyKey, "get_uncompressed_chunk_cursor", counted)
    build_index(str(path), "deep/t")
    assert reads.count("t") == 1


def test_trees_that_are_not_there_are_answered_with_those_that_are(several: Path):
    with pytest.raises(UnknownTreeError, match="no tree 'third'") as caught:
        build_index(str(several), "third")
    assert "'second'" in str(caught.value)
    assert "'deep/er/first'" in str(caught.value)
    with pytest.raises(UnknownTreeError, match="more than one tree"):
        build_index(str(several))
    with pytest.raises(UnknownTreeError, match=r"'hist' in file .* is a TH1D, not a tree"):
        build_index(str(several), "hist")
    with pytest.raises(UnknownTreeError, match=r"'deep' in file .* is a TDirectory, not a tree"):
        build_index(str(several), "deep")


def test_without_a_name_the_only_or_the_usual_tree_is_meant(tmp_path: Path):
    one, usual = tmp_path / "one.root", tmp_path / "usual.root"
    with uproot.recreate(one) as file:
        file["odd"] = {"x": np.arange(2)}
        file["hist"] = np.histogram([1.0])
    with uproot.recreate(usual) as file:
        for name in ("Runs", "tree", "Events"):
            file[name] = {"x": np.arange(2)}
    assert build_index(str(one)).tree == "odd"
    assert build_index(str(usual)).tree == "Events"


def test_an_empty_tree_keeps_its_columns(several: Path):
    index = build_index(str(several), "empty")
    assert index.cluster_starts.tolist() == [0]
    assert {name: item.kind for name, item in index.layout.columns.items()} == {
        "nv": "flat",
        "v": "jagged",
        "w": "flat",
    }
    assert index.piece(0, 0, 0, index.layout.names).num_entries == 0


def test_encodings_of_what_uproot_writes(tmp_path: Path):
    path = tmp_path / "kinds.root"
    with uproot.recreate(path) as file:
        arrays = {
            "flag": np.array([True, False]),
            "small": np.array([1, 2], np.int8),
            "wide": np.array([1, 2], np.uint64),
            "matrix": np.zeros((2, 3, 4), np.float32),
            "list": ak.Array([[1.0], []]),
            "text": ak.Array(["a", "bb"]),
        }
        file.mktree("tree", {name: ak.type(item).content for name, item in arrays.items()})
        file["tree"].extend(arrays)
    columns = build_index(str(path)).layout.columns
    found = {
        name: (item.kind, item.file_dtype, item.dtype, item.inner_shape, item.header_bytes)
        for name, item in columns.items()
    }
    assert found == {
        "flag": ("flat", "|b1", "bool", (), 0),
        "small": ("flat", "|i1", "int8", (), 0),
        "wide": ("flat", ">u8", "uint64", (), 0),
        "matrix": ("flat", ">f4", "float32", (3, 4), 0),
        "nlist": ("flat", ">i4", "int32", (), 0),
        "list": ("jagged", ">f8", "float64", (), 0),
        "text": ("string", "", "", (), 0),
    }


def test_fields_of_an_rntuple_go_through_uproot(several: Path):
    index = build_index(str(several), "second")
    assert (index.kind, index.cluster_starts.tolist()) == ("rntuple", [0, 7])
    assert {item.kind for item in index.layout.columns.values()} == {"uproot"}
    assert index.piece(0, 0, 7, ("y", "z")).baskets == {}
    assert index.compressed_bytes(["y", "z"]).min() > 0
    assert index.total_bytes == index.compressed_bytes(["y", "z"]).sum()


@pytest.mark.parametrize("share", [0.2, 0.6, 0.99])
def test_a_file_cut_short_is_refused(nanoaod: Path, tmp_path: Path, share: float):
    data = nanoaod.read_bytes()
    path = tmp_path / "cut.root"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(TruncatedFileError, match=f"has {int(len(data) * share)} bytes"):
        build_index(str(path), "Events")


def test_a_damaged_tree_is_refused_in_one_line(nanoaod: Path, tmp_path: Path):
    with uproot.open(nanoaod) as file:
        key = file.key("Events")
        begin, size = key.fSeekKey + key.fKeylen, key.fNbytes - key.fKeylen
    data = bytearray(nanoaod.read_bytes())
    for at in range(begin, begin + size, 7):
        data[at] ^= 0xFF
    path = tmp_path / "damaged.root"
    path.write_bytes(bytes(data))
    with pytest.raises(
        TruncatedFileError, match=r"tree 'Events' of .* cannot be decoded"
    ) as caught:
        build_index(str(path), "Events")
    assert "\n" not in caught.value.problem
    assert caught.value.context["tree"] == "Events"


def test_damage_anywhere_raises_errors_of_ours_only(make_nanoaod, tmp_path: Path):
    data = make_nanoaod(50).read_bytes()
    pick = np.random.default_rng(1)
    path = tmp_path / "hurt.root"
    for _ in range(8):
        hurt = bytearray(data)
        for at in pick.integers(0, len(data), 40):
            hurt[at] ^= 0xFF
        path.write_bytes(bytes(hurt))
        try:
            index = build_index(str(path), "Events")
        except SxdaskError as error:
            assert error.context["file"] == str(path)  # noqa: PT017
        else:
            assert index.num_entries >= 0


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("none.root", FileMissingError),
        ("folder", NotRootFileError),
        ("empty.root", NotRootFileError),
        ("text.root", NotRootFileError),
    ],
)
def test_what_is_no_root_file_is_refused(tmp_path: Path, name: str, kind: type[Exception]):
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.root").touch()
    (tmp_path / "text.root").write_text("This is no ROOT file. " * 20)
    with pytest.raises(kind, match=name):
        build_index(str(tmp_path / name))


def test_a_file_with_a_colon_in_its_name_is_one_file(make_nanoaod):
    path = make_nanoaod(10, name="a.root:b.root")
    assert build_index(str(path)).num_entries == 10


def test_an_index_over_http_is_that_of_the_file(
    nanoaod: Path, range_http_server: Callable[[Path], RangeServer]
):
    server = range_http_server(nanoaod.parent)
    near, far = build_index(str(nanoaod)), build_index(f"{server.url}/{nanoaod.name}")
    assert far.url == f"{server.url}/{nanoaod.name}"
    assert far.layout is near.layout
    assert (far.stamp.size, far.stamp.uuid) == (near.stamp.size, near.stamp.uuid)
    np.testing.assert_array_equal(far.table.seek, near.table.seek)
    with pytest.raises(FileMissingError):
        build_index(f"{server.url}/none.root")
