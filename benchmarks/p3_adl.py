"""P3: the eight ADL benchmark queries, histograms included, against four ways to do the same.

All ways must give equal histograms, bin by bin, before any time counts. A
request is measured as its user waits for it: dataset, recipe, plan, run.
"""

from __future__ import annotations

import ast
import json
import os
import sys
import warnings
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import uproot
import yaml

import sxdask as sx
from benchmarks.data import one_file
from benchmarks.harness import Row, Times, in_new_process, in_turn, timed
from tests.adl.axes import AXES, empty
from tests.adl.by_hand import QUERIES, collections, columns_of, fill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECIPES = Path(__file__).parents[1] / "graphs" / "recipes"
FEW, MANY = 1_000_000, 10_000_000
CLUSTER = 50_000
IMPORTS = (
    "dask_awkward",
    "distributed",
    "pyarrow.parquet",
    "sxdask.api",
    "sxdask.deliver.runners.threads",
    "sxdask.graph.fold",
    "sxdask.plan.frontends.native",
)
PEERS = {
    "ROOT": "RDataFrame",
    "func_adl_uproot": "func_adl_uproot",
    "awkward": "awkward by hand",
}
# The ratios are of times, ours to theirs: smaller is better.
NEW_PROCESS, WARM, FUNC_ADL, BY_HAND = 0.6, 1.0, 0.3, 1.1

Contents = dict[str, list[float]]


def rows(runs: int) -> Iterator[Row]:
    """Measure every query in every way, and the sums over all queries."""
    few, many = (one_file(size, cluster=CLUSTER) for size in (FEW, MANY))
    ways: list[tuple[str, str, float, Callable[[str], tuple[Times, Times]]]] = [
        ("1 M events, new process", "ROOT", NEW_PROCESS, partial(_new, few, runs)),
        ("10 M events, compiled before", "ROOT", WARM, partial(_warm, many, runs)),
        ("1 M events", "func_adl_uproot", FUNC_ADL, partial(_func_adl, few, runs)),
        ("1 M events", "awkward", BY_HAND, partial(_by_hand, few, runs)),
    ]
    for what, peer, target, measure in ways:
        against = f"{what}, {PEERS[peer]}"
        if find_spec(peer) is None:  # there is a wheel of ROOT for some Pythons only
            yield Row("P3", f"{against}: it is not installed", "", "")
            continue
        pairs = []
        for query in QUERIES:
            pairs.append(measure(query))
            yield _row(f"{query}, {against}", pairs[-1], target)
        ours, theirs = (sum(pair[side].middle for pair in pairs) for side in (0, 1))
        yield _row(f"all, {against}", (Times((ours,)), Times((theirs,))), target)


def _row(what: str, pair: tuple[Times, Times], target: float) -> Row:
    ours, theirs = pair
    ratio = ours.middle / theirs.middle
    return Row("P3", what, str(ours), str(theirs), ratio, target, at_most=True)


# -- against RDataFrame, each in processes of its own --------------------------------------


def _new(path: Path, runs: int, query: str) -> tuple[Times, Times]:
    """Measure from imports that are done to histograms; whatever compiles, compiles."""
    taken: dict[str, list[float]] = {"ours": [], "root": []}
    seen = []
    for _ in range(runs):
        for way in taken:
            spent, contents = in_new_process("benchmarks.p3_adl", way, query, str(path), "1")
            taken[way] += spent
            seen.append(contents)
    _require_equal(query, seen)
    return Times(tuple(taken["ours"])), Times(tuple(taken["root"]))


def _warm(path: Path, runs: int, query: str) -> tuple[Times, Times]:
    """Measure what a process does that has done it before."""
    pairs = [
        in_new_process("benchmarks.p3_adl", way, query, str(path), str(runs + 1))
        for way in ("ours", "root")
    ]
    _require_equal(query, [contents for _, contents in pairs])
    ours, theirs = (Times(tuple(spent[1:])) for spent, _ in pairs)
    return ours, theirs


def _require_equal(query: str, seen: list[Contents]) -> None:
    if any(contents != seen[0] for contents in seen):
        raise AssertionError(f"{query}: sxdask and RDataFrame do not give the same")


def _in_process_of_its_own(way: str, query: str, path: str, runs: int) -> None:
    """Print the seconds of `runs` runs and the histograms of the last one."""
    prepare = {"ours": _prepare_ours, "root": _prepare_root}[way]
    run, contents = prepare(query, path)
    seconds, value = [], None
    for _ in range(runs):
        spent, value = timed(run)
        seconds.append(spent)
    print(json.dumps([seconds, contents(value)]))


def _prepare_ours(query: str, path: str) -> tuple[Callable[[], Any], Callable[[Any], Contents]]:
    for name in IMPORTS:  # ROOT's libraries are loaded before its clock starts too
        import_module(name)

    def contents(found: dict[str, Any]) -> Contents:
        return {name: made.values(flow=True).tolist() for name, made in found.items()}

    return partial(_request, query, "", Path(path)), contents


def _prepare_root(query: str, path: str) -> tuple[Callable[[], Any], Callable[[Any], Contents]]:
    warnings.simplefilter("ignore")  # the wheel says that it is young
    import ROOT

    from tests.adl import root_dataframe

    ROOT.EnableImplicitMT(os.cpu_count() or 1)
    ROOT.RDataFrame  # noqa: B018  loads the library
    declared = False

    def run() -> dict[str, Any]:
        nonlocal declared
        if not declared:
            root_dataframe.declare(ROOT, query)
            declared = True
        return root_dataframe.fill(ROOT, query, [path])

    def contents(found: dict[str, Any]) -> Contents:
        return {name: root_dataframe.contents(made) for name, made in found.items()}

    return run, contents


# -- against Python, in turn in this process -----------------------------------------------


def _request(query: str, language: str, path: Path) -> dict[str, Any]:
    """Return the histograms of a recipe; `language` is the end of its name."""
    found = sx.load(RECIPES / f"adl_{query}{language}.yaml", dataset=sx.dataset(path)).compute()
    names = list(AXES[query])
    return found if len(names) > 1 else {names[0]: found}


def _by_hand(path: Path, runs: int, query: str) -> tuple[Times, Times]:
    def peer() -> dict[str, Any]:
        with uproot.open(path, object_cache=None, array_cache=None) as file:
            arrays = file["Events"].arrays(columns_of(query))
        return fill(query, collections(query, arrays))

    return in_turn(partial(_request, query, "", path), peer, _are_equal, runs=runs)


def _func_adl(path: Path, runs: int, query: str) -> tuple[Times, Times]:
    """Measure the same text in both; func_adl_uproot returns values, which are filled then."""
    from func_adl_uproot import ast_executor

    text = yaml.safe_load((RECIPES / f"adl_{query}_func_adl.yaml").read_text())["selection"]
    named = text.replace("EventDataset()", f"EventDataset({str(path)!r}, 'Events')")

    def peer() -> dict[str, Any]:
        values = ast_executor(ast.parse(" ".join(named.split())))
        columns = {name: values[name] if values.fields else values for name in AXES[query]}
        return {
            name: empty(query, name).fill(ak.drop_none(ak.flatten(column, axis=None)))
            for name, column in columns.items()
        }

    return in_turn(partial(_request, query, "_func_adl", path), peer, _are_equal, runs=runs)


def _are_equal(found: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(
        found[name].values(flow=True).tolist() == made.values(flow=True).tolist()
        for name, made in wanted.items()
    )


if __name__ == "__main__":
    _in_process_of_its_own(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
