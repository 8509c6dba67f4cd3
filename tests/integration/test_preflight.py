"""What is wrong with a request is found on the first file, before any other is looked at."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

import sxdask as sx
from sxdask.core.settings import load_settings
from sxdask.rootio.store import IndexStore
from sxdask.testing import write_nanoaod
from tests.watchdog import at_most, within

NUM_FILES = 200

# Wrong expression -> code, and what the message must hold.
WRONG = {
    "Muon_ptt > 20": ("SX101", "'Muon_pt'"),
    "met_pt > 20": ("SX101", "'MET_pt'"),
    "get('Muon pt') > 20": ("SX101", "'Muon_pt'"),
    "Muon_pt > 20 > nosuch": ("SX101", "nosuch"),
    "any(Muon_pt > 20, axis=4)": ("SX103", "axis"),
    "MET_pt & nMuon": ("SX103", "MET_pt"),
    "HLT_IsoMu24 == 'yes'": ("SX103", "text"),
    "median(Muon_pt) > 2": ("SX102", "median"),
    "MET_pt > > 2": ("SX102", "^"),
    "nMuon >= 2 and MET_pt > 20": ("SX102", "&"),
}
WRONG_CONDITIONS = {"Muon_pt > 20": ("SX103", "any("), "MET_pt": ("SX103", "!= 0")}


@pytest.fixture(autouse=True)
def watchdog():
    with within(60):
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder of files with the same bytes; they are real, and cost one write."""
    place = tmp_path_factory.mktemp("many")
    first = write_nanoaod(place / "file000.root", 200)
    for number in range(1, NUM_FILES):
        (place / f"file{number:03d}.root").hardlink_to(first)
    return place


@pytest.fixture
def data(folder, tmp_path):
    """Return a dataset of all the files with an index store of its own, empty."""
    settings = replace(load_settings(), cache_dir=tmp_path / "cache")
    return sx.dataset(folder, "Events", settings=settings)


@pytest.fixture(scope="module")
def opened():
    """Return the ROOT files that this process opens from now on; it is emptied by the user.

    An audit hook sees every open, whoever asks for it, and cannot be taken away again.
    """
    names: list[str] = []

    def note(event, args):
        if event == "open" and isinstance(args[0], str) and args[0].endswith(".root"):
            names.append(Path(args[0]).name)

    sys.addaudithook(note)
    return names


def indexed(data):
    entries = IndexStore(data.source.settings.cache_dir / "index").entries()
    return {Path(entry.url).name for entry in entries}


def check(call, data, opened, code, said):
    """Check that `call` fails on the first file alone, in under two seconds of work."""
    opened.clear()
    with at_most(2), pytest.raises(sx.SxdaskError) as caught:
        call()
    error = caught.value
    assert error.code == code, str(error)
    assert said in str(error)
    assert set(opened) == {"file000.root"}
    assert indexed(data) == {"file000.root"}
    assert data.source.generation == 0


def native(data, text):
    return lambda: data.where("nMuon > 0").select("event", bad=text)


def raw(data, **query):
    return lambda: sx.request("uproot-raw", {"treename": "Events", **query}, dataset=data)


def recipe(data, path, **keys):
    path.write_text(yaml.safe_dump({"title": "wrong", "tree": "Events", **keys}))
    return lambda: sx.load(path, dataset=data)


@pytest.mark.parametrize("text", [*WRONG, *WRONG_CONDITIONS])
def test_where(data, opened, text):
    code, said = (WRONG | WRONG_CONDITIONS)[text]
    check(lambda: data.where(text), data, opened, code, said)


@pytest.mark.parametrize("text", WRONG)
def test_select(data, opened, text):
    check(native(data, text), data, opened, *WRONG[text])


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("key", ["cut", "expressions", "aliases"])
def test_uproot_raw(data, opened, text, key):
    query = {
        "cut": {"cut": text, "expressions": ["event"]},
        "expressions": {"expressions": ["event", text]},
        "aliases": {"aliases": {"bad": text}, "expressions": ["event", "bad"]},
    }[key]
    check(raw(data, **query), data, opened, *WRONG[text])


@pytest.mark.parametrize("text", WRONG)
@pytest.mark.parametrize("key", ["where", "select", "define"])
def test_recipes(data, opened, tmp_path, text, key):
    keys = {
        "where": {"where": text, "select": ["event"]},
        "select": {"select": ["event", text]},
        "define": {"define": {"bad": text}, "select": ["event", "bad"]},
    }[key]
    check(recipe(data, tmp_path / "r.yaml", **keys), data, opened, *WRONG[text])


@pytest.mark.parametrize(
    ("names", "code", "said"),
    [
        (["Muon_ptt"], "SX101", "'Muon_pt'"),
        (["Moun_*"], "SX101", "'Moun_*'"),
        (["Muon_pt", "x y z"], "SX102", "^"),
    ],
)
def test_names_and_patterns(data, opened, names, code, said):
    check(lambda: data.select(*names), data, opened, code, said)


def test_a_wrong_tree_is_found_on_the_first_file(folder, tmp_path, opened):
    settings = replace(load_settings(), cache_dir=tmp_path / "cache")
    data = sx.dataset(folder, "Event", settings=settings)
    for call in (
        lambda: data.select("event"),
        lambda: data.where("event > 0"),
        lambda: data.num_events,
    ):
        opened.clear()
        with pytest.raises(sx.SxdaskError, match="it has 'Events'") as caught:
            call()
        assert caught.value.code == "SX204"
    strict = {"treename": "Event", "fail_on_missing_trees": True}
    opened.clear()
    with pytest.raises(sx.SxdaskError, match="'Events'"):
        sx.request("uproot-raw", strict, dataset=data)
    assert set(opened) == {"file000.root"}
    assert indexed(data) == set()


def test_the_second_look_at_the_first_file_costs_no_tree(data, opened):
    with pytest.raises(sx.SxdaskError):
        data.where("Muon_ptt > 20")
    opened.clear()
    with pytest.raises(sx.SxdaskError):
        data.where("Muon_ptt > 30")
    assert opened == []


def test_a_request_that_is_right_looks_at_every_file_only_when_it_runs(data, opened):
    query = data.where("nMuon >= 2").select("Muon_pt", leading="max(Muon_pt)")
    assert indexed(data) == {"file000.root"}
    assert "Muon_pt" in query.schema
    assert indexed(data) == {"file000.root"}
    query.explain()
    assert len(indexed(data)) == NUM_FILES
