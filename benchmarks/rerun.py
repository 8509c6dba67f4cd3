"""Asking again: the first run of a request against the next ones, which take kept results.

The first run has an empty result cache and warm indexes. What is timed is what
a user waits for: dataset, plan, run, result.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from functools import partial
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
TARGET, AGAIN = 50, 5  # runs with everything kept for each that computes: they are short
RECIPES = Path(__file__).parents[1] / "graphs" / "recipes"
ASKED = {
    "Z candidates as rows": "dimuon_mass_window.yaml",
    "MET of events with a muon pair, histogram": "adl_q5.yaml",
    "trijets near the top mass, histograms": "adl_q6.yaml",
}
GROWN = "Z candidates as rows"
LARGE = "(nMuon == 2) & (Muon_charge[:, 0] != Muon_charge[:, 1]) & (Muon_pt[:, 0] > 25)"
COLUMNS = ("event", "MET_pt", "Jet_pt", "Jet_eta", "Muon_pt")


def rows(runs: int) -> Iterator[Row]:
    """Measure requests as they are in recipes, a large skim, and a dataset that grows."""
    file = str(one_file(EVENTS, cluster=CLUSTER))
    with cache_of_its_own() as folder:
        for what, work in requests([file], folder).items():
            first, again = first_and_again(work, folder, runs)
            target = TARGET if what in ASKED else None  # what is large has to be moved in any case
            ratio = first.middle / again.middle
            yield Row(
                "rerun", f"{what}, 10 M events", str(again), f"{first} computed", ratio, target
            )
        yield from grown([str(path) for path in many_files(GROWING, FILES)], folder, runs)


def requests(files: list[str], folder: Path) -> dict[str, Callable[[], Any]]:
    """Return the requests, each as a function that asks and returns the result."""

    def skim() -> sx.Query:
        return sx.dataset(files, "Events").where(LARGE).select(*COLUMNS)

    def delivered() -> list[int]:
        target = Path(tempfile.mkdtemp(dir=folder)) / "out"
        manifest = skim().deliver(target)
        shutil.rmtree(target)
        return [manifest.rows, len(manifest.partitions)]

    def recipe(name: str) -> Any:
        return sx.load(RECIPES / name, dataset=sx.dataset(files, "Events")).compute()

    found: dict[str, Callable[[], Any]] = {
        what: partial(recipe, name) for what, name in ASKED.items()
    }
    return found | {
        "a skim of 4 % with jets": lambda: skim().compute(),
        "the skim delivered elsewhere": delivered,
    }


def first_and_again(work: Callable[[], Any], folder: Path, runs: int) -> tuple[Times, Times]:
    """Time `work` with nothing kept and then with its results kept; they must be equal."""
    work()  # indexes, imports
    first, again = [], []
    for _ in range(runs):
        shutil.rmtree(folder / "results", ignore_errors=True)
        seconds, computed = timed(work)
        first.append(seconds)
        kept = None
        for _ in range(AGAIN):
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
                requests(before, folder)[GROWN]()
            found[place].append(timed(requests(files, folder)[GROWN])[0])
    one, all_ = Times(tuple(found[0])), Times(tuple(found[1]))
    what = f"Z candidates over {FILES} files, {FILES - 1} of them kept"
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
    if isinstance(one, ak.Array):
        return bool(ak.array_equal(one, other))
    return bool(one == other)
