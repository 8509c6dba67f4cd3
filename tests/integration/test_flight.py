"""Requests over Flight give what they give here: languages, outputs, empty results, refusals."""

from __future__ import annotations

import json
import os
from typing import Any

import awkward as ak
import pyarrow as pa
import pytest
from pyarrow import flight

import sxdask as sx
from sxdask.core.errors import (
    RequestError,
    StaleIndexError,
    SxdaskError,
    UnknownBranchError,
)
from sxdask.service.flight.tickets import Signer
from tests.flights import PARTITION_BYTES, flight_server
from tests.integration.test_golden_plans import SAME_QUERY

OPTIONS: dict[str, Any] = {"partition_bytes": PARTITION_BYTES}


@pytest.fixture(scope="module")
def remote(nanoaod):
    with flight_server(nanoaod.parent) as running, sx.connect(running.url) as found:
        yield found


@pytest.fixture(scope="module")
def data(nanoaod):
    return sx.dataset(nanoaod)


@pytest.mark.parametrize("language", SAME_QUERY)
def test_every_language_gives_what_it_gives_here(remote, data, language):
    selection = SAME_QUERY[language]
    here = sx.request(language, selection, dataset=data)
    there = remote.request(language, selection, dataset="nano.root", **OPTIONS)
    parts = list(there.stream())
    assert len(parts) == len(there.outputs[""].partitions) == 5
    found = there.to_awkward()
    expected = ak.concatenate([ak.from_arrow(item.table) for item in here.stream(ordered=True)])
    assert found.to_list() == expected.to_list()
    assert found.type.content == expected.type.content
    assert there.fingerprint == here.fingerprint


def test_a_query_object_of_func_adl_and_other_shapes_of_results(remote, data):
    for text in (
        "EventDataset().SelectMany(lambda e: e.Jet_pt.Where(lambda p: p > 200))",
        "EventDataset().Select(lambda e: (e.MET_pt, e.Jet_pt))",
        "EventDataset().Select(lambda e: e.MET_pt)",
    ):
        here = sx.request("func_adl", text, dataset=data).compute()
        there = remote.request("func_adl", text, dataset="nano.root").to_awkward()
        assert there.to_list() == here.to_list()


def test_a_recipe_of_this_machine_is_answered_there(remote, data, tmp_path):
    recipe = tmp_path / "muons.yaml"
    recipe.write_text(
        "title: muons\nwhere: nMuon > 2\nselect: [Muon_pt, {lead: 'Muon_pt[:, 0]'}]\n"
    )
    here = sx.load(recipe, dataset=data).compute()
    there = remote.load(recipe, dataset="nano.root")
    assert there.to_awkward().to_list() == here.to_list()
    assert remote.requests()[0]["title"] == "muons"


def test_several_outputs_go_by_name(remote, data):
    queries = [
        {"treename": "Events", "filter_name": ["MET_pt"], "cut": "MET_pt > 80"},
        {"treename": {"Events": "muons"}, "filter_name": ["Muon_pt", "nMuon"]},
    ]
    here = sx.request("uproot-raw", queries, dataset=data).compute()
    there = remote.request("uproot-raw", queries, dataset="nano.root", **OPTIONS)
    found = there.to_awkward()
    assert {name: array.to_list() for name, array in found.items()} == {
        name: array.to_list() for name, array in here.items()
    }
    assert there.schema["muons"].names == ["nMuon", "Muon_pt"]
    assert there.outputs["muons"].rows == 20_000
    assert there.outputs["Events"].rows is None
    assert there.num_rows is None


def test_rows_are_counted_ahead_where_nothing_is_selected(remote):
    query = remote.request("native", {"select": ["MET_pt"]}, dataset="nano.root", **OPTIONS)
    assert query.num_rows == 20_000
    assert query.to_table().num_rows == 20_000


def test_an_empty_result_keeps_its_schema(remote, data):
    selection = {"where": "MET_pt > 1e9", "select": ["Muon_pt", "MET_pt"]}
    here = data.where("MET_pt > 1e9").select("Muon_pt", "MET_pt").compute()
    for _ in range(2):  # the second time nothing is read: no basket can hold a row
        query = remote.request("native", selection, dataset="nano.root", **OPTIONS)
        table = query.to_table()
        assert table.num_rows == 0
        assert table.schema.equals(query.schema)
        assert ak.from_arrow(table).type == here.type


