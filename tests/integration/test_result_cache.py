"""Results of partitions are reused: the same rows, and only what is new is computed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import awkward as ak
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sxdask as sx
from sxdask.core.events import Event, PartitionDone
from sxdask.core.settings import load_settings
from sxdask.testing import write_nanoaod, write_nanoaod_files
from tests.kept_results import four_files, keep_results, objects, skim


@pytest.fixture
def kept(tmp_path, monkeypatch):
    return keep_results(tmp_path, monkeypatch)


@pytest.fixture
def files(tmp_path) -> list[Path]:
    return four_files(tmp_path)


def met(files) -> sx.Query:
    query = sx.dataset([str(path) for path in files], "Events").where("nMuon >= 1")
    return query.fill(met={"column": "MET_pt", "bins": 20, "start": 0, "stop": 200})


def whole_results(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.whole"))


def test_the_same_request_again_reads_nothing_but_the_first_bytes_of_each_file(kept, files):
    first, again = skim(files), skim(files)
    computed, reused = first.compute(), again.compute()
    assert ak.array_equal(computed, reused)
    assert (first.summary.report.results_kept, first.summary.report.results_reused) == (4, 0)
    report = again.summary.report
    assert (report.results_kept, report.results_reused) == (0, 4)
    assert (report.requests, report.bytes_read, report.baskets_read) == (4, 4 * 80, 0)
    assert report.entries_in == 4_000
    assert again.summary.rows == first.summary.rows == len(computed)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_results_serve_arrays_streams_and_deliveries(kept, files, tmp_path, scheduler):
    whole = skim(files).compute(scheduler=scheduler, cache=False)
    assert not kept.exists()
    for number, act in enumerate((read_compute, read_stream, read_arrow, read_parquet)):
        query = skim(files)
        rows = act(query, tmp_path / f"out{number}", scheduler)
        assert rows.to_list() == whole.to_list()
        assert query.summary.report.results_reused == (4 if number else 0)


def test_other_processes_take_and_keep_results(kept, files):
    first, again = skim(files), met(files)
    whole = first.compute(scheduler="processes")
    assert first.summary.report.results_kept == 4
    query = skim(files)
    assert ak.array_equal(query.compute(), whole)
    assert query.summary.report.results_reused == 4
    met(files).compute()
    again.compute(scheduler="processes")
    assert again.summary.report.results_reused == 4


def read_compute(query, target, scheduler):
    return query.compute(scheduler=scheduler)


def read_stream(query, target, scheduler):
    parts = list(query.stream(ordered=True, scheduler=scheduler))
    return ak.concatenate([ak.from_arrow(part.table) for part in parts])


def read_arrow(query, target, scheduler):
    return query.deliver(target, scheduler=scheduler).to_awkward()


def read_parquet(query, target, scheduler):
    return query.deliver(target, "parquet", scheduler=scheduler).to_awkward()


def test_histograms_are_kept_as_such(kept, files):
    first, again = met(files), met(files)
    assert first.compute() == again.compute()
    assert again.summary.report.results_reused == 4
    assert again.summary.report.baskets_read == 0
    assert again.summary.rows == first.summary.rows


@pytest.mark.parametrize("total", ["Count()", "Sum()", "Max()"])
def test_totals_are_kept(kept, files, total):
    def ask(cache: bool):
        data = sx.dataset([str(path) for path in files], "Events")
        text = "EventDataset().Where(lambda e: e.nMuon > 1)"
        text += ".Count()" if total == "Count()" else f".Select(lambda e: e.MET_pt).{total}"
        query = sx.request("func_adl", text, dataset=data)
        return query.compute(scheduler="sync", cache=cache), query.summary.report.results_reused

    plain, computed, reused = ask(cache=False), ask(cache=True), ask(cache=True)
    assert plain[0] == computed[0] == reused[0]
    assert (plain[1], computed[1], reused[1]) == (0, 0, 4)


def test_a_dataset_grown_by_a_file_computes_that_file(kept, files):
    skim(files[:3]).compute()
    grown = skim(files)
    rows = grown.compute()
    alone = skim(files[3:])
    alone.compute(cache=False)
    report = grown.summary.report
    assert (report.results_reused, report.results_kept) == (3, 1)
    assert report.baskets_read == alone.summary.report.baskets_read
    assert report.bytes_read == alone.summary.report.bytes_read + 3 * 80
    assert ak.array_equal(rows, skim(files).compute(cache=False))


def test_a_copy_of_a_file_is_the_same_file(kept, files, tmp_path):
    skim(files).compute()
    copies = [Path(shutil.copy(path, tmp_path / f"copy_{path.name}")) for path in files]
    query = skim(copies)
    query.compute()
    assert query.summary.report.results_reused == 4


@pytest.mark.parametrize("fresh", [True, False], ids=["a new query", "the same query"])
def test_a_file_that_changed_never_gives_rows_of_its_past(kept, files, fresh):
    query = skim(files)
    query.compute()
    write_nanoaod(files[2], 1_000, seed=77, entries_per_cluster=500)
    if fresh:
        query = skim(files)
    else:  # what was compiled is of the old file, and says so as without a cache
        with pytest.raises(sx.SxdaskError) as caught:
            query.compute()
        assert caught.value.code == "SX303"
    rows = query.compute()
    assert ak.array_equal(rows, skim(files).compute(cache=False))
    assert query.summary.report.results_reused == 3


def test_a_file_that_is_gone_is_an_error_as_without_a_cache(kept, files):
    query = skim(files)
    query.compute()
    files[0].unlink()
    with pytest.raises(sx.SxdaskError) as caught:
        query.compute()
    assert caught.value.code == "SX201"


def test_cache_false_neither_takes_nor_keeps(kept, files):
    query = skim(files)
    query.compute(cache=False)
    assert query.summary.report.results_kept == 0
    skim(files).compute()
    query.compute(cache=False)
    assert query.summary.report.results_reused == 0
    assert query.summary.report.baskets_read > 0


def test_what_a_python_function_gives_is_not_kept(kept, files):
    def function(events):
        return events.MET_pt[events.MET_pt > 100]

    data = sx.dataset([str(path) for path in files], "Events")
    for _ in range(2):
        query = sx.request("python", function, dataset=data)
        query.compute()
        assert query.summary.report.results_reused == 0
    assert objects(kept) == []


def test_a_plain_copy_of_a_local_file_is_not_worth_keeping(kept, files):
    query = sx.dataset([str(path) for path in files], "Events").select("Muon_pt", "MET_pt")
    query.compute()
    assert query.summary.report.results_kept == 0


def test_entry_numbers_over_all_files_are_those_of_this_dataset(kept, files):
    def numbers(some):
        query = sx.dataset([str(path) for path in some], "Events").where("nMuon >= 2")
        return query.select(number='get("Entry$")').compute().number.to_list()

    assert max(numbers(files[1:])) < 3_000
    assert max(numbers(files)) >= 3_000
    assert numbers(files[1:]) == numbers(files[1:])


@pytest.mark.parametrize("harm", ["bytes", "empty", "cut", "folder"])
def test_a_damaged_object_is_computed_again(kept, files, harm):
    whole = skim(files).compute()
    whole_results(kept)[0].unlink()
    victim = objects(kept)[0]
    data = victim.read_bytes()
    match harm:
        case "bytes":
            victim.write_bytes(data[:100] + b"\0" + data[101:])
        case "empty":
            victim.write_bytes(b"")
        case "cut":
            victim.write_bytes(data[: len(data) // 2])
        case "folder":
            victim.unlink()
            victim.mkdir()
    query = skim(files)
    assert ak.array_equal(query.compute(), whole)
    assert query.summary.report.results_reused == 3
    if harm != "folder":
        assert victim.read_bytes() == data


@pytest.mark.parametrize("ask", [skim, met], ids=["rows", "histograms"])
def test_an_identical_run_takes_one_object(kept, files, ask):
    ask(files).compute()
    for path in objects(kept):
        path.unlink()
    events: list[Event] = []
    query = ask(files)
    query.compute(progress=events.append)
    done = [event for event in events if isinstance(event, PartitionDone)]
    assert (query.summary.report.results_reused, query.summary.report.requests) == (4, 4)
    assert [event.last_of_file for event in done] == [True] * 4
    anew: list[Event] = []
    plain = ask(files)
    plain.compute(cache=False, progress=anew.append)
    told = {event.index: event.rows for event in anew if isinstance(event, PartitionDone)}
    assert {event.index: event.rows for event in done} == told
    assert query.summary.rows == plain.summary.rows


@pytest.mark.parametrize("ask", [skim, met], ids=["rows", "histograms"])
def test_a_damaged_whole_result_is_put_together_again(kept, files, ask):
    first = ask(files).compute()
    (victim,) = whole_results(kept)
    data = victim.read_bytes()
    victim.write_bytes(data[:-1])
    query = ask(files)
    assert str(query.compute()) == str(first)
    assert query.summary.report.results_reused == 4
    assert len(victim.read_bytes()) == len(data)


def test_a_folder_that_cannot_be_written_changes_nothing(files, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("SXDASK_RESULT_CACHE", str(tmp_path / "file" / "results"))
    monkeypatch.setenv("SXDASK_RESULT_CACHE_BYTES", "100000000")
    for _ in range(2):
        query = skim(files)
        assert ak.array_equal(query.compute(), query.compute(cache=False))
        assert "stored results" not in query.explain()


def test_any_storage_will_do(files, monkeypatch):
    monkeypatch.setenv("SXDASK_RESULT_CACHE", f"memory://results-{time.time_ns()}")
    monkeypatch.setenv("SXDASK_RESULT_CACHE_BYTES", "100000000")
    whole = skim(files).compute()
    query = skim(files)
    assert "stored results 4 of 4 partitions" in query.explain()
    assert ak.array_equal(query.compute(), whole)
    assert query.summary.report.results_reused == 4


def test_explain_says_what_is_kept(kept, files):
    assert "stored results" not in skim(files).explain()
    skim(files[:3]).compute()
    assert "stored results 3 of 4 partitions" in skim(files).explain()
    met(files).compute()
    assert "stored results 4 of 4 partitions" in met(files).explain()


def test_a_query_that_reads_branches_through_uproot_is_kept(kept, samples):
    path = samples / "PHYSLITE_example.root"
    if not path.exists():
        pytest.skip("no PHYSLITE sample")

    def ask():
        data = sx.dataset(str(path), "CollectionTree")
        return data.select("AnalysisElectronsAuxDyn.pt")

    first, again = ask(), ask()
    assert ak.array_equal(first.compute(), again.compute())


CUTS = st.sampled_from(
    ["MET_pt > 30", "nMuon >= 1", "any(Muon_pt > 40)", "nJet == 2", "event > 90"]
)
NAMES = st.lists(st.sampled_from(["event", "MET_pt", "Muon_pt", "Jet_eta", "nJet"]), min_size=1)


@pytest.fixture(scope="module")
def shared(tmp_path_factory) -> tuple[list[Path], Path]:
    folder = tmp_path_factory.mktemp("shared")
    return write_nanoaod_files(folder, 900, 3, entries_per_cluster=100), folder / "results"


@settings(max_examples=min(settings().max_examples, 100))  # each runs several requests
@given(cuts=st.lists(CUTS, max_size=2), names=NAMES, some=st.sets(st.integers(0, 2), min_size=1))
def test_results_with_and_without_the_cache_are_equal(shared, cuts, names, some):
    from dataclasses import replace

    paths, folder = shared
    settings = replace(
        load_settings(),
        partition_bytes=20_000,
        result_cache=str(folder),
        result_cache_bytes=10**8,
    )
    chosen = [str(paths[number]) for number in sorted(some)]
    query = sx.dataset(chosen, "Events", settings=settings).select("*")
    for cut in cuts:
        query = query.where(cut)
    query = query.select(*dict.fromkeys(names))
    plain = query.compute(scheduler="sync", cache=False)
    for _ in range(2):
        assert ak.array_equal(query.compute(scheduler="sync"), plain)
