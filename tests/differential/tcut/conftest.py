"""The files that cuts are compared on, and ROOT."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np
import pytest
import uproot

import sxdask as sx
from sxdask.core.settings import load_settings
from sxdask.testing import write_nanoaod
from tests.differential.tcut.oracle import Root
from tests.peers import require_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sxdask.api import Dataset

SAMPLES = {
    "delphes": ("delphes.root", "Delphes"),
    "nano_dy": ("nano_dy.root", "Events"),
    "treemaker": ("treemaker.root", "PreSelection"),
}


@dataclass
class Data:
    """A tree of a file."""

    path: Path
    tree: str

    @cached_property
    def dataset(self) -> Dataset:
        """The file for us, each cluster a partition."""
        settings = replace(load_settings(), partition_bytes=1)
        return sx.dataset(str(self.path), tree=self.tree, settings=settings)

    def entries(self, cut: str) -> list[int]:
        """Return the entries that pass `cut`."""
        query = sx.request("tcut", cut, dataset=self.dataset, columns="entry := LocalEntry$")
        found: list[int] = query.compute(scheduler="sync")["entry"].to_list()
        return found


@pytest.fixture(scope="module")
def root() -> Iterator[Root]:
    """Return a running ROOT, one for each module of tests."""
    require_root()
    process = Root()
    yield process
    process.close()


@pytest.fixture(scope="module")
def data(
    tmp_path_factory: pytest.TempPathFactory, root: Root, request: pytest.FixtureRequest
) -> Callable[[str], Data]:
    """Return a function that gives the data of a theme, made when first asked for."""
    known: dict[str, Data] = {}

    def find(name: str) -> Data:
        if name not in known:
            known[name] = _make(name, tmp_path_factory.mktemp("tcut"), root, request)
        return known[name]

    return find


def _make(name: str, folder: Path, root: Root, request: pytest.FixtureRequest) -> Data:
    path = folder / f"{name}.root"
    if name in SAMPLES:
        file, tree = SAMPLES[name]
        return Data(request.getfixturevalue("samples") / file, tree)
    if name == "nanoaod":
        return Data(write_nanoaod(path, 2_000, seed=5, entries_per_cluster=700), "Events")
    if name == "vectors":
        root.write_vectors(path)
    else:
        write_shapes(path)
    return Data(path, "t")


def write_shapes(path: Path) -> None:
    """Write numbers of all kinds, jagged and fixed arrays whose lengths differ, and text."""
    rng = np.random.default_rng(11)
    lists = {"x": "float32", "y": "float64", "k": "int32", "h": "bool"}
    with uproot.recreate(path) as file:
        tree = file.mktree(
            "t",
            {
                **dict.fromkeys("ij", "int32"),
                "u": "uint32",
                "f": "float32",
                "d": "float64",
                "b": "bool",
                "L": "int64",
                "uc": "uint8",
                "sc": "int8",
                "U": "uint64",
                **{name: f"var * {kind}" for name, kind in lists.items()},
                "c": "var * int8",
                "s": "string",
                "v": np.dtype((np.float32, (3,))),
                "w": np.dtype((np.int32, (2, 3))),
            },
        )
        for size in (60, 1, 59):
            columns = {
                "i": rng.integers(-4, 9, size).astype("i4"),
                "j": rng.integers(0, 3, size).astype("i4"),
                "u": rng.integers(0, 9, size).astype("u4"),
                "f": (rng.integers(0, 12, size) * 0.1).astype("f4"),
                "d": rng.integers(-4, 9, size) * 0.1,
                "b": rng.random(size) < 0.3,
                "L": rng.integers(0, 6, size) + 2**53,
                "uc": rng.integers(0, 200, size).astype("u1"),
                "sc": rng.integers(-5, 9, size).astype("i1"),
                "U": rng.integers(0, 6, size).astype("u8") + np.uint64(2**63),
                "v": rng.integers(0, 5, (size, 3)).astype("f4"),
                "w": rng.integers(0, 5, (size, 2, 3)).astype("i4"),
                "s": ak.Array(rng.choice(["a", "bb", "abc", "", "a b", "é"], size).tolist()),
            }
            for name, kind in {**lists, "c": "int8"}.items():
                counts = rng.choice([0, 1, 1, 2, 3, 4, 5], size)
                values = rng.integers(-1 if name in "kc" else 0, 10, counts.sum())
                values = values % 2 if name == "h" else values
                columns[name] = ak.unflatten(values.astype(kind), counts)
            tree.extend(columns)
