"""What func_adl queries read of a file, counted: branches, bytes, conditions, tasks."""

from __future__ import annotations

from dataclasses import replace

import awkward as ak
import pytest
import uproot

import sxdask as sx
from sxdask.pipeline.compile import compile_plan
from sxdask.rootio.model import ReadOptions
from sxdask.rootio.scan import SELECTIVITY

EXACT = ReadOptions(gap_bytes=0, learn_zones=True)
HEADER = 80  # read with each batch of requests, to see that the file is the indexed one


@pytest.fixture(autouse=True)
def nothing_remembered():
    """Selectivities seen by other tests decide the order of conditions."""
    SELECTIVITY.clear()


def table_of(path, query):
    request = sx.request("func_adl", query, dataset=sx.dataset(path, tree="Events"))
    (table,) = compile_plan(request.plan, request.source).tables
    return table


def read(table):
    """Read every piece without holes; return the reports, summed up."""
    reader = replace(table.reader, options=EXACT)
    reports = [reader.read(piece).report for piece in table.pieces]
    return sum(reports[1:], start=reports[0])


def basket_bytes(path, *names):
    """Return the bytes of all baskets of these branches, as uproot counts them."""
    with uproot.open(path) as file:
        return sum(int(file["Events"][name].compressed_bytes) for name in names)


MET_CUT = """
EventDataset().Where(lambda e: e.MET_pt > 20).Select(lambda e: {'n': e.nJet, 'p': e.Jet_pt})
"""
LATE_CUT = """
EventDataset().Select(lambda e: {'m': e.MET_pt, 'j': e.Jet_pt, 'e': e.Jet_eta})
    .Where(lambda r: r.j.Count() > 1).Select(lambda r: r.m)
"""
ITEMS = """
EventDataset().SelectMany(lambda e: Zip({'pt': e.Jet_pt, 'eta': e.Jet_eta, 'phi': e.Jet_phi}))
    .Where(lambda j: abs(j.eta) < 1).Select(lambda j: j.pt)
"""
MOMENTA = """
EventDataset().Select(lambda e: {'pt': e.Muon_pt, 'eta': e.Muon_eta, 'phi': e.Muon_phi,
    'mass': e.Muon_mass}.ToFourMomentum().Choose(2).Select(lambda p: p.First().pt))
"""
COUNT = "EventDataset().Where(lambda e: e.nMuon > 1 and e.MET_pt > 20).Count()"

# query, the branches of its conditions, the branches of its result
QUERIES = [
    ("EventDataset().Select(lambda e: e.MET_pt)", [], ["MET_pt"]),
    (MET_CUT, ["MET_pt"], ["nJet", "Jet_pt"]),
    (LATE_CUT, ["Jet_pt"], ["MET_pt"]),
    (ITEMS, [], ["Jet_pt", "Jet_eta"]),
    (MOMENTA, [], ["Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass"]),
    (COUNT, ["nMuon", "MET_pt"], []),
]


@pytest.mark.parametrize(("query", "conditions", "outputs"), QUERIES, ids=range(len(QUERIES)))
def test_only_the_branches_of_a_query_are_read(nanoaod, query, conditions, outputs):
    table = table_of(nanoaod, query)
    assert {name for item in table.reader.conjuncts for name in item.columns} == set(conditions)
    assert table.reader.output_columns == set(outputs)
    report = read(table)
    wanted = basket_bytes(nanoaod, *{*conditions, *outputs})
    rounds = len(table.reader.conjuncts) + 1
    assert report.bytes_read <= wanted + rounds * HEADER
    assert report.ttree_opens == 0


def test_conditions_are_conjuncts_of_their_own_with_zone_tests(nanoaod):
    table = table_of(
        nanoaod,
        "EventDataset().Where(lambda e: e.event <= 4000 and e.MET_pt > 30)"
        ".Where(lambda e: e.Jet_pt.Sum() > 50).Select(lambda e: e.MET_pt)",
    )
    assert [item.text for item in table.reader.conjuncts] == [
        "event <= 4000",
        "MET_pt > 30",
        "sum(Jet_pt, axis=1) > 50",
    ]
    assert [item.zone is not None for item in table.reader.conjuncts] == [True, True, False]


def test_what_nothing_passes_reads_only_the_condition(nanoaod):
    # no event has both, and no basket's minimum and maximum can tell
    table = table_of(
        nanoaod,
        "EventDataset().Where(lambda e: e.MET_phi > 1 and e.MET_phi < -1)"
        ".Select(lambda e: (e.Muon_pt, e.Jet_pt))",
    )
    report = read(table)
    assert report.entries_out == 0
    assert report.bytes_read == basket_bytes(nanoaod, "MET_phi") + HEADER


def test_conditions_on_items_stay_with_the_items(nanoaod):
    table = table_of(
        nanoaod, "EventDataset().SelectMany(lambda e: e.Jet_pt).Where(lambda p: p > 50)"
    )
    assert table.reader.conjuncts == ()
    assert read(table).entries_out == 20_000


def test_a_query_is_one_task_a_partition_and_small(nanoaod_files):
    data = sx.dataset([str(path) for path in nanoaod_files], tree="Events")
    request = sx.request(
        "func_adl",
        "EventDataset().Where(lambda e: e.nMuon > 0).Select(lambda e: {'pt': e.Muon_pt.First(),"
        " 'pairs': e.Muon_pt.Choose(2).Select(lambda p: p.Sum()), 'met': e.MET_pt})",
        dataset=data,
    )
    lazy = request.dask()
    graph = dict(lazy.dask)
    assert len(graph) <= 2 * lazy.npartitions
    found = lazy.compute()
    both = request.compute()
    assert ak.array_equal(found, both)
    assert str(found.type.content) == "{pt: float32, pairs: var * float32, met: float32}"


def test_the_same_rows_from_files_split_otherwise(nanoaod, nanoaod_files):
    query = (
        "EventDataset().Where(lambda e: e.nJet > 1).SelectMany(lambda e: Zip({'pt': e.Jet_pt,"
        " 'eta': e.Jet_eta}).OrderByDescending(lambda j: j.pt)).Select(lambda j: {'pt': j.pt,"
        " 'e': j.eta})"
    )
    data = sx.dataset([str(path) for path in nanoaod_files], tree="Events")
    whole = sx.request("func_adl", query, dataset=data).compute()
    parts = [
        sx.request("func_adl", query, dataset=sx.dataset(path, tree="Events")).compute()
        for path in nanoaod_files
    ]
    assert ak.array_equal(whole, ak.concatenate(parts))
    count = f"{query}.Count()"
    assert sx.request("func_adl", count, dataset=data).compute() == len(whole)
