"""Processors over generated files: what they get, what is read for them, what they give."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import BaseSchema, NanoAODSchema
from coffea.processor import ProcessorABC

import sxdask as sx
from sxdask.core.errors import (
    EmptyDatasetError,
    MissingExtraError,
    RequestError,
    UnknownBranchError,
    UserFunctionError,
)
from tests.processors import DimuonMass, EveryKindOfAccumulator, reference

pytestmark = pytest.mark.filterwarnings("ignore:Missing cross-reference:RuntimeWarning")


def mean_pt(events):
    return {"n": len(events), "pt": [float(ak.sum(events.Muon.pt))]}


def fileset_of(path, **more):
    return {"data": {"files": {str(path): "Events"}, **more}}


def run(*args, **options):
    return sx.run_processor(*args, scheduler="sync", **options)


def test_every_kind_of_accumulator_adds_up_as_with_the_runner(nanoaod_files):
    fileset = {
        "one": {"files": [str(path) for path in nanoaod_files[:2]], "treename": "Events"},
        "two": {"files": {str(nanoaod_files[2]): "Events"}},
    }
    wanted = reference(fileset, EveryKindOfAccumulator(), NanoAODSchema, chunksize=700)
    found = run(EveryKindOfAccumulator(), fileset, chunksize=700)
    assert np.allclose(found.pop("met").values(), wanted.pop("met").values())
    assert np.array_equal(found.pop("old")["pt"].value, wanted.pop("old")["pt"].value)
    assert found == wanted
    assert found["seen"] == {1}
    assert len(found["starts"]) == 12


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_q_process_gives_what_the_runner_gives_on_the_events_that_pass(nanoaod, scheduler):
    query = sx.dataset(nanoaod, name="data").where("(nMuon >= 2) & (MET_pt > 20)")
    found, report = query.process(
        DimuonMass(), scheduler=scheduler, chunksize=3_000, savemetrics=True
    )

    class Filtered(DimuonMass):
        def process(self, events):
            return super().process(events[(ak.num(events.Muon) >= 2) & (events.MET.pt > 20)])

    assert found == reference(fileset_of(nanoaod), Filtered(), NanoAODSchema, chunksize=3_000)
    assert report["entries"] == found["data"]["events"] < report["entries_read"] == 20_000
    assert report["ttree_opens"] == 0


def test_where_takes_an_expression_or_a_query(nanoaod):
    cut = "any(Muon_pt > 40, axis=1)"
    query = sx.dataset(nanoaod).where(cut)
    counts = [run(len, fileset_of(nanoaod), where=where) for where in (cut, query)]
    events = uproot.open(nanoaod)["Events"].arrays(["Muon_pt"])
    assert counts == [int(ak.sum(ak.any(events.Muon_pt > 40, axis=1)))] * 2


def test_where_leaves_cross_references_right(nanoaod):
    def matched(events):
        return {"pdg": ak.flatten(events.Muon.matched_gen.pdgId).to_list()}

    def filtered(events):
        return matched(events[events.MET.pt > 25])

    wanted = reference(fileset_of(nanoaod), filtered, NanoAODSchema)
    assert run(matched, fileset_of(nanoaod), where="MET_pt > 25", chunksize=5_000) == wanted
    assert wanted["pdg"]


def test_a_column_of_the_condition_is_not_read_again_for_the_processor(nanoaod):
    options = {"savemetrics": True, "chunksize": 4_000}
    plain, cut = (
        run(mean_pt, fileset_of(nanoaod), where=where, **options)[1]["bytesread"]
        for where in (None, "any(Muon_pt > -1, axis=1) | (nMuon >= 0)")
    )
    # All events pass, and both columns are of the condition; holes between them differ.
    assert abs(cut - plain) < 0.1 * plain


def test_chunks_that_cannot_pass_are_not_run(make_nanoaod):
    path = make_nanoaod(8_000, entries_per_cluster=1_000)
    sx.dataset(path).index(stats=True)
    options = {"chunksize": 1_000, "savemetrics": True}
    early, first = run(len, fileset_of(path), where="event <= 2000", **options)
    late, last = run(len, fileset_of(path), where="event > 6000", **options)
    assert (early, first["chunks"]) == (2_000, 2)
    assert (late, last["chunks"]) == (2_000, 3)  # the first chunk is run in any case


def test_only_what_is_touched_is_read_and_in_one_go_once_it_is_known(nanoaod):
    events, report = run(mean_pt, fileset_of(nanoaod), savemetrics=True, chunksize=4_000)
    assert events["n"] == 20_000
    assert report["branches"] == ["Muon_pt", "nMuon"]
    assert report["columns"] == ["Muon_pt-data", "nMuon-offsets"]
    index = sx.dataset(nanoaod).source.index_of_first("Events")
    stored = int(index.compressed_bytes(["Muon_pt", "nMuon"]).sum())
    assert report["ttree_opens"] == 0
    # five chunks: the two columns of the first one alone, then together; with file headers
    assert stored <= report["bytesread"] <= stored * 1.1 + 6 * 80 + 20 * 1024
    assert report["requests"] <= 2 * 2 + 4 * 3


def test_what_some_chunks_read_besides_is_right_and_learned(nanoaod):
    def late(events):
        found: dict[str, float] = {"n": len(events)}
        if events.metadata["entrystart"] >= 8_000:
            found["met"] = float(ak.sum(events.MET.sumEt.to_numpy().astype("f8")))
        return found

    found, report = run(late, fileset_of(nanoaod), savemetrics=True, chunksize=4_000)
    sums = uproot.open(nanoaod)["Events/MET_sumEt"].array(library="np")[8_000:].astype("f8")
    assert found["met"] == pytest.approx(sums.sum())
    assert report["branches"] == ["MET_sumEt"]
    assert report["ttree_opens"] <= 1  # the first chunk that asks for it opens the file


def test_metadata_are_those_of_the_runner_and_the_users(nanoaod):
    def told(events):
        return [dict(sorted(events.metadata.items()))]

    fileset = fileset_of(nanoaod, metadata={"xs": 3.2, "era": "B"})
    wanted = reference(fileset, told, NanoAODSchema, chunksize=9_000)
    assert run(told, fileset, chunksize=9_000) == wanted
    assert {item["entrystart"] for item in wanted} == {0, 10_000}
    query = sx.dataset(nanoaod, name="named").where("nMuon >= 0")
    (alone,) = query.process(told, metadata={"xs": 1}, scheduler="sync")
    assert (alone["dataset"], alone["xs"], alone["treename"]) == ("named", 1, "Events")


def test_select_says_what_there_is_and_counters_come_along(nanoaod):
    ids = ("run", "luminosityBlock", "event")
    kinematics = ("Muon_pt", "Muon_eta", "Muon_phi", "Muon_mass", "Muon_charge")
    query = sx.dataset(nanoaod).select(*ids, *kinematics)

    def fields(events):
        return {"all": {*events.fields}, "muon": {*events.Muon.fields}, "n": len(events.Muon.pt)}

    found = query.process(fields, scheduler="sync")
    assert found["all"] == {"run", "luminosityBlock", "event", "Muon"}
    assert {"pt", "eta"} <= found["muon"]
    assert "tightId" not in found["muon"]


def test_computed_columns_are_fields_of_the_base_schema(nanoaod):
    query = sx.dataset(nanoaod).where("nMuon >= 2").select("MET_pt", lead="max(Muon_pt)")
    wanted = query.compute()

    def sums(events):
        assert set(events.fields) == {"MET_pt", "lead"}
        return {"lead": events.lead.to_list(), "met": events.MET_pt.to_list()}

    found = query.process(sums, BaseSchema, scheduler="sync", chunksize=6_000)
    assert found == {"lead": wanted.lead.to_list(), "met": wanted.MET_pt.to_list()}
    with pytest.raises(RequestError, match="'lead' is computed") as caught:
        query.process(sums, scheduler="sync")
    assert "BaseSchema" in str(caught.value.hint)


def test_a_schema_that_cannot_be_made_says_what_is_missing(nanoaod):
    with pytest.raises(RequestError, match=r"NanoAODSchema cannot be made.*event ID") as caught:
        sx.dataset(nanoaod).select("Muon_pt").process(mean_pt, scheduler="sync")
    assert "luminosityBlock" in str(caught.value.hint)


def test_classes_instances_and_functions_are_processors(nanoaod):
    class Counting(ProcessorABC):  # type: ignore[misc]
        def process(self, events):
            return {"n": len(events)}

        def postprocess(self, accumulator):
            return {"half": accumulator["n"] // 2}

    fileset = fileset_of(nanoaod)
    assert run(Counting, fileset) == run(Counting(), fileset) == {"half": 10_000}
    assert run(len, fileset) == 20_000
    with pytest.raises(RequestError, match="is no processor"):
        run(3, fileset)
    with pytest.raises(RequestError, match="no schema"):
        run(len, fileset, int)


@pytest.mark.parametrize("chunksize", [None, 1_000, 100_000])
def test_maxchunks_counts_by_dataset(nanoaod, chunksize):
    fileset = {name: {"files": {str(nanoaod): "Events"}} for name in ("a", "b")}
    found = run(
        lambda events: {events.metadata["dataset"]: [len(events)]},
        fileset,
        chunksize=chunksize,
        maxchunks=2,
    )
    size = 1_000 if chunksize == 1_000 else 20_000
    assert found == {name: [size] * (2 if size == 1_000 else 1) for name in ("a", "b")}


def test_chunks_follow_clusters_and_bytes_by_default(nanoaod, monkeypatch):
    monkeypatch.setenv("SXDASK_PARTITION_BYTES", "20000")
    spans = run(
        lambda events: [(events.metadata["entrystart"], len(events), float(ak.sum(events.MET.pt)))],
        fileset_of(nanoaod),
    )
    assert sum(length for _, length, _ in spans) == 20_000
    assert [start for start, _, _ in spans] == sorted(start for start, _, _ in spans)
    assert all(start % 4_000 == 0 for start, _, _ in spans)


def test_bad_files_raise_or_are_left_out_and_listed(nanoaod_files, tmp_path):
    broken = tmp_path / "broken.root"
    shutil.copy(nanoaod_files[0], broken)
    with broken.open("r+b") as file:
        file.truncate(20_000)
    gone = str(tmp_path / "gone.root")
    fileset = {"d": {"files": [str(nanoaod_files[1]), str(broken), gone], "treename": "Events"}}
    with pytest.raises(sx.SxdaskError):
        run(mean_pt, fileset)
    found, report = run(mean_pt, fileset, skipbadfiles=True, savemetrics=True)
    assert found["n"] == 2_500
    assert [Path(item["file"]).name for item in report["skipped"]] == ["broken.root", "gone.root"]
    assert {item["code"] for item in report["skipped"]} == {"SX301", "SX201"}
    with pytest.raises(EmptyDatasetError, match="no file"):
        run(mean_pt, {"d": {"files": [gone], "treename": "Events"}}, skipbadfiles=True)


def test_a_damaged_basket_costs_its_chunk_if_it_may(make_nanoaod):
    path = make_nanoaod(4_000, entries_per_cluster=1_000)
    index = sx.dataset(path).source.index_of_first("Events")
    seek = int(index.column("Muon_pt").seek[2])
    with path.open("r+b") as file:
        file.seek(seek + 90)
        file.write(b"\xff" * 40)
    with pytest.raises(sx.SxdaskError, match="damaged"):
        run(mean_pt, fileset_of(path), chunksize=1_000)
    found, report = run(
        mean_pt, fileset_of(path), chunksize=1_000, skipbadfiles=True, savemetrics=True
    )
    assert found["n"] == 3_000
    (skipped,) = report["skipped"]
    assert skipped["entries"] == (2_000, 3_000)


def test_a_processor_that_fails_is_named_with_the_place(nanoaod):
    def fails(events):
        if events.metadata["entrystart"] >= 10_000:
            raise ValueError("no such thing")
        return {"n": 1}

    with pytest.raises(UserFunctionError, match="fails for entries 10000 to 20000") as caught:
        run(fails, fileset_of(nanoaod), chunksize=10_000, skipbadfiles=True)
    assert "no such thing" in caught.value.problem
    assert "raise ValueError" in caught.value.context["traceback"]
    with pytest.raises(UserFunctionError, match="returns nothing"):
        run(lambda _: None, fileset_of(nanoaod))
    with pytest.raises(UserFunctionError, match="cannot be added"):
        run(lambda _: object(), fileset_of(nanoaod), chunksize=5_000)


def test_requests_that_no_processor_can_take_are_refused(nanoaod):
    data = sx.dataset(nanoaod)
    with pytest.raises(RequestError, match="not events"):
        data.fill(met={"column": "MET_pt", "bins": 2, "start": 0, "stop": 9}).process(len)
    with pytest.raises(UnknownBranchError):
        run(len, fileset_of(nanoaod), where="nMuons > 1")
    with pytest.raises(RequestError, match="where takes"):
        run(len, fileset_of(nanoaod), where=3)
    with pytest.raises(RequestError, match="chunksize is 0"):
        run(len, fileset_of(nanoaod), chunksize=0)


def test_without_coffea_the_error_says_what_to_install(nanoaod, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        "sxdask.processing.forms.find_spec", lambda name: None if name == "coffea" else find(name)
    )
    with pytest.raises(MissingExtraError) as caught:
        run(len, fileset_of(nanoaod))
    assert caught.value.hint == "pip install 'sxdask[coffea]'"


def test_events_bear_what_awkward_does_with_records(nanoaod):
    def work(events):
        events = ak.with_field(events, events.MET.pt * 2, "twice")
        events["half"] = events.MET.pt / 2
        some = events[::3][:50]
        whole = ak.materialize(ak.to_packed(some.Muon))
        return {
            "fields": {*events.fields},
            "twice": some.twice.to_list(),
            "half": ak.to_numpy(some.half).tolist(),
            "muons": whole.to_list(),
            "joined": ak.concatenate([some.MET, some.MET]).pt.to_list(),
            "one": [events[7].Muon.pt.to_list(), events.Muon[2:5].tolist()],
        }

    fileset = fileset_of(nanoaod)
    assert run(work, fileset, maxchunks=1) == reference(fileset, work, NanoAODSchema, maxchunks=1)


def test_progress_tells_every_chunk(nanoaod):
    events: list[Any] = []
    run(mean_pt, fileset_of(nanoaod), chunksize=5_000, progress=events.append)
    names = [type(event).__name__ for event in events]
    assert names == ["RunStarted", *["PartitionDone"] * 4, "RunFinished"]
    assert events[0].partitions == 4
    assert sum(event.rows for event in events[1:-1]) == 20_000
    assert [event.last_of_file for event in events[1:-1]] == [False, False, False, True]
