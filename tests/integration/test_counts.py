"""What is read, counted exactly: bytes, baskets, opened trees, tasks."""

from __future__ import annotations

import pickle
import shutil
from dataclasses import replace

import awkward as ak
import dask
import pytest
import uproot

import sxdask as sx
from sxdask.core.settings import load_settings
from sxdask.pipeline.compile import compile_plan
from sxdask.rootio.model import ReadOptions, ScanSpec
from sxdask.rootio.scan import SELECTIVITY, scan

HEADER = 80  # read with each batch of requests, to see that the file is the indexed one
EXACT = ReadOptions(gap_bytes=0, learn_zones=True)


@pytest.fixture(autouse=True)
def nothing_remembered():
    """Selectivities seen by other tests decide the order of conditions."""
    SELECTIVITY.clear()


def basket_bytes(path, *names):
    """Return the bytes of all baskets of these branches, as uproot counts them."""
    with uproot.open(path) as file:
        return sum(int(file["Events"][name].compressed_bytes) for name in names)


def lowered(query):
    (table,) = compile_plan(query.plan, query.source).tables
    return table


def run(table, options=EXACT):
    """Read every piece without holes; return the reports, summed up, and the rows."""
    reader = replace(table.reader, options=options)
    found = [reader.read(piece) for piece in table.pieces]
    reports = [item.report for item in found]
    return sum(reports[1:], start=reports[0]), ak.concatenate([item.array for item in found])


@pytest.mark.parametrize(
    "columns", [["MET_pt"], ["event", "Muon_pt"], ["run", "nJet", "Jet_pt", "Jet_eta", "MET_phi"]]
)
def test_reading_columns_touches_only_their_baskets(nanoaod, columns):
    report, _ = run(lowered(sx.dataset(nanoaod).select(*columns)))
    assert report.bytes_read == basket_bytes(nanoaod, *columns) + HEADER
    assert report.baskets_read == 5 * len(columns)
    assert report.ttree_opens == 0


def test_a_column_that_serves_condition_and_output_is_read_once(nanoaod):
    query = sx.dataset(nanoaod).where("MET_pt > 0").select("MET_pt", twice="MET_pt * 2")
    report, _ = run(lowered(query))
    assert report.baskets_read == 5
    assert report.bytes_read == basket_bytes(nanoaod, "MET_pt") + HEADER


def test_a_condition_that_nothing_passes_reads_only_its_own_columns(nanoaod):
    # holds for no event, and no basket's minimum and maximum can tell
    query = sx.dataset(nanoaod).where("(MET_phi > 1) & (MET_phi < -1)").select("Muon_*", "Jet_*")
    report, rows = run(lowered(query))
    assert len(rows) == 0
    assert report.bytes_read == basket_bytes(nanoaod, "MET_phi") + HEADER
    assert report.entries_in == 20_000
    assert report.entries_out == 0


def test_a_second_condition_reads_only_where_the_first_left_rows(make_nanoaod):
    path = make_nanoaod(10_000, entries_per_cluster=1_000)
    query = sx.dataset(path).where("event <= 500").where("sum(Jet_pt) > 0").select("MET_pt")
    report, rows = run(lowered(query))
    assert len(rows) > 100
    # event in all ten baskets, then one basket each of the other two
    assert report.baskets_read == 10 + 1 + 1
    assert report.baskets_skipped == 9 + 9


def test_known_statistics_leave_nothing_to_read_but_the_survivors(make_nanoaod):
    path = make_nanoaod(10_000, entries_per_cluster=1_000)
    settings = replace(load_settings(), partition_bytes=1)  # a partition for each cluster
    data = sx.dataset(path, settings=settings)
    query = data.where("(event > 3000) & (event <= 3400)").select("event", "Muon_pt")
    first = query.compute(scheduler="sync")
    assert query.summary.partitions == 10
    again = data.where("(event > 3000) & (event <= 3400)").select("event", "Muon_pt")
    table = lowered(again)
    assert [(piece.entry_start, piece.entry_stop) for piece in table.pieces] == [(3_000, 4_000)]
    assert len(table.pruned) == 9
    report, rows = run(table)
    assert ak.array_equal(rows, first)
    with uproot.open(path) as file:
        wanted = sum(
            int(file["Events"][name].member("fBasketBytes")[3]) for name in ("event", "Muon_pt")
        )
    baskets = 2
    assert report.baskets_read == baskets
    assert wanted <= report.bytes_read <= wanted + HEADER * baskets
    assert again.explain().count("9 pruned") == 1


