"""Python functions on workers: where they run and what they get."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot
from typer.testing import CliRunner

import sxdask as sx
from sxdask.cli.main import app
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.settings import load_settings
from tests.refusals import error_of

PER_FILE = """\
import uproot

def run_query(path):
    with uproot.open(path) as file:
        return file["Events"].arrays(["event", "Muon_pt"])
"""


def good_muons(events):
    good = events[events.nMuon >= 2]
    return ak.zip({"pt": good.Muon_pt, "eta": good["Muon_eta"]})


def met_and_muons(events):
    return {"met": events[["MET_pt", "MET_phi"]], "muons": events.Muon_pt[events.nMuon > 0]}


def ask(function, data, **options):
    return sx.request("python", function, dataset=data, **options)


@pytest.fixture(scope="module")
def events(nanoaod_files):
    return uproot.concatenate([f"{path}:Events" for path in nanoaod_files])


@pytest.fixture(scope="module")
def data(nanoaod_files):
    small = replace(load_settings(), partition_bytes=20_000)
    return sx.dataset(nanoaod_files, settings=small)


# -- run_query(path) -----------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_a_function_of_a_path_is_called_once_for_each_file(data, events, scheduler):
    query = ask(PER_FILE, data)
    found = query.compute(scheduler=scheduler)
    assert ak.array_equal(found, events[["event", "Muon_pt"]])
    assert query.summary.done == query.summary.files == len(data.files)
    assert query.summary.rows == len(events)


def test_the_wire_form_of_servicex_gives_the_same(data, events):
    found = ask(b64encode(PER_FILE.encode()).decode(), data).compute()
    assert ak.array_equal(found, events[["event", "Muon_pt"]])


def test_files_need_hold_no_tree(samples):
    """A file of histograms: what `servicex_analysis_utils` asks for, one text for a file."""

    def run_query(path):
        import json

        import uproot

        with uproot.open(path) as file:
            return ak.Array([json.dumps(sorted(file.keys(cycle=False)))])

    found = ask(run_query, sx.dataset(samples / "testSF2d.histo.root")).compute()
    with uproot.open(samples / "testSF2d.histo.root") as file:
        assert json.loads(found[0]) == sorted(file.keys(cycle=False)) != []


def test_a_remote_file_is_given_as_its_url(nanoaod_files, range_http_server):
    server = range_http_server(nanoaod_files[0].parent)
    url = f"{server.url}/{nanoaod_files[0].name}"
    text = "def run_query(path): return [path]"
    assert ask(text, sx.dataset(url)).compute().to_list() == [url]


def test_nothing_is_opened_for_planning(data):
    query = ask(PER_FILE, data)
    assert "calls          4, one a file" in query.explain()
    assert query.summary.done == 0


# -- run_query(events) ---------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_a_function_of_events_is_called_once_for_each_partition(data, events, scheduler):
    query = ask(good_muons, data)
    assert ak.array_equal(query.compute(scheduler=scheduler), good_muons(events))
    assert query.summary.done == query.summary.partitions > len(data.files)
    assert query.summary.entries == len(events)


def test_only_the_columns_that_the_function_names_are_read(data):
    query = ask(good_muons, data)
    query.compute(scheduler="sync")
    same = data.select("nMuon", "Muon_pt", "Muon_eta")
    same.compute(scheduler="sync")
    assert query.summary.report.baskets_read == same.summary.report.baskets_read
    assert query.summary.bytes_to_read == same.summary.bytes_to_read
    assert query.summary.report.ttree_opens == 0


def test_a_column_that_is_not_touched_is_not_read(data):
    text = "def run_query(events):\n  if False: events.Muon_pt\n  return [len(events)]"
    query = ask(text, data)
    assert ak.sum(query.compute(scheduler="sync")) == 10_000
    assert query.summary.report.baskets_read == 0


def test_columns_that_the_text_does_not_name_are_read_when_touched(data, events):
    def run_query(events):
        return ak.zip({name: events[f"Muon_{name}"] for name in ("pt", "charge")})

    query = ask(run_query, data)
    assert "bytes to read  0 B" in query.explain()
    found = query.compute(scheduler="sync")
    assert ak.array_equal(found, run_query(events))
    assert query.summary.report.ttree_opens > 0
    assert query.summary.rows == query.summary.entries == len(events)


def test_events_are_an_awkward_array_like_any_other(data, events):
    def run_query(events):
        assert isinstance(events, ak.Array)
        assert "MET_pt" in events.fields
        first = events[:10]
        mask = np.asarray(events.MET_pt) > 20
        pairs = ak.combinations(events[mask].Jet_pt, 2)
        return {
            "first": first[["run", "event"]],
            "best": ak.max(events.Jet_pt, axis=1)[mask],
            "pairs": ak.sum(pairs["0"] * pairs["1"], axis=1),
            "all": events[mask][events[mask].nMuon > 3],
        }

    (path, *_) = data.files
    found = ask(run_query, sx.dataset(path)).compute()
    wanted = run_query(uproot.open(path)["Events"].arrays())
    assert list(found) == list(wanted)
    for name, array in wanted.items():
        assert len(array) > 0
        assert ak.array_equal(found[name], array), name


def test_conditions_beside_the_function_are_pushed_into_the_reader(data, events):
    def run_query(events):
        return events[["MET_pt", "event"]]

    query = ask(run_query, data, where=["MET_pt > 60", "nMuon >= 1"])
    kept = events[(events.MET_pt > 60) & (events.nMuon >= 1)]
    assert ak.array_equal(query.compute(scheduler="sync"), kept[["MET_pt", "event"]])
    assert query.summary.report.entries_out == len(kept)
    assert "where MET_pt > 60" in query.explain()

    def touched(events):
        return events["Jet_" + "pt"]

    query = ask(touched, data, where="MET_pt > 60")
    assert ak.array_equal(query.compute(), events.Jet_pt[events.MET_pt > 60])


def test_a_condition_that_no_event_passes_still_calls_the_function(data):
    found = ask(good_muons, data, where="MET_pt > 1e9").compute()
    assert len(found) == 0


def test_files_may_differ_in_columns_that_the_function_asks_for(samples):
    text = """
