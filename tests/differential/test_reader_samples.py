"""Every readable branch of every real file, over several entry ranges, equals uproot's."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import uproot

from sxdask.rootio.fallback import close_trees
from sxdask.rootio.read import read_columns
from tests.pieces import assert_same, describe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILES = {
    "nano_dimuon.root": 1600,
    "nano_dy.root": 1500,
    "nano_dy_SpecialTree.root": 3300,
    "nano_dy_empty.root": 1490,
    "nano_tree.root": 1010,
    "nano_tt_v12.root": 650,
    "nano_tt_v15.root": 2600,
    "missing_luminosityBlock.root": 1580,
    "pfnano.root": 1800,
    "scouting_nano.root": 260,
    "treemaker.root": 390,
    "PHYSLITE_example.root": 960,
    "delphes.root": 1100,
    "pduneana.root": 390,
    "edm4hep.root": 300,
    "edm4hep_ILD_mumuH_v01-00_podio_v01-07_10ev.root": 700,
    "p8_ee_WW_ecm240_edm4hep.root": 220,
    "test_FCC_Spring2021.root": 240,
    "test_FCC_Winter2023.root": 270,
}
"""Real files, and how many branches of each must have been compared at least."""


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_trees()


def _ranges(entries: int, seed: str) -> list[tuple[int, int]]:
    """Return the whole tree and a random part of it."""
    dice = random.Random(seed)  # noqa: S311 (the same ranges in every run)
    start = dice.randint(0, entries)
    return [(0, entries), (start, dice.randint(start, entries))]


def _read_by_uproot(tree: Any, name: str, start: int, stop: int) -> Any:
    """Return uproot's array, or None for a branch that uproot cannot read."""
    try:
        return tree[name].array(entry_start=start, entry_stop=stop)
    except Exception:  # noqa: BLE001 (uproot raises what its models meet)
        return None


@pytest.mark.samples
@pytest.mark.parametrize("name", sorted(FILES))
def test_every_branch_equals_uproots(samples: Path, name: str) -> None:
    compared: set[tuple[str, str]] = set()
    with uproot.open(samples / name) as file:
        for key in [key for key, kind in file.classnames().items() if kind == "TTree"]:
            described, tree = describe(samples / name, key), file[key]
            for start, stop in _ranges(described.num_entries, f"{name} {key}"):
                theirs = {
                    branch: array
                    for branch in described.layouts
                    if (array := _read_by_uproot(tree, branch, start, stop)) is not None
                }
                piece = described.piece(start, stop, list(theirs))
                ours = read_columns(piece, described.layouts, list(theirs)).arrays
                for branch, array in theirs.items():
                    assert_same(ours[branch], array, f"{key} {branch} {start}:{stop}")
                    compared.add((key, branch))
    assert len(compared) >= FILES[name]