def test_what_is_known_of_all_baskets_is_not_learned_again(make_nanoaod):
    path = make_nanoaod(4_000, entries_per_cluster=1_000)
    query = sx.dataset(path).select("event", "Muon_pt")
    (piece,) = lowered(query).pieces
    assert set(lowered(query).reader.read(piece).learned) == {"event", "Muon_pt"}
    sx.dataset(path).where("event <= 1000").select("Muon_pt").compute()
    (piece,) = lowered(query).pieces  # of Muon_pt one basket of four is known
    assert set(lowered(query).reader.read(piece).learned) == {"event", "Muon_pt"}
    query.compute()
    (piece,) = lowered(query).pieces
    assert lowered(query).reader.read(piece).learned == {}


def test_index_stats_prune_without_any_earlier_read(make_nanoaod):
    path = make_nanoaod(6_000, entries_per_cluster=1_000)
    settings = replace(load_settings(), partition_bytes=1)
    data = sx.dataset(path, settings=settings).index(stats=True)
    assert len(lowered(data.where("event > 5500").select("MET_pt")).pieces) == 1
    assert lowered(data.where("MET_pt < -1").select("MET_pt")).pieces == ()
    assert len(data.where("MET_pt < -1").select("MET_pt").compute()) == 0


def test_a_warm_index_means_that_no_worker_opens_a_tree(samples):
    path = samples / "nano_dy.root"
    query = sx.dataset(path, "Events").where("nMuon >= 1").select("Muon_*", "HLT_*")
    query.compute(scheduler="sync")
    assert query.summary.report.ttree_opens == 0
    assert query.summary.report.baskets_read > 400


def test_branches_that_go_through_uproot_open_the_tree_once(samples, tmp_path):
    path = shutil.copy(samples / "PHYSLITE_example.root", tmp_path)  # not opened by other tests
    index = sx.dataset(path, "CollectionTree").source.index_of_first("CollectionTree")
    layouts = index.layout.columns
    slow = tuple(name for name, column in layouts.items() if column.kind == "uproot")[:3]
    assert len(slow) == 3
    found = scan(index.piece(0, 0, 10, slow), layouts, ScanSpec(slow))
    assert found.report.ttree_opens == 1
    assert found.num_rows == 10


def test_the_graph_has_a_task_for_each_partition_and_no_more(nanoaod_files):
    settings = replace(load_settings(), partition_bytes=1)
    data = sx.dataset(nanoaod_files, settings=settings)
    lazy = data.where("nMuon >= 1").select("Muon_pt", lead="max(Muon_pt)").dask()
    (optimised,) = dask.optimize(lazy)
    assert lazy.npartitions == 12  # four files of 2 500 events in clusters of 1 000
    assert len(dict(optimised.__dask_graph__())) == 12
    assert len(optimised.__dask_graph__().layers) == 1


def test_a_wide_file_makes_no_larger_graph(make_nanoaod):
    sizes, tasks = [], []
    for name, extra in (("slim.root", 0), ("wide.root", 400)):
        path = make_nanoaod(3_000, name, extra_branches=extra, entries_per_cluster=1_000)
        lazy = sx.dataset(path).where("nMuon >= 1").select("Muon_pt", "MET_pt").dask()
        graph = dict(lazy.__dask_graph__())
        blob = pickle.dumps(graph)
        assert b"sxdask.plan" not in blob  # programs travel, plan nodes do not
        sizes.append(len(blob))
        tasks.append(len(graph))
    assert tasks[0] == tasks[1] == 1
    assert abs(sizes[0] - sizes[1]) <= 16  # larger numbers take a byte more
