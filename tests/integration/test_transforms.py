"""Transforms on a real cluster: one object a file, as ServiceX's clients expect it."""

from __future__ import annotations

import threading
from functools import partial

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.datasets.model import FileEntry
from sxdask.service.transforms.ports import DatasetFile, EngineProgress
from sxdask.service.transforms.states import Status
from tests.transforms import laboratory, wait_until

MUONS = [{"treename": "Events", "expressions": ["Muon_pt", "MET_pt"], "cut": "nMuon >= 1"}]


@pytest.fixture(scope="module")
def client():
    with LocalBackend(1, threads_per_worker=2, processes=False) as client:
        yield client


@pytest.fixture
def lab(tmp_path, client):
    with laboratory(tmp_path, lambda: client) as lab:
        yield lab


@pytest.fixture(scope="module")
def two_trees(tmp_path_factory):
    path = tmp_path_factory.mktemp("trees") / "two.root"
    with uproot.recreate(path) as file:
        file["a"] = {"x": np.arange(5.0), "n": np.arange(5)}
        file["b"] = {"x": np.arange(3.0), "n": np.arange(3)}
        file["h"] = np.histogram(np.arange(10.0), 5)
    return path


@pytest.fixture(scope="module")
def one_tree(tmp_path_factory):
    path = tmp_path_factory.mktemp("trees") / "one.root"
    with uproot.recreate(path) as file:
        file["a"] = {"x": np.arange(2.0), "n": np.arange(2)}
    return path


def test_every_file_becomes_one_object_of_the_size_that_is_told(lab, nanoaod_files):
    transform, results = lab.run(MUONS, nanoaod_files)
    assert (transform.state.status, transform.state.completed) == (Status.COMPLETE, 4)
    lab.require_exact(transform.request_id)
    for item, path in zip(results, nanoaod_files, strict=True):
        assert item.file_path == str(path)
        table = pq.read_table(lab.folder(transform.request_id) / item.object)
        local = sx.request("uproot-raw", MUONS, dataset=sx.dataset(str(path))).compute()
        assert ak.from_arrow(table)[["Muon_pt", "MET_pt"]].to_list() == local.to_list()
        assert item.rows == len(local) == table.num_rows
        assert item.seconds > 0


def test_names_are_flat_and_unique_where_files_have_one_name(lab, make_nanoaod, tmp_path):
    places = [tmp_path / name for name in "ab"]
    for place in places:
        place.mkdir()
    files = [make_nanoaod(100, f"{name}/run.1.root", seed=n) for n, name in enumerate("ab")]
    _, parquet = lab.run(MUONS, files)
    _, root = lab.run(MUONS, files, result_format="root-file")
    assert len({item.object for item in parquet}) == len({item.object for item in root}) == 2
    assert all(item.object.endswith(".parquet") and ".root" not in item.object for item in parquet)
    assert all(item.object.endswith(".root") and "/" not in item.object for item in root)


def test_a_file_that_is_named_twice_has_one_result(lab, nanoaod_files):
    transform, results = lab.run(MUONS, [nanoaod_files[0], nanoaod_files[0]])
    assert (transform.state.files, len(results)) == (1, 1)


def test_trees_are_called_as_in_servicex(lab, nanoaod_files, two_trees):
    def trees(selection, codegen, path=nanoaod_files[0]):
        transform, (item,) = lab.run(selection, [path], codegen, "root-file")
        assert item.ok, item.message
        with uproot.open(lab.folder(transform.request_id) / item.object) as file:
            return {name for name, kind in file.classnames(cycle=False).items() if kind == "TTree"}

    assert trees(MUONS, "uproot-raw") == {"Events"}
    assert trees([{"treename": {"a": "one", "b": "two"}}], "uproot-raw", two_trees) == {
        "one",
        "two",
    }
    query = "(call Select (call EventDataset 'bogus.root' 'Events') (lambda (list e) {}))"
    record = "(dict (list 'pt') (list (attr e 'MET_pt')))"
    assert trees(query.format(record), "uproot") == {"servicex"}
    assert trees("nMuon > 1", "tcut") == {"servicex"}
    assert trees("select MET_pt>20, project Events;1.MET_pt", "skyhook") == {"servicex"}


def test_rows_of_parquet_say_which_tree_they_are_of(lab, two_trees, one_tree):
    transform, results = lab.run([{"treename": ["a", "b"]}], [two_trees, one_tree])
    two, one = (
        pq.read_table(lab.folder(transform.request_id) / item.object)["treename"].to_pylist()
        for item in results
    )
    assert (two, one) == (["a"] * 5 + ["b"] * 3, ["a"] * 2)


