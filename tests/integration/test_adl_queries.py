"""The eight ADL benchmark queries give the same histograms in every language and tool.

A recipe in native expressions and one in func_adl, awkward code as analysers
write it for coffea, and C++ for ROOT's RDataFrame: every bin is equal, with no
tolerance, on generated and on real events.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import uproot

import sxdask as sx
from tests.adl.axes import AXES, empty
from tests.adl.by_hand import QUERIES, AdlProcessor, collections, columns_of, fill
from tests.adl.root_dataframe import histograms_of

if TYPE_CHECKING:
    import hist

RECIPES = Path(__file__).parents[2] / "graphs" / "recipes"
LANGUAGES = {"native": "", "func_adl": "_func_adl"}
# Files of CMS with all the branches, from NanoAOD v9 to v12; and their events.
REAL = {
    "nano_dimuon.root": 40,
    "nano_dy.root": 40,
    "nano_tree.root": 10,
    "nano_tt_v12.root": 200,
    "pfnano.root": 10,
}

every_query = pytest.mark.parametrize("query", QUERIES)
needs_root = pytest.mark.skipif(find_spec("ROOT") is None, reason="ROOT is an optional peer")
every_language = pytest.mark.parametrize("language", LANGUAGES)


def recipe(query: str, language: str) -> Path:
    return RECIPES / f"adl_{query}{LANGUAGES[language]}.yaml"


def by_request(query: str, language: str, file: Path, **options: Any) -> dict[str, hist.Hist]:
    """Return the histograms of a recipe over `file`."""
    found = sx.load(recipe(query, language), dataset=sx.dataset(file)).compute(**options)
    names = list(AXES[query])
    return found if len(names) > 1 else {names[0]: found}


@cache
def columns(file: Path) -> Any:
    """Return all columns that a query needs; opening a wide file takes uproot half a second."""
    with uproot.open(file) as opened:
        return opened["Events"].arrays(
            sorted({name for query in QUERIES for name in columns_of(query)})
        )


def by_hand(query: str, file: Path) -> dict[str, hist.Hist]:
    return fill(query, collections(query, columns(file)))


def by_hand_in_chunks(query: str, file: Path) -> dict[str, hist.Hist]:
    """Return the same with memory for a quarter of a million events."""
    total = {name: empty(query, name) for name in AXES[query]}
    with uproot.open(file) as opened:
        for arrays in opened["Events"].iterate(columns_of(query), step_size=250_000):
            for name, found in fill(query, collections(query, arrays)).items():
                total[name] += found
    return total


def is_same(found: dict[str, hist.Hist], wanted: dict[str, hist.Hist]) -> bool:
    """Whether every bin is equal, under- and overflow among them, and the edges."""
    return list(found) == list(wanted) and all(
        found[name].values(flow=True).tolist() == expected.values(flow=True).tolist()
        and found[name].axes[0].edges.tolist() == expected.axes[0].edges.tolist()
        for name, expected in wanted.items()
    )


@every_query
@every_language
def test_a_request_fills_what_awkward_code_fills(query, language, nanoaod):
    assert is_same(by_request(query, language, nanoaod), by_hand(query, nanoaod))


@every_query
@every_language
def test_partitions_and_schedulers_change_nothing(query, language, nanoaod, monkeypatch):
    monkeypatch.setenv("SXDASK_PARTITION_BYTES", "1")  # one cluster each
    found = sx.load(recipe(query, language), dataset=sx.dataset(nanoaod))
    found.compute(scheduler="sync")
    assert found.summary.partitions == 5
    assert is_same(
        by_request(query, language, nanoaod, scheduler="threads"), by_hand(query, nanoaod)
    )


@every_query
def test_coffea_fills_the_same_with_a_processor(query, nanoaod):
    from coffea.nanoevents import NanoAODSchema, NanoEventsFactory

    events = NanoEventsFactory.from_root(
        {str(nanoaod): "Events"}, schemaclass=NanoAODSchema, mode="eager"
    ).events()
    assert is_same(AdlProcessor(query).process(events), by_request(query, "native", nanoaod))


@pytest.mark.samples
@every_query
@every_language
@pytest.mark.parametrize("name", REAL)
def test_a_request_fills_the_same_from_real_events(query, language, name, samples):
    found = by_request(query, language, samples / name)
    assert is_same(found, by_hand(query, samples / name))
    if query == "q1":
        assert found["met"].sum(flow=True) == REAL[name]


@needs_root
def test_root_fills_the_same(nanoaod, samples):
    """One process of ROOT for all files, because it starts and compiles for seconds."""
    files = [nanoaod, *(samples / name for name in REAL)]
    found = histograms_of(files)
    different = [
        (file.name, query)
        for file in files
        for query in QUERIES
        if not is_same(found[file][query], by_hand(query, file))
    ]
    assert different == []


@pytest.mark.slow
@needs_root
def test_not_one_of_a_million_events_moves(make_nanoaod):
    file = make_nanoaod(1_000_000)
    found = histograms_of([file])[file]
    different = []
    for query in QUERIES:
        wanted = by_hand_in_chunks(query, file)
        everybody = {language: by_request(query, language, file) for language in LANGUAGES}
        everybody["ROOT"] = found[query]
        different += [
            (query, who) for who, histograms in everybody.items() if not is_same(histograms, wanted)
        ]
    assert different == []


@every_query
def test_no_histogram_is_nearly_empty(query, nanoaod):
    """A bin by bin comparison of nothing would find no mistake."""
    for found in by_hand(query, nanoaod).values():
        assert found.sum() > 1_000
        assert (found.values() > 0).sum() > 20


def test_one_query_in_two_languages_is_one_request(nanoaod):
    data = sx.dataset(nanoaod)
    native, func_adl = (sx.load(recipe("q1", name), dataset=data) for name in LANGUAGES)
    assert native.fingerprint == func_adl.fingerprint
