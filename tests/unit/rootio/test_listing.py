"""What a file has, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from sxdask.core.errors import NotRootFileError
from sxdask.rootio.listing import TreeInfo, describe_branches, list_trees, tree_names

if TYPE_CHECKING:
    from pathlib import Path


def test_trees_of_all_folders_are_listed_once(tmp_path: Path):
    path = tmp_path / "trees.root"
    with uproot.recreate(path) as file:
        file.mktree("a/deep/tree", {"x": "int32", "v": "var * float32"})
        file.mkrntuple("ntuple", {"x": np.arange(4), "y": np.arange(4.0)})
        for size in (5, 6):
            file.mktree("twice", {"x": "float64"}).extend({"x": np.zeros(size)})
        file["hist"] = np.histogram([1.0])
    trees = list_trees(str(path))
    assert sorted(trees, key=lambda tree: tree.name) == [
        TreeInfo("a/deep/tree", "ttree", 0, 3),
        TreeInfo("ntuple", "rntuple", 4, 2),
        TreeInfo("twice", "ttree", 6, 1),
    ]
    assert tree_names(str(path)) == [tree.name for tree in trees]


def test_a_file_without_trees_has_an_empty_list(tmp_path: Path):
    path = tmp_path / "hist.root"
    with uproot.recreate(path) as file:
        file["hist"] = np.histogram([1.0])
    assert list_trees(str(path)) == []
    (tmp_path / "text.root").write_text("text")
    with pytest.raises(NotRootFileError):
        list_trees(str(tmp_path / "text.root"))


def test_branches_are_described_as_uproot_knows_them(nanoaod: Path):
    branches = describe_branches(str(nanoaod), "Events")
    with uproot.open(nanoaod) as file:
        tree = file["Events"]
        assert [item.name for item in branches] == tree.keys()
        for item in branches:
            branch = tree[item.name]
            assert item.typename == branch.typename
            assert item.num_baskets == branch.num_baskets
            assert item.compressed == branch.compressed_bytes
            assert item.uncompressed == branch.uncompressed_bytes
            assert item.title == branch.title
            assert str(item.type) == str(branch.array(entry_stop=1).type.content)
            assert item.reason is None
