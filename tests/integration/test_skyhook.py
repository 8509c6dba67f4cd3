"""Query strings of SkyhookDM over real and generated files: tables that equal what uproot reads."""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import pyarrow as pa
import pytest
import uproot

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.settings import load_settings
from tests.refusals import error_of


def ask(query, data, **options):
    return sx.request("skyhook", query, dataset=data, **options)


def test_a_file_gives_one_table_with_the_branches_as_columns(samples):
    path = samples / "nano_dy.root"
    query = "select event_id>5, project Events;1.Muon_eta,Events;1.Muon_phi"
    table = ask(query, sx.dataset(path)).compute()
    events = uproot.open(path)["Events"].arrays(["Muon_eta", "Muon_phi"], entry_start=6)
    assert isinstance(table, pa.Table)
    assert table.column_names == ["Muon_eta", "Muon_phi"]
    assert ak.array_equal(ak.from_arrow(table), events, check_parameters=False)


def test_a_dataset_gives_a_list_of_tables_and_event_id_counts_in_each_file(nanoaod_files):
    query = "select event_id>5 && event_id<2000, project event_id,Events;1.event"
    tables = ask(query, sx.dataset(nanoaod_files)).compute()
    assert isinstance(tables, list)
    for path, table in zip(nanoaod_files, tables, strict=True):
        assert table["event_id"].to_pylist() == list(range(6, 2000))
        events = uproot.open(path)["Events"]["event"].array(library="np")
        assert table["event"].to_pylist() == events[6:2000].tolist()


def test_a_file_without_a_passing_event_has_a_table_without_rows(nanoaod_files):
    one, *others = nanoaod_files
    last = uproot.open(one)["Events"]["event"].array(library="np")[-1]
    query = f"select Events;1.event <= {last}, project Events;1.Muon_pt"
    first, *rest = ask(query, sx.dataset([one, *others])).compute()
    assert first.num_rows == 2500
    assert [table.num_rows for table in rest] == [0, 0, 0]
    assert all(table.schema == first.schema for table in rest)


def test_everything_is_every_readable_column(nanoaod):
    data = sx.dataset(nanoaod)
    table = ask("select *", data).compute()
    assert table.num_rows == 20_000
    assert table.column_names == list(data.schema)


def test_event_id_decides_which_partitions_are_read(nanoaod_files):
    small = replace(load_settings(), partition_bytes=1000)
    data = sx.dataset(nanoaod_files, settings=small)
    query = ask("select event_id >= 2000, project Events;1.Muon_pt", data)
    assert "4 kept, 8 pruned" in query.explain()
    assert [table.num_rows for table in query.compute()] == [500] * 4
    assert query.summary.entries == 2000


def test_the_newest_cycle_is_read_and_others_are_refused(samples):
    data = sx.dataset(samples / "test_FCC_Spring2021.root", tree="run_metadata")
    assert data.source.cycles("run_metadata") == (2, 1)
    query = "select event_id == 0, project run_metadata;2.runMD.first"
    assert ask(query, data).compute().num_rows == 1
    error = error_of(lambda: ask("select *, project run_metadata;1.*", data), "SX102")
    assert "run_metadata;2, run_metadata;1" in error.problem


def test_names_with_folders_and_dots_are_found(samples):
    physlite = sx.dataset(samples / "PHYSLITE_example.root")
    name = "AnalysisElectronsAuxDyn.pt"
    for text in (f"CollectionTree;1.{name}", f"CollectionTree.{name}", name):
        table = ask(f"select event_id < 7, project {text}", physlite).compute()
        assert table.column_names == [name]
        assert table.num_rows == 7
    folder = sx.dataset(samples / "pduneana.root")
    table = ask("select *, project pduneana/beamana;1.run", folder).compute()
    assert table.column_names == ["run"]


def test_it_streams_delivers_and_goes_on_in_dask_as_every_language(nanoaod_files, tmp_path):
    query = ask("select event_id < 10, project Events;1.MET_pt", sx.dataset(nanoaod_files))
    whole = ak.concatenate([ak.from_arrow(table) for table in query.compute()])
    parts = sorted(query.stream(), key=lambda part: part.index)
    assert sum(part.table.num_rows for part in parts) == len(whole) == 40
    manifest = query.deliver(tmp_path / "out")
    assert sum(entry.rows for entry in manifest.partitions) == 40
    assert ak.array_equal(query.dask().compute(), whole, check_parameters=False)


def test_conditions_and_columns_can_be_added(nanoaod_files):
    query = ask("select event_id < 100", sx.dataset(nanoaod_files))
    tables = query.where("nMuon >= 2").select(lead="Muon_pt[:, 0]").compute()
    assert [table.column_names for table in tables] == [["lead"]] * 4
    assert 0 < sum(table.num_rows for table in tables) < 400


def test_on_a_cluster_the_tables_are_the_same(nanoaod_files):
    query = ask("select event_id<50, project Events;1.Muon_pt", sx.dataset(nanoaod_files))
    here = query.compute(scheduler="sync")
    with LocalBackend(2, threads_per_worker=1) as client:
        assert query.compute(client) == here


@pytest.mark.parametrize("query", ["select Events;2.run > 1", "select *, project Evts;1.run"])
def test_mistakes_are_found_before_anything_is_read(nanoaod_files, query):
    error_of(lambda: ask(query, sx.dataset(nanoaod_files)), "SX102", "SX204")