def run_query(events):
    return ["HLT_Ele27_WPTight_Gsf" in events.fields, len(events.MET_pt) > 0]
"""
    files = [samples / "nano_dy.root", samples / "nano_tree.root"]
    one, other = (uproot.open(file)["Events"].keys() for file in files)
    name = "HLT_Ele27_WPTight_Gsf"
    found = ask(text, sx.dataset(files, tree="Events")).compute().to_list()
    assert found == [name in one, True, name in other, True]


@pytest.mark.parametrize("name", ["scouting_nano.root", "treemaker_rntuple.root", "edm4hep.root"])
def test_every_column_of_a_real_file_can_be_touched(samples, name):
    data = sx.dataset(samples / name)
    found = ask("def run_query(events): return events[:5]", data).compute(scheduler="sync")
    readable = [field.name for field in data.schema.fields if field.reason is None]
    wanted = data.select(*readable).compute(scheduler="sync")[:5]
    assert found.fields == readable
    assert ak.array_equal(found, wanted, equal_nan=True)


# -- clusters ------------------------------------------------------------------------------


def test_on_a_cluster_functions_run_on_its_workers(data, events, tmp_path):
    factor = 3

    def run_query(events):
        return {"scaled": events.MET_pt * factor, "pt": events.Muon_pt}

    with LocalBackend(2, threads_per_worker=1) as client:
        found = ask(run_query, data).compute(client)
        assert ak.array_equal(found["scaled"], events.MET_pt * 3)
        manifest = ask(run_query, data).deliver(tmp_path / "out", client=client)
        assert sum(entry.rows for entry in manifest.partitions) == 2 * len(events)
        pid = "import os\ndef run_query(path): return [os.getpid()]"
        workers = set(client.run(os_getpid).values())
        assert set(ask(pid, data).compute(client).to_list()) <= workers
        broken = ask("def run_query(path):\n    return 1 / 0", data)
        error = error_of(lambda: broken.compute(client), "SX108")
        assert error.context["line"] == 2


def os_getpid():
    import os

    return os.getpid()


def test_the_command_line_shows_each_output_that_a_function_gives(tmp_path, nanoaod_files):
    recipe = tmp_path / "recipe.yaml"
    text = "def run_query(path): return {'a': [1, 2], 'b': [{'x': 3.5}]}"
    recipe.write_text(
        f"dataset: {{files: {nanoaod_files[0].parent}}}\nlanguage: python\nselection: {text!r}\n"
    )
    shown = CliRunner().invoke(app, ["run", str(recipe), "--quiet"])
    assert shown.exit_code == 0
    assert "outputs      a 8, b 4" in shown.output
    report = CliRunner().invoke(app, ["run", str(recipe), "--json", "--quiet"])
    assert json.loads(report.output)["outputs"] == {"a": 8, "b": 4}
