"""Baskets of remote files are fetched once: requests that share columns fetch what is new."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace

import awkward as ak
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sxdask as sx
from sxdask.core.settings import load_settings
from sxdask.rootio.columnstore import pack_entries, trim
from sxdask.testing import write_nanoaod
from tests.servers import serve_ranges

HEADER = 80
"""Bytes that show the file to be the one that was indexed."""


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Switch the column cache on; return its folder."""
    monkeypatch.setenv("SXDASK_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("SXDASK_COLUMN_CACHE", "auto")
    return tmp_path / "cache" / "columns"


@pytest.fixture
def remote(tmp_path, range_http_server):
    """Return a file of 3 000 events in clusters of 1 000, its URL and its server."""
    (tmp_path / "www").mkdir()
    path = write_nanoaod(tmp_path / "www" / "a.root", 3_000, entries_per_cluster=1_000)
    server = range_http_server(tmp_path / "www")
    return path, f"{server.url}/a.root", server


def ask(url, *names, where=None):
    """Return rows, report and the requests that the server saw while they were read."""
    data = sx.dataset(url, "Events")
    query = (data.where(where) if where else data).select(*names)
    query._compiled  # noqa: B018 - the index is there before requests are counted
    return query.compute(scheduler="sync"), query.summary.report


def sizes(path, *names) -> int:
    """Return the compressed bytes of the baskets of columns."""
    index = sx.dataset(str(path), "Events").source.index_of_first("Events")
    return int(index.compressed_bytes(names).sum())


def test_columns_read_before_are_not_fetched_again(kept, remote):
    path, url, server = remote
    rows, first = ask(url, "Muon_pt", "MET_pt")
    assert (first.cached_baskets, first.cached_bytes) == (0, 0)
    seen = len(server.requests)
    again, report = ask(url, "Muon_pt", "MET_pt")
    assert ak.array_equal(again, rows)
    fetched = [item for item in server.requests[seen:] if item[0] == "GET"]
    assert [item[2] for item in fetched] == [f"bytes=0-{HEADER - 1}"]
    assert (report.requests, report.bytes_read) == (1, HEADER)
    assert report.cached_baskets == report.baskets_read == 6
    assert report.cached_bytes == sizes(path, "Muon_pt", "MET_pt")
    assert ak.array_equal(rows, ask(str(path), "Muon_pt", "MET_pt")[0])


def test_a_request_overlapping_in_columns_reads_only_the_new_ones(kept, remote):
    path, url, server = remote
    ask(url, "Muon_pt", "MET_pt")
    seen = len(server.requests)
    rows, report = ask(url, "MET_pt", "Muon_eta")
    # one request a cluster: the baskets of one column do not lie side by side
    assert report.bytes_read == HEADER + sizes(path, "Muon_eta")
    assert report.requests == 1 + 3
    gets = [item for item in server.requests[seen:] if item[0] == "GET"]
    assert len(gets) == report.requests
    assert report.cached_bytes == sizes(path, "MET_pt")
    assert ak.array_equal(rows, ask(str(path), "MET_pt", "Muon_eta")[0])


def test_other_conditions_and_entry_ranges_take_the_same_baskets(kept, remote):
    path, url, _ = remote
    ask(url, "event", "MET_pt", "Muon_pt")
    for where in ("event > 1500", "MET_pt > 50", "any(Muon_pt > 20)"):
        rows, report = ask(url, "event", "Muon_pt", where=where)
        assert (report.requests, report.bytes_read) == (1, HEADER)
        assert ak.array_equal(rows, ask(str(path), "event", "Muon_pt", where=where)[0])


def test_smaller_partitions_take_the_same_baskets(kept, remote):
    _, url, _ = remote
    rows, _ = ask(url, "MET_pt", "Muon_pt")
    settings = replace(load_settings(), partition_bytes=10_000)
    query = sx.dataset(url, "Events", settings=settings).select("MET_pt", "Muon_pt")
    assert ak.array_equal(query.compute(scheduler="sync"), rows)
    assert query.summary.partitions > 1
    assert query.summary.report.bytes_read == query.summary.partitions * HEADER


def test_a_file_that_changed_at_the_same_place_is_another_file(kept, remote):
    path, url, _ = remote
    ask(url, "Muon_pt")
    write_nanoaod(path, 3_000, seed=5, entries_per_cluster=1_000)
    rows, report = ask(url, "Muon_pt")
    assert report.cached_baskets == 0
    assert ak.array_equal(rows, ask(str(path), "Muon_pt")[0])


def test_a_changed_file_is_noticed_though_all_baskets_are_kept(kept, remote):
    path, url, _ = remote
    query = sx.dataset(url, "Events").select("Muon_pt")
    query.compute(scheduler="sync")
    write_nanoaod(path, 3_000, seed=5, entries_per_cluster=1_000)
    with pytest.raises(sx.SxdaskError) as caught:
        query.compute(scheduler="sync")
    assert caught.value.code == "SX303"


def test_a_copy_on_another_server_is_the_same_file(kept, remote, tmp_path, range_http_server):
    path, url, _ = remote
    ask(url, "Muon_pt")
    (tmp_path / "mirror").mkdir()
    shutil.copy(path, tmp_path / "mirror" / "b.root")
    _, report = ask(f"{range_http_server(tmp_path / 'mirror').url}/b.root", "Muon_pt")
    assert (report.bytes_read, report.cached_baskets) == (HEADER, 3)


def test_local_files_are_kept_only_if_asked(kept, remote, monkeypatch):
    path, _, _ = remote
    ask(str(path), "Muon_pt")
    assert pack_entries(kept) == []
    monkeypatch.setenv("SXDASK_COLUMN_CACHE", "on")
    ask(str(path), "Muon_pt")
    _, report = ask(str(path), "Muon_pt")
    assert (report.cached_baskets, report.bytes_read) == (3, HEADER)


def test_without_caches_nothing_is_taken_or_kept(kept, remote):
    _, url, _ = remote
    query = sx.dataset(url, "Events").select("Muon_pt")
    query.compute(cache=False)
    assert pack_entries(kept) == []
    query.compute()
    query.compute(cache=False)
    assert query.summary.report.cached_baskets == 0


def test_events_of_a_python_function_come_from_the_cache_too(kept, remote):
    _, url, _ = remote

    def function(events):
        return events.Muon_pt

    data = sx.dataset(url, "Events")
    query = sx.request("python", function, dataset=data)
    query.compute(scheduler="sync", cache=False)
    assert pack_entries(kept) == []
    query.compute(scheduler="sync")
    query.compute(scheduler="sync")
    assert query.summary.report.cached_baskets == 3
    query.compute(scheduler="sync", cache=False)
    assert query.summary.report.cached_baskets == 0


def test_explain_names_the_columns_that_are_kept(kept, remote):
    _, url, _ = remote
    query = sx.dataset(url, "Events").select("MET_pt", "Muon_pt")
    assert "columns cached" not in query.explain()
    ask(url, "MET_pt", where="event > 0")
    ask(url, "Muon_pt", where="event > 1000")
    assert re.search(r"columns cached MET_pt, Muon_pt \(\d\d%\)", query.explain())


@pytest.mark.parametrize("compression", ["lzma", "zlib", "lz4", "zstd", "none"])
def test_baskets_of_any_compression_come_back(kept, tmp_path, range_http_server, compression):
    (tmp_path / "www").mkdir()
    path = tmp_path / "www" / "a.root"
    write_nanoaod(path, 1_000, compression=compression, entries_per_cluster=500)
    url = f"{range_http_server(tmp_path / 'www').url}/a.root"
    names = ("event", "Muon_pt", "nMuon", "Muon_charge")
    rows, _ = ask(url, *names)
    again, report = ask(url, *names)
    assert report.cached_baskets == report.baskets_read == 8
    assert ak.array_equal(again, rows)
    assert ak.array_equal(again, ask(str(path), *names)[0])


@pytest.mark.parametrize("place", ["magic", "head", "basket", "end"])
def test_a_damaged_file_of_baskets_is_fetched_again(kept, remote, place):
    _, url, _ = remote
    rows, first = ask(url, "Muon_pt")
    (entry,) = pack_entries(kept)
    data = bytearray(entry.path.read_bytes())
    at = {"magic": 3, "head": 40, "basket": len(data) - 10, "end": len(data) // 2}[place]
    entry.path.unlink()  # the next process has not read it before
    damaged = entry.path.with_name(f"{entry.path.name.split('-')[0]}-fffffff-0123.pack")
    if place == "end":
        del data[at:]
    else:
        data[at] ^= 0xFF
    damaged.write_bytes(data)
    again, report = ask(url, "Muon_pt")
    assert ak.array_equal(again, rows)
    assert report.bytes_read == first.bytes_read
    assert not damaged.exists()
    assert ask(url, "Muon_pt")[1].cached_baskets == 3


def test_what_was_not_used_for_longest_goes_first(kept, remote):
    _, url, _ = remote
    for number, name in enumerate(("Muon_pt", "Muon_eta", "Muon_phi")):
        ask(url, name)
        newest = max(pack_entries(kept), key=lambda entry: entry.path.stat().st_ctime_ns)
        os.utime(newest.path, (number, number))
    ask(url, "Muon_pt")  # used now
    limit = sum(entry.bytes for entry in pack_entries(kept)) - 1
    trim(kept, limit)
    found = [ask(url, name)[1].cached_baskets for name in ("Muon_pt", "Muon_phi", "Muon_eta")]
    assert found == [3, 3, 0]


def test_the_store_stays_below_its_limit(kept, remote, monkeypatch):
    _, url, _ = remote
    limit = 3 * sizes(remote[0], "Muon_pt")
    monkeypatch.setenv("SXDASK_COLUMN_CACHE_BYTES", str(limit))
    for name in ("Muon_pt", "Muon_eta", "Muon_phi", "Jet_pt", "Jet_eta", "Jet_phi", "MET_pt"):
        ask(url, name)
        assert sum(entry.bytes for entry in pack_entries(kept)) <= limit


def test_a_folder_that_cannot_be_written_changes_nothing(remote, tmp_path, monkeypatch):
    path, url, _ = remote
    monkeypatch.setenv("SXDASK_COLUMN_CACHE", "auto")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "columns").write_text("no folder")
    monkeypatch.setenv("SXDASK_CACHE_DIR", str(tmp_path / "cache"))
    for _ in range(2):
        rows, report = ask(url, "Muon_pt")
        assert report.cached_baskets == 0
        assert ak.array_equal(rows, ask(str(path), "Muon_pt")[0])


PROGRAM = """
import sys, sxdask as sx
query = sx.dataset(sys.argv[1], "Events").select("Muon_pt", "MET_pt")
query.compute(scheduler="sync")
print(query.summary.report.cached_baskets)
"""


def test_processes_share_what_was_fetched(kept, remote):
    _, url, _ = remote
    command = [sys.executable, "-c", PROGRAM, url]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert ask(url, "Muon_pt", "MET_pt")[1].bytes_read == HEADER


CUTS = ["event > 250", "MET_pt > 30", "nMuon >= 1", "any(Jet_pt > 40)", "event <= 120"]
NAMES = ["event", "MET_pt", "Muon_pt", "Jet_eta", "nJet", "Muon_charge"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    path = write_nanoaod(folder / "a.root", 600, entries_per_cluster=100, compression="lzma")
    with serve_ranges(folder) as server:
        yield path, f"{server.url}/a.root", folder / "cache"


@settings(max_examples=min(settings().max_examples, 100))  # each runs several requests
@given(
    cut=st.none() | st.sampled_from(CUTS),
    names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True),
    size=st.sampled_from([1_000, 10_000, 10**7]),
)
def test_rows_are_the_same_whatever_is_kept(shared, cut, names, size):
    path, url, folder = shared
    base = replace(load_settings(), partition_bytes=size)
    cached = replace(base, column_cache="auto", cache_dir=folder)

    def rows(place, settings):
        data = sx.dataset(place, "Events", settings=settings)
        query = data.select(*names) if cut is None else data.where(cut).select(*names)
        return query.compute(scheduler="sync")

    assert ak.array_equal(rows(url, cached), rows(str(path), base))
