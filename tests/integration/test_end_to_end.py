"""A request from its text to its rows, on real and generated files, against uproot."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest
import uproot

import sxdask as sx
from sxdask.plan.explain import format_bytes


def test_selected_columns_equal_uproot_on_a_real_file(samples):
    path = samples / "nano_dy.root"
    found = sx.dataset(path, "Events").select("Muon_pt", "nMuon", "HLT_IsoMu24").compute()
    wanted = uproot.open(path)["Events"].arrays(["Muon_pt", "nMuon", "HLT_IsoMu24"])
    assert found.type == wanted.type
    assert ak.array_equal(found, wanted)


def test_a_selection_equals_uproot_and_awkward(nanoaod):
    query = (
        sx.dataset(nanoaod, "Events")
        .where("(nMuon >= 2) & (MET_pt > 20)")
        .where("any(Muon_pt > 25, axis=1)")
        .select("event", "Muon_pt", leading="max(Muon_pt, axis=1)", twice="MET_pt * 2")
    )
    found = query.compute(scheduler="sync")
    raw = uproot.open(nanoaod)["Events"].arrays(["event", "nMuon", "MET_pt", "Muon_pt"])
    kept = raw[(raw.nMuon >= 2) & (raw.MET_pt > 20) & ak.any(raw.Muon_pt > 25, axis=1)]
    assert len(kept) > 50
    assert ak.array_equal(found.event, kept.event)
    assert ak.array_equal(found.Muon_pt, kept.Muon_pt)
    assert ak.array_equal(found.leading, ak.max(kept.Muon_pt, axis=1))
    assert ak.array_equal(found.twice, kept.MET_pt * 2)
    assert found.fields == ["event", "Muon_pt", "leading", "twice"]


def test_several_files_come_back_in_dataset_order(nanoaod_files):
    found = sx.dataset(nanoaod_files, "Events").select("event").compute()
    parts = [uproot.open(path)["Events"]["event"].array() for path in nanoaod_files]
    assert ak.array_equal(found.event, ak.concatenate(parts))


@pytest.mark.parametrize("scheduler", ["sync", "threads", "processes"])
def test_every_scheduler_gives_the_same(nanoaod_files, scheduler):
    query = sx.dataset(nanoaod_files, "Events").where("nJet > 2").select("Jet_pt")
    found = query.compute(scheduler=scheduler)
    assert ak.array_equal(found, query.compute(scheduler="sync"))


def test_partitions_stream_in_order_and_hold_every_row_once(nanoaod_files):
    query = sx.dataset(nanoaod_files, "Events").where("nJet > 2").select("event", "Jet_pt")
    parts = list(query.stream(ordered=True))
    assert [part.index for part in parts] == list(range(len(parts)))
    assert {part.file for part in parts} == {str(path) for path in nanoaod_files}
    whole = ak.concatenate([ak.from_arrow(part.table) for part in parts])
    assert ak.array_equal(whole, query.compute())


def test_partitions_in_completion_order_are_the_same_set(nanoaod_files):
    query = sx.dataset(nanoaod_files, "Events").select("event")
    rows = {part.index: part.table.num_rows for part in query.stream()}
    assert rows == {part.index: part.table.num_rows for part in query.stream(ordered=True)}


def test_closing_a_stream_early_is_clean(nanoaod_files):
    stream = sx.dataset(nanoaod_files, "Events").select("event").stream()
    next(stream)
    stream.close()


def test_free_code_on_the_collection_reads_only_what_it_touches(nanoaod):
    lazy = sx.dataset(nanoaod, "Events").where("nMuon >= 2").dask()
    import dask_awkward as dak

    columns = dak.necessary_columns(lazy.Muon_pt + 1)
    assert next(iter(columns.values())) == frozenset({"Muon_pt"})
    found = (lazy.Muon_pt + 1).compute(scheduler="sync")
    raw = uproot.open(nanoaod)["Events"].arrays(["Muon_pt", "nMuon"])
    assert ak.array_equal(found, raw.Muon_pt[raw.nMuon >= 2] + 1)


def test_the_collection_of_everything_equals_uproot(nanoaod):
    lazy = sx.dataset(nanoaod, "Events").dask()
    wanted = uproot.open(nanoaod)["Events"].arrays()
    found = lazy.compute(scheduler="sync")
    assert found.type == wanted.type
    assert ak.array_equal(found[["event", "Jet_pt"]], wanted[["event", "Jet_pt"]])


def test_a_selection_nothing_passes_keeps_the_type(nanoaod):
    query = sx.dataset(nanoaod, "Events").where("MET_pt > 1e9").select("Muon_pt", "run")
    found = query.compute()
    assert len(found) == 0
    assert str(found.type) == "0 * {Muon_pt: var * float32, run: uint32}"
    assert sum(part.table.num_rows for part in query.stream()) == 0


def test_a_wrong_branch_fails_before_any_work_with_a_suggestion(nanoaod_files):
    with pytest.raises(sx.SxdaskError, match="MET_ptt") as caught:
        sx.dataset(nanoaod_files, "Events").where("MET_ptt > 30")
    assert caught.value.code == "SX101"
    assert "'MET_pt'" in str(caught.value)


def test_the_request_in_two_languages_is_one(nanoaod):
    data = sx.dataset(nanoaod, "Events")
    native = data.where("nMuon >= 2").select("MET_pt", "Muon_pt")
    raw = data.request(
        "uproot-raw",
        {"treename": "Events", "cut": "nMuon >= 2", "expressions": ["MET_pt", "Muon_pt"]},
    )
    assert raw.compute().to_list() == native.compute().to_list()
    assert native.plan.outputs[0].root == raw.plan.outputs[0].root


def test_explain_counts_branches_and_bytes(nanoaod):
    query = sx.dataset(nanoaod, "Events").where("MET_pt > 50").select("Muon_pt")
    text = query.explain()
    tree = uproot.open(nanoaod)["Events"]
    assert "push_filter_into_scan" in text
    for name in ("MET_pt", "Muon_pt"):
        assert name in text
        assert format_bytes(int(tree[name].compressed_bytes)) in text
    assert "<script" not in query._repr_html_()


def test_num_events_files_and_schema(nanoaod_files):
    data = sx.dataset(nanoaod_files, "Events")
    assert data.num_events == 10_000
    assert data.files == tuple(str(path) for path in nanoaod_files)
    assert str(data.schema["Muon_pt"].type) == "var * float32"
    assert data.schema["Muon_pt"].list_depth == 1
    assert np.dtype(str(data.schema["event"].type)) == np.uint64


def test_units_that_the_file_states_travel_with_the_table(samples):
    data = sx.dataset(samples / "nano_dy.root", "Events")
    (part,) = data.select("Muon_dxy", "Muon_pt", far="abs(Muon_dxy)").stream()
    assert part.table.field("Muon_dxy").metadata[b"sxdask:unit"] == b"cm"
    assert b"sxdask:unit" not in part.table.field("Muon_pt").metadata
    assert b"sxdask:unit" not in part.table.field("far").metadata


def test_a_table_says_which_request_it_answers(nanoaod):
    query = sx.request(
        "uproot-raw",
        {"treename": "Events", "filter_name": "MET_pt"},
        dataset=sx.dataset(nanoaod),
        title="momentum",
    )
    for part in query.stream():
        facts = part.table.schema.metadata
        assert facts[b"sxdask:title"] == b"momentum"
        assert facts[b"sxdask:language"] == b"uproot-raw"
        assert facts[b"sxdask:fingerprint"] == query.fingerprint.encode()
        assert int(facts[b"sxdask:entry_start"]) == part.entry_start


@pytest.mark.parametrize(
    ("filter_name", "filter_typename"),
    [
        ("Muon_*", None),
        (None, "float"),
        ("/Muon_(pt|charge)/", None),
        ("Muon_*", "/.*float.*/"),
        (["MET_pt", "no_such"], ["float", "double"]),
    ],
)
def test_name_and_type_filters_choose_what_uproot_chooses(samples, filter_name, filter_typename):
    path = samples / "nano_dy.root"
    query = {"treename": "Events", "filter_name": filter_name, "filter_typename": filter_typename}
    found = sx.dataset(path).request("uproot-raw", query)
    tree = uproot.open(path)["Events"]
    wanted = tree.keys(filter_name=filter_name, filter_typename=filter_typename)
    assert list(found.schema) == wanted
    assert found.compute().fields == wanted


def test_files_without_the_tree_are_skipped_only_if_the_request_allows_it(nanoaod, tmp_path):
    other = tmp_path / "other.root"
    with uproot.recreate(other) as file:
        file["Extra"] = {"x": np.arange(5)}
    data = sx.dataset([nanoaod, other])
    lenient = {"treename": "Events", "filter_name": "MET_pt"}
    assert len(data.request("uproot-raw", lenient).compute()) == 20_000
    strict = {**lenient, "fail_on_missing_trees": True}
    with pytest.raises(sx.SxdaskError, match="no tree 'Events'"):
        data.request("uproot-raw", strict).compute()
    nowhere = data.request("uproot-raw", {"treename": "Nowhere"})
    assert nowhere.compute() == {}
    assert list(nowhere.stream()) == []
    with pytest.raises(sx.SxdaskError, match="has a tree that the request names"):
        nowhere.deliver(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_sub_queries_of_one_output_follow_each_other(nanoaod, tmp_path):
    query = sx.dataset(nanoaod).request(
        "uproot-raw",
        [
            {"treename": {"Events": "all"}, "filter_name": "event", "cut": "event <= 10"},
            {"treename": {"Events": "all"}, "filter_name": "event", "cut": "event > 19990"},
            {"treename": {"Events": "few"}, "filter_name": "MET_pt", "cut": "event == 7"},
        ],
    )
    found = query.compute()
    assert found["all"].event.to_list() == [*range(1, 11), *range(19_991, 20_001)]
    assert len(found["few"]) == 1
    manifest = query.deliver(tmp_path / "out")
    assert manifest.to_awkward("all").event.to_list() == found["all"].event.to_list()
    assert set(query.dask()) == {"all", "few"}
    assert (
        query.dask()["all"].compute(scheduler="sync").event.to_list()
        == found["all"].event.to_list()
    )


def test_an_event_number_beyond_int64_is_compared_exactly(tmp_path):
    path = tmp_path / "big.root"
    numbers = np.array([1, 2**53 + 1, 2**63 + 5, 2**64 - 1], dtype=np.uint64)
    with uproot.recreate(path) as file:
        file["t"] = {"event": numbers}
    data = sx.dataset(path, "t")
    for text, kept in [
        ("event >= 9223372036854775813", [2**63 + 5, 2**64 - 1]),
        ("event == 18446744073709551615", [2**64 - 1]),
        ("event == 9007199254740993", [2**53 + 1]),
        ("event < 9223372036854775813", [1, 2**53 + 1]),
    ]:
        for _ in range(2):  # the second time with the statistics of the first
            assert data.where(text).compute().event.to_list() == kept, text
