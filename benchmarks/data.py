"""Input of the benchmarks: written once into a cache directory, then reused."""

from __future__ import annotations

import os
from pathlib import Path

import uproot

from sxdask.core.settings import default_cache_dir
from sxdask.testing import sample_files, write_nanoaod, write_nanoaod_files

FLAT = ("run", "event", "MET_pt", "MET_phi", "PV_npvs", "nMuon")
JAGGED = ("Muon_pt", "Muon_eta", "Jet_pt", "Electron_pt")
TEN = FLAT + JAGGED


def folder() -> Path:
    """Return the directory of generated inputs (``SXDASK_BENCH_DIR`` or the user's cache)."""
    place = os.environ.get("SXDASK_BENCH_DIR")
    found = Path(place) if place else default_cache_dir() / "benchmarks"
    found.mkdir(parents=True, exist_ok=True)
    return found


def one_file(
    num_events: int, *, extra: int = 0, cluster: int = 10_000, compression: str = "zstd"
) -> Path:
    """Return a NanoAOD-shaped file, written if it is not there."""
    kind = "" if compression == "zstd" else f"-{compression}"
    path = folder() / f"nano-{num_events}-{extra}-{cluster}{kind}.root"
    if not path.exists():
        scratch = path.with_suffix(".part")
        write_nanoaod(
            scratch,
            num_events,
            extra_branches=extra,
            entries_per_cluster=cluster,
            compression=compression,
        )
        scratch.rename(path)
    return path


def many_files(num_events: int, files: int) -> list[Path]:
    """Return a dataset of `files` files with `num_events` events in all."""
    place = folder() / f"dataset-{num_events}-{files}"
    if not place.is_dir():
        scratch = place.with_suffix(".part")
        write_nanoaod_files(scratch, num_events, files, entries_per_cluster=10_000)
        scratch.rename(place)
    return sorted(place.glob("*.root"))


def real_file() -> Path:
    """Return a real CMS NanoAOD file with about 1 600 branches and 40 events."""
    return sample_files() / "nano_dimuon.root"


def hundred_columns(path: Path) -> list[str]:
    """Return 100 columns, flat and jagged, that are in no selection of these benchmarks."""
    with uproot.open(path) as file:
        names: list[str] = file["Events"].keys()
    return [name for name in names if name not in {"MET_phi", "event"}][:100]