@pytest.mark.parametrize("result_format", ["parquet", "root-file", "root-rntuple"])
def test_a_tree_that_is_missing_is_left_out_or_an_error(lab, one_tree, two_trees, result_format):
    query = [{"treename": "b", "fail_on_missing_trees": False}]
    transform, results = lab.run(query, [one_tree, two_trees], result_format=result_format)
    assert [(item.ok, item.rows) for item in results] == [(True, 0), (True, 3)]
    lab.require_exact(transform.request_id)
    path = lab.folder(transform.request_id) / results[0].object
    if result_format == "parquet":
        assert pq.read_table(path).column_names == []
    else:
        with uproot.open(path) as file:
            assert "b" not in file
    query = [{"treename": "b", "fail_on_missing_trees": True}]
    transform, results = lab.run(query, [one_tree, two_trees], result_format=result_format)
    assert (transform.state.completed, transform.state.failed) == (1, 1)
    assert results[0].code == "SX204"
    assert "has no tree 'b'" in results[0].message


@pytest.mark.parametrize("result_format", ["parquet", "root-file", "root-rntuple"])
def test_a_selection_of_nothing_keeps_its_columns(lab, nanoaod_files, result_format):
    nothing = [{**MUONS[0], "cut": "MET_pt < -1"}]
    transform, (item,) = lab.run(nothing, nanoaod_files[:1], result_format=result_format)
    assert (item.ok, item.rows) == (True, 0)
    path = lab.folder(transform.request_id) / item.object
    if result_format == "parquet":
        assert pq.read_table(path).column_names == ["Muon_pt", "MET_pt", "treename"]
    else:
        with uproot.open(path) as file:
            assert {"Muon_pt", "MET_pt"} <= set(file["Events"].keys())
            assert file["Events"].num_entries == 0


def test_null_keys_are_absent_keys(lab, nanoaod_files):
    absent = {
        "aliases": None,
        "filter_name": None,
        "filter_typename": None,
        "copy_histograms": None,
    }
    plain, with_nulls = (
        lab.run(query, nanoaod_files[:1])[1][0] for query in (MUONS, [{**MUONS[0], **absent}])
    )
    assert (plain.rows, plain.bytes) == (with_nulls.rows, with_nulls.bytes)


def test_objects_are_copied_into_root_files_and_refused_in_parquet(lab, two_trees):
    query = [{"treename": "a"}, {"copy_histograms": "h"}]
    transform, (item,) = lab.run(query, [two_trees], result_format="root-file")
    with uproot.open(lab.folder(transform.request_id) / item.object) as file:
        assert file["h"].values().tolist() == [2.0] * 5
        assert file["a"].num_entries == 5
    _, (item,) = lab.run(query, [two_trees])
    assert (item.ok, item.code) == (False, "SX100")
    assert "cannot hold copies" in item.message


class SlowFinder:
    """Finds one file, when it is let."""

    def __init__(self, path):
        self.path = str(path)
        self.may_end = threading.Event()

    def find(self, address, *, storage_options):
        assert (address.scheme, dict(storage_options)) == ("rucio", {})
        assert self.may_end.wait(60)
        return [FileEntry(self.path)]


def has_results(lab, request_id, count):
    return len(lab.results(request_id)) == count


def test_files_of_a_dataset_are_worked_on_while_others_are_looked_for(
    tmp_path, client, nanoaod_files
):
    *early, late = nanoaod_files
    finder = SlowFinder(late)
    with laboratory(tmp_path, lambda: client, finder=finder) as lab:
        request_id = lab.submit_dataset(MUONS, "rucio://scope:name")
        wait_until(lambda: lab.store.transform(request_id).state.status is Status.LOOKUP)
        dataset = lab.store.transform(request_id).did_id
        for number, path in enumerate(early, start=1):
            lab.store.add_files(dataset, [DatasetFile(0, (str(path),))])
            lab.engine.wake()
            wait_until(partial(has_results, lab, request_id, number))
        assert lab.store.transform(request_id).state.status is Status.RUNNING
        finder.may_end.set()
        transform = lab.ended(request_id)
        assert (transform.state.status, transform.state.completed) == (Status.COMPLETE, 4)
        lab.require_exact(request_id)


def test_a_dataset_that_cannot_be_had_ends_its_transform(lab):
    request_id = lab.submit_dataset(MUONS, "nowhere://nothing")
    assert lab.ended(request_id).state.status is Status.BAD_DATASET


def test_files_of_two_users_take_turns(tmp_path, client, nanoaod_files):
    with laboratory(tmp_path, lambda: client, files=1) as lab:
        many = [f"{path}" for path in nanoaod_files]
        large = lab.submit([{**MUONS[0], "cut": "nMuon >= 2"}], many, submitted_by=None)
        small = lab.submit(MUONS, many[:2], submitted_by=None, priority=1)
        lab.ended(small)
        lab.ended(large)
        stamps = {name: [r.created for r in lab.store.results(name)] for name in (large, small)}
        assert stamps[small][-1] < stamps[large][-1]


def test_progress_is_told_while_a_transform_runs_and_not_after(tmp_path, client, nanoaod_files):
    with laboratory(tmp_path, lambda: client, files=1) as lab:
        request_id = lab.submit(MUONS, nanoaod_files)
        wait_until(lambda: lab.engine.progress(request_id) is not None)
        told = lab.engine.progress(request_id) or EngineProgress()
        assert told.queued + told.reading + told.computing + told.uploading <= 4
        lab.ended(request_id)
        wait_until(lambda: lab.engine.progress(request_id) is None)
