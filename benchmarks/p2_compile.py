"""P2: from names of files to task graphs that are ready to run, 200 datasets of 100 files.

Every time is that of a new process, which has opened no index and no file
before, without its imports.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import awkward as ak
import dask
import dask_awkward as dak

import sxdask as sx
from benchmarks.data import folder, one_file
from benchmarks.harness import Row, Times, in_new_process, span
from sxdask.core.settings import Settings, load_settings
from sxdask.rootio.store import IndexStore

DATASETS = 200
FILES = 100
PEER_FILES = (2, 10)  # of one dataset; two sizes tell what a dataset and what a file costs


def rows(runs: int) -> list[Row]:
    """Measure sxdask on all of it, coffea on two small datasets, in turn."""
    names = _linked(_original(), DATASETS * FILES)
    _replicate(_original(), names)
    _assert_equal(names[:2])
    own: list[float] = []
    again: list[float] = []
    peer: dict[int, list[float]] = {size: [] for size in PEER_FILES}
    for number in range(max(5, runs)):
        first, second = in_new_process("benchmarks.p2_compile")
        own.append(first)
        again.append(second)
        if number < runs // 2 + 1:  # minutes in all
            for size, seconds in peer.items():
                seconds.append(in_new_process("benchmarks.p2_compile", str(size)))
    cold, warm = Times(tuple(own)), Times(tuple(again))
    few, many = (Times(tuple(peer[size])).middle for size in PEER_FILES)
    per_file = (many - few) / (PEER_FILES[1] - PEER_FILES[0])
    per_dataset = max(0.0, few - PEER_FILES[0] * per_file)
    whole = DATASETS * (per_dataset + FILES * per_file)
    what = f"{DATASETS} datasets x {FILES} files of 1 500 branches"
    ours = f"{cold}, {cold.middle / len(names) * 1e6:.0f} us a file"
    theirs = (
        f"coffea {span(whole)}, extrapolated from {span(per_file)} a file and "
        f"{span(per_dataset)} a dataset (one dataset of {PEER_FILES[0]} and of {PEER_FILES[1]})"
    )
    return [
        Row("P2", f"{what}, against coffea", ours, theirs, whole / cold.middle, 50),
        Row("P2", f"{what}, in 5 s", ours, "5 s", cold.middle / 5, 1.0, at_most=True),
        Row("P2", f"{what}, once more in the same process", str(warm), ""),
    ]


def _original() -> Path:
    return one_file(10_000, extra=1_420, cluster=5_000)


def _settings() -> Settings:
    return replace(load_settings(), cache_dir=folder() / "compile-cache")


def _linked(original: Path, count: int) -> list[str]:
    """Return names that all are the file `original`: only the index tells them apart."""
    place = folder() / "compile-files"
    place.mkdir(exist_ok=True)
    names = [str(place / f"f{number:05d}.root") for number in range(count)]
    present = {item.name for item in place.iterdir()}
    for name in names:
        if Path(name).name not in present:
            os.link(original, name)
    return names


def _replicate(original: Path, names: list[str]) -> None:
    """Store the index of `original` under every name."""
    store = IndexStore(_settings().cache_dir / "index")
    index = store.build(str(original), "Events")
    for name in names:
        if not store.path_of(name, "Events").exists():
            store.put(replace(index, url=name))


def _ours(files: list[str], settings: Settings) -> Any:
    data = sx.dataset(files, "Events", settings=settings)
    query = data.where("(nMuon >= 2) & (MET_pt > 20)").select(
        pt="Muon_pt", eta="Muon_eta", phi="Muon_phi"
    )
    return query.dask()


def _peer(files: list[str]) -> Any:
    from coffea.dataset_tools import preprocess
    from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    fileset = {"a": {"files": dict.fromkeys(files, "Events")}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ready, _ = preprocess(fileset, scheduler="sync")
        events = NanoEventsFactory.from_root(
            ready["a"]["files"], mode="dask", schemaclass=NanoAODSchema
        ).events()
        kept = events[(dak.num(events.Muon, axis=1) >= 2) & (events.MET.pt > 20)]
        columns = {"pt": kept.Muon.pt, "eta": kept.Muon.eta, "phi": kept.Muon.phi}
        return dak.zip(columns, depth_limit=1)


def _tasks(lazy: Any) -> int:
    (optimised,) = dask.optimize(lazy)
    return len(dict(optimised.__dask_graph__()))


def _assert_equal(files: list[str]) -> None:
    found, wanted = (
        lazy.compute(scheduler="sync") for lazy in (_ours(files, _settings()), _peer(files))
    )
    plain = ak.zip({name: ak.without_parameters(wanted[name]) for name in found.fields}, 1)
    if not (len(found) and ak.array_equal(found, plain)):
        raise AssertionError("sxdask and coffea do not give the same")


def _time_ours() -> tuple[float, float]:
    """Return the seconds of compiling everything, and of doing it once more."""
    names = _linked(_original(), DATASETS * FILES)
    groups = [names[start : start + FILES] for start in range(0, len(names), FILES)]
    settings = _settings()
    _tasks(_ours([str(_original())], settings))  # imports
    taken = []
    for _ in range(2):
        began = time.perf_counter()
        tasks = sum(_tasks(_ours(group, settings)) for group in groups)
        taken.append(time.perf_counter() - began)
        assert tasks == len(names), tasks
    return taken[0], taken[1]


def _time_peer(size: int) -> float:
    """Return the seconds of compiling one dataset of `size` files."""
    names = _linked(_original(), size + 1)
    _peer(names[-1:])  # imports; the layout of the branches is remembered by neither
    began = time.perf_counter()
    _tasks(_peer(names[:size]))
    return time.perf_counter() - began


if __name__ == "__main__":
    print(json.dumps(_time_peer(int(sys.argv[1])) if len(sys.argv) > 1 else _time_ours()))
