"""Columns that go through uproot equal uproot's, and trees are opened seldom."""

from __future__ import annotations

import gc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from sxdask.core.errors import (
    CorruptBasketError,
    FileMissingError,
    StaleIndexError,
    UnknownTreeError,
    UnreadableBranchError,
)
from sxdask.rootio.fallback import close_trees
from sxdask.rootio.model import ColumnLayout, Conjunct, Piece, ReadOptions, ScanSpec
from sxdask.rootio.read import read_columns, zones_of
from sxdask.rootio.scan import scan
from tests.pieces import Tree, assert_same, describe, stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import RangeServer


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    close_trees()
    yield
    close_trees()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Return a tree of four clusters whose columns all go through uproot."""
    path = tmp_path / "a.root"
    with uproot.recreate(path) as file:
        written = file.mktree("t", {"x": "int64", "pt": "var * float32"})
        for start in range(0, 40, 10):
            pt = ak.Array([[float(i)] * (i % 3) for i in range(start, start + 10)])
            written.extend({"x": np.arange(start, start + 10), "pt": ak.values_astype(pt, "f4")})
    tree = describe(path, "t")
    tree.layouts = {name: replace(item, kind="uproot") for name, item in tree.layouts.items()}
    tree.baskets = {}
    return tree


def _uproot(tree: Tree, name: str) -> Any:
    with uproot.open(tree.path) as file:
        return file[tree.name][name].array()


def test_a_range_of_entries_equals_uproots(tree: Tree) -> None:
    found = read_columns(tree.piece(7, 33), tree.layouts, ["pt", "x"])
    for name in ("pt", "x"):
        assert_same(found.arrays[name], _uproot(tree, name)[7:33])


def test_the_tree_is_opened_once_for_many_pieces_and_counted(tree: Tree) -> None:
    first = read_columns(tree.piece(0, 20), tree.layouts, ["pt"]).report
    second = read_columns(tree.piece(20, 40), tree.layouts, ["x", "pt"]).report
    assert (first.ttree_opens, second.ttree_opens) == (1, 0)
    assert first.bytes_read > second.bytes_read > 0
    assert first.requests > 0


def test_only_clusters_with_survivors_are_read(tree: Tree) -> None:
    chosen = [3, 4, 35]
    keep = Conjunct(("x",), lambda c: np.isin(c["x"], chosen), "x")
    found = scan(tree.piece(), tree.layouts, ScanSpec(("pt", "x"), (keep,)))
    assert_same(found.arrays["pt"], ak.to_packed(_uproot(tree, "pt")[chosen]))
    assert found.arrays["x"].to_list() == chosen


def test_no_survivors_keep_the_type(tree: Tree) -> None:
    keep = Conjunct(("x",), lambda c: np.asarray(c["x"] > 100), "x")
    found = scan(tree.piece(), tree.layouts, ScanSpec(("pt",), (keep,)))
    assert_same(found.arrays["pt"], _uproot(tree, "pt")[:0])


def test_a_few_trees_stay_open_and_the_others_are_closed(tree: Tree, tmp_path: Path) -> None:
    paths = []
    for number in range(7):
        path = tmp_path / f"{number}.root"
        path.write_bytes(tree.path.read_bytes())
        paths.append(path)

    def open_files() -> int:
        gc.collect()
        return sum(
            link.is_symlink() and str(tmp_path) in str(link.readlink())
            for link in Path("/proc/self/fd").iterdir()
        )

    def read(path: Path) -> int:
        tree.stamp = stamp_of(path)
        piece = tree.piece(url=str(path))
        return read_columns(piece, tree.layouts, ["x"]).report.ttree_opens

    assert [read(path) for path in paths] == [1] * 7
    assert open_files() <= 4
    assert read(paths[-1]) == 0
    assert read(paths[0]) == 1
    close_trees()
    assert open_files() == 0


def test_threads_may_share_an_open_tree(tree: Tree) -> None:
    pieces = [tree.piece(start, start + 8) for start in range(0, 40, 8)] * 6
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda p: read_columns(p, tree.layouts, ["x", "pt"]), pieces))
    for piece, found in zip(pieces, results, strict=True):
        assert found.arrays["x"].to_list() == list(range(piece.entry_start, piece.entry_stop))


def test_a_file_replaced_while_its_tree_is_open_is_stale(tree: Tree) -> None:
    piece = tree.piece()
    read_columns(piece, tree.layouts, ["x"])
    tree.path.write_bytes(tree.path.read_bytes() + b"x")
    with pytest.raises(StaleIndexError):
        read_columns(piece, tree.layouts, ["x"])


def test_a_tree_or_branch_that_is_not_there_is_named(tree: Tree) -> None:
    piece = tree.piece()
    with pytest.raises(UnknownTreeError, match="no tree 'nosuch'"):
        read_columns(replace(piece, tree="nosuch"), tree.layouts, ["x"])
    layouts = {"y": replace(tree.layouts["pt"], name="y", path="ptt")}
    with pytest.raises(CorruptBasketError, match="ptt"):
        read_columns(piece, layouts, ["y"])


def test_a_file_that_is_gone_is_missing(tree: Tree) -> None:
    piece = tree.piece()
    tree.path.unlink()
    with pytest.raises(FileMissingError):
        read_columns(piece, tree.layouts, ["x"])


def test_a_damaged_basket_is_named(tree: Tree) -> None:
    damaged = describe(tree.path, "t").baskets["pt"]
    data = bytearray(tree.path.read_bytes())
    start = int(damaged.seek[1])
    data[start + 14 : start + int(damaged.num_bytes[1])] = b"\xff" * (
        int(damaged.num_bytes[1]) - 14
    )
    tree.path.write_bytes(data)
    tree.stamp = stamp_of(tree.path)
    with pytest.raises(CorruptBasketError, match="'pt'") as caught:
        read_columns(tree.piece(), tree.layouts, ["pt"])
    assert caught.value.context["branch"] == "pt"


def test_a_tree_that_cannot_be_opened_is_damaged(tree: Tree) -> None:
    with uproot.open(tree.path) as file:
        key = file.key("t")
        start, size = key.fSeekKey + key.fKeylen, key.fNbytes - key.fKeylen
    data = bytearray(tree.path.read_bytes())
    data[start : start + size] = bytes(size)
    tree.path.write_bytes(data)
    tree.stamp = stamp_of(tree.path)
    with pytest.raises(CorruptBasketError, match="cannot be opened"):
        read_columns(tree.piece(), tree.layouts, ["pt"])


def test_a_remote_tree_is_opened_through_its_url(
    tree: Tree, range_http_server: Callable[[Path], RangeServer]
) -> None:
    url = f"{range_http_server(tree.path.parent).url}/a.root"
    found = read_columns(tree.piece(url=url), tree.layouts, ["pt"])
    assert_same(found.arrays["pt"], _uproot(tree, "pt"))


def test_columns_through_uproot_have_no_statistics(tree: Tree) -> None:
    assert zones_of(tree.piece(), tree.layouts, ["x", "pt"]) == {}


def test_fields_of_an_rntuple_equal_uproots(tmp_path: Path) -> None:
    path = tmp_path / "n.root"
    data = {
        "x": np.arange(30),
        "pt": ak.Array([[1.5] * (i % 4) for i in range(30)]),
        "name": ak.Array([f"entry {i}" for i in range(30)]),
    }
    with uproot.recreate(path) as file:
        written = file.mkrntuple("n", {"x": "int64", "pt": "var * float64", "name": "string"})
        for start in (0, 10, 20):
            written.extend({name: array[start : start + 10] for name, array in data.items()})
    with uproot.open(path) as file:
        expected = {name: file["n"][name].array() for name in data}
    layouts = {
        name: ColumnLayout(name, name, "uproot", array.layout.form.to_json())
        for name, array in expected.items()
    }
    clusters = np.array([5, 10, 20, 25], np.int64)
    piece = Piece(0, str(path), "n", "rntuple", stamp_of(path), 5, 25, clusters, {})
    found = read_columns(piece, layouts, list(data))
    for name, array in expected.items():
        assert_same(found.arrays[name], array[5:25], name)
    assert found.report.ttree_opens == 1


@pytest.mark.samples
def test_unflushed_baskets_of_a_real_file_equal_uproots(samples: Path) -> None:
    tree = describe(samples / "scouting_nano.root", "Events")
    names = list(tree.layouts)[::13]
    assert not tree.baskets  # the file was never flushed: all baskets are inside the tree
    found = read_columns(tree.piece(3, 31), tree.layouts, names)
    with uproot.open(tree.path) as file:
        for name in names:
            expected = file["Events"][name].array(entry_start=3, entry_stop=31)
            assert_same(found.arrays[name], expected, name)


@pytest.mark.samples
def test_a_type_that_uproot_cannot_read_is_said_so(samples: Path) -> None:
    layout = ColumnLayout("ProcessHistory", "ProcessHistory", "uproot", '"unknown"')
    path = samples / "pfnano.root"
    piece = Piece(
        0, str(path), "MetaData", "ttree", stamp_of(path), 0, 1, np.array([0, 1], np.int64), {}
    )
    with pytest.raises(UnreadableBranchError, match="memberwise"):
        read_columns(piece, {"ProcessHistory": layout}, ["ProcessHistory"], ReadOptions())
