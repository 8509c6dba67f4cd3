"""P2: from names of files to task graphs that are ready to run, 200 datasets of 100 files."""

from __future__ import annotations

import os
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import dask_awkward as dak

import sxdask as sx
from benchmarks.data import folder, one_file
from benchmarks.harness import Row, Times, timed
from sxdask.core.settings import load_settings
from sxdask.rootio.store import IndexStore

DATASETS = 200
FILES = 100
PEER_DATASETS = 2
PEER_FILES = 5


def rows(runs: int) -> list[Row]:
    """Measure sxdask on all of it, coffea on a part, both a file at a time."""
    real = one_file(10_000, extra=1_420, cluster=5_000)
    names = _linked(real, DATASETS * FILES)
    store = IndexStore(folder() / "compile-cache" / "index")
    _replicate(real, names, store)
    settings = replace(load_settings(), cache_dir=folder() / "compile-cache")
    groups = [names[start : start + FILES] for start in range(0, len(names), FILES)]

    def ours() -> int:
        return sum(_compile(group, settings) for group in groups)

    seconds = []
    for _ in range(max(2, runs // 2)):
        took, tasks = timed(ours)
        assert tasks >= len(names)
        seconds.append(took)
    own = Times(tuple(seconds))
    part = [names[start : start + PEER_FILES] for start in range(PEER_DATASETS)]
    peer_seconds, _ = timed(lambda: [_peer(group) for group in part])
    per_file = peer_seconds / (PEER_DATASETS * PEER_FILES)
    whole = per_file * len(names)
    what = f"{DATASETS} datasets x {FILES} files of 1 500 branches"
    own_file = own.middle / len(names)
    part_text = f"{per_file * 1000:.0f} ms a file, from {PEER_DATASETS} x {PEER_FILES}"
    peer = f"{whole / 60:.0f} min ({part_text})"
    ours_text = f"{own} ({own_file * 1e6:.0f} us a file)"
    return [
        Row("P2", f"{what}, against coffea", ours_text, peer, whole / own.middle, 50),
        Row("P2", f"{what}, in 5 s", ours_text, "5 s", own.middle / 5, 1.0, at_most=True),
    ]


def _linked(real: Path, count: int) -> list[str]:
    """Return names that all are the file `real`: only the index tells them apart."""
    place = folder() / "compile-files"
    place.mkdir(exist_ok=True)
    names = [str(place / f"f{number:05d}.root") for number in range(count)]
    present = {item.name for item in place.iterdir()}
    for name in names:
        if Path(name).name not in present:
            os.link(real, name)
    return names


def _replicate(real: Path, names: list[str], store: IndexStore) -> None:
    index = store.build(str(real), "Events")
    for name in names:
        if not store.path_of(name, "Events").exists():
            store.put(replace(index, url=name))


def _compile(files: list[str], settings: Any) -> int:
    data = sx.dataset(files, "Events", settings=settings)
    query = data.where("(nMuon >= 2) & (MET_pt > 20)").select(
        "event", "Muon_pt", "Muon_eta", "Muon_phi", "Jet_pt", lead="max(Muon_pt)"
    )
    (lazy,) = dask.optimize(query.dask())
    return len(dict(lazy.__dask_graph__()))


def _peer(files: list[str]) -> int:
    from coffea.dataset_tools import preprocess
    from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ready, _ = preprocess({"a": {"files": dict.fromkeys(files, "Events")}}, scheduler="sync")
        events = NanoEventsFactory.from_root(
            ready["a"]["files"], mode="dask", schemaclass=NanoAODSchema
        ).events()
        kept = events[(dak.num(events.Muon, axis=1) >= 2) & (events.MET.pt > 20)]
        result = dak.zip({"pt": kept.Muon.pt, "eta": kept.Muon.eta, "phi": kept.Muon.phi})
        (lazy,) = dask.optimize(result)
        return len(dict(lazy.__dask_graph__()))