def test_a_ticket_for_what_is_known_by_now_to_have_no_rows_gives_none(tmp_path, make_nanoaod):
    make_nanoaod(2_000, entries_per_cluster=1_000)
    signer = Signer(b"k" * 32)
    selection = {"where": "MET_pt > 1e8", "select": ["MET_pt"]}
    request = json.dumps({"selection": selection, "dataset": "nano.root"})
    descriptor = flight.FlightDescriptor.for_command(request)
    tickets: list[flight.Ticket] = []
    for _ in range(2):  # servers; the first one learns what is in the file
        with (
            flight_server(tmp_path, signer=signer) as running,
            flight.connect(running.url) as client,
        ):
            if not tickets:
                info = client.get_flight_info(descriptor)
                tickets = [endpoint.ticket for endpoint in info.endpoints]
            tables = [client.do_get(ticket).read_all() for ticket in tickets]
            assert [(table.num_rows, table.schema.names) for table in tables] == [(0, ["MET_pt"])]
            assert client.get_flight_info(descriptor).endpoints == []


def test_entry_numbers_count_over_all_files(nanoaod_files):
    selection = {"where": "MET_pt > 100", "select": [{"n": 'get("Entry$")'}]}
    names = [path.name for path in nanoaod_files]
    native = {"where": "MET_pt > 100", "define": {"n": 'get("Entry$")'}, "select": ["n"]}
    with flight_server(nanoaod_files[0].parent) as running, sx.connect(running.url) as remote:
        recipe = remote.request("recipe", selection, dataset="*.root").to_awkward()
        turned = remote.request("native", native, dataset=names[::-1]).to_awkward()
    here = sx.dataset(list(nanoaod_files)).where("MET_pt > 100").select(n='get("Entry$")')
    back = sx.dataset(list(nanoaod_files)[::-1]).where("MET_pt > 100").select(n='get("Entry$")')
    assert recipe.to_list() == here.compute().to_list()
    assert turned.to_list() == back.compute().to_list()
    assert recipe.to_list() != turned.to_list()


def test_the_tables_say_where_they_are_from(remote, nanoaod):
    query = remote.request("tcut", "MET_pt > 50", dataset="nano.root", title="mine", **OPTIONS)
    parts = list(query.stream(ordered=True))
    assert [part.index for part in parts] == list(range(5))
    assert [part.entry_start for part in parts] == list(range(0, 20_000, 4_000))
    assert {part.file for part in parts} == {str(nanoaod)}
    metadata = parts[1].table.schema.metadata
    assert metadata[b"sxdask:title"] == b"mine"
    assert metadata[b"sxdask:language"] == b"tcut"
    assert metadata[b"sxdask:entry_start"] == b"4000"
    assert metadata[b"sxdask:fingerprint"].decode() == query.fingerprint


def test_explain_is_that_of_the_request_here(remote, data):
    query = remote.request("native", SAME_QUERY["native"], dataset="nano.root")
    here = sx.request("native", SAME_QUERY["native"], dataset=data)
    logical = here.explain().partition("physical plan")[0]
    assert query.explain().partition("physical plan")[0] == logical
    assert len(query.outputs[""].facts["explain"]) == 32


@pytest.mark.parametrize(
    ("language", "selection", "problem", "code"),
    [
        ("native", {"where": "MET_ptt > 1"}, "no branch 'MET_ptt'", "SX101"),
        ("native", {"where": "MET_pt >"}, "expression", "SX102"),
        ("nativ", {}, "no request language", "SX105"),
        ("func_adl", "EventDataset().Count()", "reduces all rows", "SX100"),
        ("python", "def run_query(path):\n    return {}", "switched off", "SX100"),
        ("python", "ZGVmIHJ1bl9xdWVyeShwYXRoKTpwYXNz", "switched off", "SX100"),
        ("uproot-raw", [{"copy_histograms": "h"}], "histograms", "SX100"),
    ],
)
def test_a_refusal_arrives_as_the_error_that_it_is(remote, language, selection, problem, code):
    with pytest.raises(SxdaskError, match=problem) as caught:
        remote.request(language, selection, dataset="nano.root").to_table()
    assert caught.value.code == code
    assert caught.value.fault == "user"


def test_hints_and_places_arrive_too(remote, data):
    with pytest.raises(UnknownBranchError) as here:
        data.where("MET_ptt > 1")
    with pytest.raises(UnknownBranchError) as there:
        _ = remote.request("native", {"where": "MET_ptt > 1"}, dataset="nano.root").schema
    assert str(there.value) == str(here.value)


def test_a_damaged_file_is_an_error_in_the_stream(tmp_path, make_nanoaod):
    path = make_nanoaod(2_000, entries_per_cluster=1_000)
    with flight_server(tmp_path) as running, sx.connect(running.url) as remote:
        query = remote.request("native", {"select": ["MET_pt"]}, dataset="nano.root")
        assert query.num_rows == 2_000
        state = path.stat()
        whole = path.read_bytes()
        path.write_bytes(whole[:400] + bytes(len(whole) - 400))
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
        with pytest.raises(SxdaskError) as caught:
            query.to_table()
    assert caught.value.fault == "data"
    assert "Traceback" not in str(caught.value)


