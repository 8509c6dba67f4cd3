"""Statistics of baskets beside the index: exact, merged, safe with several writers."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from sxdask.rootio.model import ColumnZones
from sxdask.rootio.read import zones_of
from sxdask.rootio.store import IndexStore
from sxdask.rootio.zonestore import ZONES_SUFFIX, build_stats

if TYPE_CHECKING:
    from pathlib import Path

    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.model import Piece

BIG = np.iinfo(np.uint64).max


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index")


@pytest.fixture
def index(store: IndexStore, nanoaod: Path) -> FileIndex:
    """Return the index of a file with five clusters of 4 000 entries."""
    return store.build(str(nanoaod), "Events")


def values(piece: Piece, name: str, dtype: type, *, counts: bool = False) -> ColumnZones:
    """Return made-up statistics of all baskets of a piece: its entry starts and one more."""
    starts = piece.baskets[name].entry_starts[:-1]
    return ColumnZones(
        known=np.ones(len(starts), np.bool_),
        low=starts.astype(dtype),
        high=(starts + 1).astype(dtype),
        count_low=starts.copy() if counts else None,
        count_high=starts + 2 if counts else None,
    )


def test_nothing_is_known_at_first(index: FileIndex):
    assert index.zones("MET_pt") is None
    assert index.piece(0, 0, 10, ["MET_pt"], ["MET_pt"]).zones == {}


def test_what_pieces_teach_adds_up(store: IndexStore, index: FileIndex):
    for start in (8_000, 0):
        piece = index.piece(0, start, start + 4_000, ["MET_pt"])
        assert store.learn(piece, {"MET_pt": values(piece, "MET_pt", float)})
    zones = index.zones("MET_pt")
    assert zones is not None
    assert zones.known.tolist() == [True, False, True, False, False]
    assert zones.low[zones.known].tolist() == [0.0, 8_000.0]
    assert zones.high[zones.known].tolist() == [1.0, 8_001.0]
    assert zones.count_low is None


def test_a_piece_takes_the_statistics_of_its_baskets(store: IndexStore, index: FileIndex):
    whole = index.piece(0, 0, 20_000, ["MET_pt", "Muon_pt"])
    learned = {
        "MET_pt": values(whole, "MET_pt", float),
        "Muon_pt": values(whole, "Muon_pt", float, counts=True),
    }
    store.learn(whole, learned)
    piece = index.piece(0, 5_000, 8_001, ["MET_pt"], ["MET_pt", "Muon_pt", "event"])
    assert set(piece.zones) == {"MET_pt", "Muon_pt"}
    assert piece.zones["MET_pt"].low.tolist() == [4_000.0, 8_000.0]
    assert piece.zones["Muon_pt"].count_high is not None
    assert piece.zones["Muon_pt"].count_high.tolist() == [4_002, 8_002]
    assert piece.zones["MET_pt"].low.base is None  # nothing of the map travels to the worker


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [
        (np.int64, -(2**63), 2**53 + 1),
        (np.uint64, 2**63, BIG),
        (np.float64, -np.inf, 1e-320),
    ],
)
def test_numbers_are_kept_exactly(store: IndexStore, index: FileIndex, dtype, low, high):
    piece = index.piece(0, 0, 4_000, ["event"])
    zones = ColumnZones(np.ones(1, np.bool_), np.array([low], dtype), np.array([high], dtype))
    store.learn(piece, {"event": zones})
    found = index.zones("event")
    assert found is not None
    assert found.low.dtype == dtype
    assert (found.low[0], found.high[0]) == (dtype(low), dtype(high))


def test_what_is_known_is_not_written_again(store: IndexStore, index: FileIndex):
    piece = index.piece(0, 0, 4_000, ["MET_pt"])
    learned = {"MET_pt": values(piece, "MET_pt", float)}
    assert store.learn(piece, learned)
    path = store.path_of(index.url, "Events").with_suffix(ZONES_SUFFIX)
    written = path.stat().st_ino
    assert not store.learn(piece, learned)
    unknown = ColumnZones(np.zeros(1, np.bool_), np.zeros(1), np.zeros(1))
    assert not store.learn(piece, {"Jet_eta": unknown})
    assert path.stat().st_ino == written


def test_what_does_not_fit_the_index_is_not_kept(store: IndexStore, index: FileIndex):
    piece = index.piece(0, 0, 4_000, ["MET_pt"])
    shifted = piece.baskets["MET_pt"].entry_starts
    shifted += 1
    assert not store.learn(piece, {"MET_pt": values(piece, "MET_pt", float)})
    assert index.zones("MET_pt") is None


def test_statistics_of_a_replaced_file_are_forgotten(
    store: IndexStore, make_nanoaod, tmp_path: Path
):
    path = make_nanoaod(100)
    old = store.build(str(path), "Events")
    piece = old.piece(0, 0, 100, ["MET_pt"])
    learned = {"MET_pt": values(piece, "MET_pt", float)}
    assert store.learn(piece, learned)
    make_nanoaod(100, name="other.root", seed=1).replace(path)
    os.utime(path, ns=(0, 5))
    new = store.build(str(path), "Events")
    assert new.zones("MET_pt") is None
    assert not store.learn(piece, learned)  # a task that read the old file
    assert store.learn(new.piece(0, 0, 100, ["MET_pt"]), learned)
    assert new.zones("MET_pt") is not None


@pytest.mark.parametrize("content", [b"", b"no statistics", b"ARROW1" * 50])
def test_damaged_statistics_are_none(store: IndexStore, index: FileIndex, content: bytes):
    piece = index.piece(0, 0, 4_000, ["MET_pt"])
    path = store.path_of(index.url, "Events").with_suffix(ZONES_SUFFIX)
    path.write_bytes(content)
    assert index.zones("MET_pt") is None
    assert store.learn(piece, {"MET_pt": values(piece, "MET_pt", float)})
    assert index.zones("MET_pt") is not None


def test_processes_that_learn_at_once_lose_nothing(store: IndexStore, index: FileIndex):
    code = """
        import sys
        import numpy as np
        from sxdask.rootio.model import ColumnZones
        from sxdask.rootio.store import IndexStore
        store = IndexStore(sys.argv[1])
        index = store.get(sys.argv[2], "Events")
        sys.stdin.readline()
        for name in sys.argv[3:]:
            for start in range(0, 20_000, 4_000):
                piece = index.piece(0, start, start + 4_000, [name])
                one = np.array([start], np.float64)
                assert store.learn(piece, {name: ColumnZones(np.ones(1, bool), one, one)})
    """
    columns = [["MET_pt", "MET_phi", "Jet_pt"], ["Muon_pt", "Muon_eta", "Muon_phi"]]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code), store.root, index.url, *names],
            stdin=subprocess.PIPE,
            text=True,
        )
        for names in columns
    ]
    for process in running:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in running:
        process.communicate(timeout=60)
        assert process.returncode == 0
    for name in (*columns[0], *columns[1]):
        zones = index.zones(name)
        assert zones is not None
        assert zones.low.tolist() == list(range(0, 20_000, 4_000))
        assert zones.known.all()


def test_reading_a_file_for_statistics_covers_every_basket(
    store: IndexStore, index: FileIndex, nanoaod: Path
):
    names = ("MET_pt", "nMuon", "Muon_pt")
    assert build_stats(store, index, zones_of, names) == 3
    with uproot.open(nanoaod) as file:
        met = file["Events"]["MET_pt"].array(library="np").reshape(5, 4_000)
        muons = file["Events"]["nMuon"].array(library="np").reshape(5, 4_000)
    zones, lists = index.zones("MET_pt"), index.zones("Muon_pt")
    assert zones is not None
    assert zones.low.tolist() == met.min(axis=1).tolist()
    assert zones.high.tolist() == met.max(axis=1).tolist()
    assert lists is not None
    assert lists.count_high is not None
    assert lists.count_high.tolist() == muons.max(axis=1).tolist()
    assert index.zones("event") is None
    assert build_stats(store, index, zones_of, names) == 3  # known: nothing is read
