"""Asking again: the first run of a request against the next ones, which take kept results.

The first run has an empty result cache and warm indexes. What is timed is what
a user waits for: dataset, plan, run, result.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak

import sxdask as sx
from benchmarks.data import many_files, one_file
from benchmarks.harness import Row, Times, span, timed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVENTS, CLUSTER = 10_000_000, 50_000
GROWING, FILES = 2_000_000, 20
TARGET = 50
PAIRS = "(nMuon == 2) & (Muon_charge[:, 0] != Muon_charge[:, 1]) & (Muon_pt[:, 0] > 25)"
MASS = (
    "sqrt(2 * Muon_pt[:, 0] * Muon_pt[:, 1]"
    " * (cosh(Muon_eta[:, 0] - Muon_eta[:, 1]) - cos(Muon_phi[:, 0] - Muon_phi[:, 1])))"
)


def rows(runs: int) -> Iterator[Row]:
    """Measure a skim as array, as stream and delivered, and histograms."""
    file = str(one_file(EVENTS, cluster=CLUSTER))
    with cache_of_its_own() as folder:
        for what, work in requests([file], folder).items():
            first, again = first_and_again(work, folder, runs)
            ratio = first.middle / again.middle
            peer = f"{first} computed"
            target = None if "delivered" in what else TARGET  # that writes files in any case
            yield Row("rerun", f"{what}, {EVENTS:,} events", str(again), peer, ratio, target)
        files = [str(path) for path in many_files(GROWING, FILES)]
        yield from grown(files, folder, runs)


def requests(files: list[str], folder: Path) -> dict[str, Callable[[], Any]]:
    """Return the requests, each as a function that asks and returns the result."""

    def skim(some: list[str]) -> sx.Query:
        query = sx.dataset(some, "Events").where(PAIRS)
        return query.select("event", "MET_pt", "Jet_pt", "Jet_eta", mass=MASS)

    def delivered() -> ak.Array:
        target = Path(tempfile.mkdtemp(dir=folder)) / "out"
        manifest = skim(files).deliver(target)
        return ak.Array([manifest.rows, len(manifest.partitions)])

    def filled() -> Any:
        query = sx.dataset(files, "Events").where(PAIRS).select(mass=MASS, met="MET_pt")
        return query.fill(
            mass={"column": "mass", "bins": 120, "start": 0, "stop": 120},
            met={"column": "met", "bins": 100, "start": 0, "stop": 200},
        ).compute()

    return {
        "rows of a skim": lambda: skim(files).compute(),
        "histograms": filled,
        "a skim delivered": delivered,
    }


def first_and_again(work: Callable[[], Any], folder: Path, runs: int) -> tuple[Times, Times]:
    """Time `work` with nothing kept and then with its results kept; they must be equal."""
    work()  # indexes, imports
    first, again = [], []
    for _ in range(runs):
        shutil.rmtree(folder / "results", ignore_errors=True)
        seconds, computed = timed(work)
        first.append(seconds)
        seconds, kept = timed(work)
        again.append(seconds)
        assert _is_equal(computed, kept), "a kept result is another"
    return Times(tuple(first)), Times(tuple(again))


def grown(files: list[str], folder: Path, runs: int) -> Iterator[Row]:
    """Measure a dataset that has grown by one file against the same from nothing."""
    found: tuple[list[float], list[float]] = ([], [])
    for _ in range(runs):
        for place, before in enumerate((files[:-1], [])):
            shutil.rmtree(folder / "results", ignore_errors=True)
            if before:
                requests(before, folder)["rows of a skim"]()
            found[place].append(timed(requests(files, folder)["rows of a skim"])[0])
    one, all_ = Times(tuple(found[0])), Times(tuple(found[1]))
    what = f"a skim over {FILES} files, {FILES - 1} of them kept"
    yield Row("rerun", what, str(one), f"{span(all_.middle)} for all", all_.middle / one.middle)


@contextmanager
def cache_of_its_own() -> Iterator[Path]:
    """Switch the result cache on, in a folder that is removed afterwards."""
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SXDASK_RESULT_CACHE"] = str(Path(folder) / "results")
        os.environ["SXDASK_RESULT_CACHE_BYTES"] = str(2**30)
        try:
            yield Path(folder)
        finally:
            os.environ.clear()
            os.environ.update(before)


def _is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return all(item == other[name] for name, item in one.items())
    return bool(ak.array_equal(one, other))