def test_a_file_that_changes_after_the_plan_never_gives_rows_of_both(tmp_path, make_nanoaod):
    make_nanoaod(2_000, entries_per_cluster=1_000)
    with flight_server(tmp_path) as running, sx.connect(running.url) as remote:
        query = remote.request("native", {"select": ["MET_pt"]}, dataset="nano.root")
        assert query.num_rows == 2_000
        make_nanoaod(3_000, entries_per_cluster=1_000, seed=1)
        with pytest.raises(StaleIndexError, match=r"nano\.root"):
            query.to_table()
        fresh = remote.request("native", {"select": ["MET_pt"]}, dataset="nano.root")
        found = fresh.to_awkward()
    assert (
        found.to_list() == sx.dataset(tmp_path / "nano.root").select("MET_pt").compute().to_list()
    )


def test_a_dataset_that_grew_is_seen_by_the_next_request(tmp_path, make_nanoaod):
    make_nanoaod(1_000, "a.root")
    with flight_server(tmp_path) as running, sx.connect(running.url) as remote:
        before = remote.request("native", {"select": ["MET_pt"]}, dataset="*.root")
        assert before.num_rows == 1_000
        make_nanoaod(1_500, "b.root", seed=1)
        after = remote.request("native", {"select": ["MET_pt"]}, dataset="*.root")
        assert before.to_table().num_rows == 1_000
        computed = remote.health()["computed"]
        assert after.to_table().num_rows == 2_500
        assert remote.health()["computed"] - computed == 1  # the new file alone


def test_what_cannot_be_json_is_refused_here(remote):
    with pytest.raises(RequestError, match="cannot be sent"):
        _ = remote.request("python", len, dataset="nano.root").schema


def test_python_functions_run_where_they_are_allowed(nanoaod, data):
    text = "def run_query(events):\n    return events.MET_pt[events.MET_pt > 100]\n"
    with (
        flight_server(nanoaod.parent, allow_python=True) as running,
        sx.connect(running.url) as remote,
    ):
        there = remote.request("python", text, dataset="nano.root", **OPTIONS).to_awkward()
    here = sx.request("python", text, dataset=data).compute()
    assert ak.flatten(there, axis=None).to_list() == ak.flatten(here, axis=None).to_list()


def test_what_a_python_function_gave_is_not_given_again(nanoaod):
    text = (
        "def run_query(events):\n"
        "    import time\n"
        "    return 0 * events.MET_pt + time.perf_counter_ns() % 1_000_000\n"
    )
    with (
        flight_server(nanoaod.parent, allow_python=True) as running,
        sx.connect(running.url) as remote,
    ):
        query = remote.request("python", text, dataset="nano.root", **OPTIONS)
        first, second = query.to_awkward(), query.to_awkward()
    assert len(first) == len(second) == 20_000
    assert first.to_list() != second.to_list()


def test_a_client_without_this_library(nanoaod):
    request = {
        "language": "tcut",
        "selection": {"selection": "MET_pt > 50", "columns": ["MET_pt"]},
        "dataset": "nano.root",
    }
    with flight_server(nanoaod.parent) as running, flight.connect(running.url) as client:
        descriptor = flight.FlightDescriptor.for_command(json.dumps(request))
        info = client.get_flight_info(descriptor)
        tables = [client.do_get(endpoint.ticket).read_all() for endpoint in info.endpoints]
        schema = client.get_schema(descriptor).schema
        listed = list(client.list_flights())
        fingerprint = json.loads(info.app_metadata)["fingerprint"]
        assert len(list(client.list_flights(fingerprint[:8].encode()))) == 1
        assert list(client.list_flights(b"no fingerprint")) == []
        health = json.loads(next(iter(client.do_action("health"))).body.to_pybytes())
        names = {action.type for action in client.list_actions()}
        with pytest.raises(flight.FlightServerError, match=r"\[SX100\] there is no action"):
            list(client.do_action("delete-everything"))
        with pytest.raises(flight.FlightServerError, match="descriptor is a path"):
            client.get_flight_info(flight.FlightDescriptor.for_path("nano.root"))
    table = pa.concat_tables(tables, promote_options="default")
    here = sx.dataset(nanoaod).where("MET_pt > 50").select("MET_pt").compute()
    assert table["MET_pt"].to_pylist() == here["MET_pt"].to_list()
    assert info.ordered
    assert info.total_records == -1
    assert schema.equals(info.schema)
    assert json.loads(listed[0].app_metadata) == json.loads(info.app_metadata)
    assert listed[0].descriptor.command == info.descriptor.command
    assert (health["status"], health["streams"]) == ("ok", 0)
    assert names == {"explain", "schema", "health", "cancel", "drop"}
