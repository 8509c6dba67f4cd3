"""Files over HTTP: equal rows for few requests, and servers that misbehave."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import ThreadingHTTPServer
from typing import TYPE_CHECKING

import awkward as ak
import pytest
import uproot

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.settings import load_settings
from sxdask.testing import write_nanoaod
from tests.servers import _Handler
from tests.watchdog import within

if TYPE_CHECKING:
    from collections.abc import Callable

COLUMNS = ["event", "Muon_pt", "MET_pt"]


@pytest.fixture(autouse=True)
def watchdog():
    with within(90):
        yield


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "served"
    place.mkdir()
    write_nanoaod(place / "a.root", 5_000, entries_per_cluster=1_000, extra_branches=200)
    return place


def asked(url):
    return sx.dataset(url, "Events").where("nMuon >= 1").select(*COLUMNS)


def wanted(path):
    with uproot.open(path, object_cache=None, array_cache=None) as file:
        raw = file["Events"].arrays([*COLUMNS, "nMuon"])
    return raw[raw.nMuon >= 1][COLUMNS]


def error_of(call, *codes):
    with pytest.raises(sx.SxdaskError) as caught:
        call()
    assert caught.value.code in codes, str(caught.value)
    assert "Traceback" not in str(caught.value)
    return caught.value


class Faulty(_Handler):
    """A server that does something wrong with the requests that `fault` picks."""

    fault: Callable[[int], str]

    def do_GET(self):  # noqa: N802 (the server's name)
        kind = self.fault(len(self.log)) if self.headers.get("Range") else ""
        if kind == "no range":
            del self.headers["Range"]
        if kind == "500":
            self.log.append(("GET", self.path, "500"))
            self.send_error(500)
        elif kind == "drop":
            self.log.append(("GET", self.path, "drop"))
            self.close_connection = True
        elif kind == "short":
            self.log.append(("GET", self.path, "short"))
            self.send_response(206)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"x" * 10)
            self.close_connection = True
        else:
            super().do_GET()


@contextmanager
def faulty(folder, fault):
    log: list[tuple[str, str, str | None]] = []
    kind = type("Handler", (Faulty,), {"folder": folder, "log": log, "fault": staticmethod(fault)})
    with ThreadingHTTPServer(("127.0.0.1", 0), kind) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/a.root", log
        server.shutdown()


def sent_bytes(requests):
    """Return the bytes of the ranges that were asked for."""
    ranges = [item[2].removeprefix("bytes=").split("-") for item in requests if item[0] == "GET"]
    return sum(int(last) - int(first) + 1 for first, last in ranges)


def test_rows_over_http_equal_uproot_for_few_requests_and_bytes(folder, range_http_server):
    server = range_http_server(folder)
    query = asked(f"{server.url}/a.root")
    query.explain()
    del server.requests[:]
    found = query.compute(scheduler="sync")
    assert ak.array_equal(found, wanted(folder / "a.root"))
    gets = [item for item in server.requests if item[0] == "GET"]
    assert all(item[2] for item in gets)  # never a whole file
    report = query.summary.report
    assert (report.requests, report.bytes_read) == (len(gets), sent_bytes(gets))
    with uproot.open(folder / "a.root") as file:
        tree = file["Events"]
        baskets = sum(tree[name].num_baskets for name in [*COLUMNS, "nMuon"])
        useful = sum(int(tree[name].compressed_bytes) for name in [*COLUMNS, "nMuon"])
    assert report.baskets_read == baskets
    assert report.ttree_opens == 0
    assert len(gets) <= baskets + 2  # and the header with each of the two batches
    assert sent_bytes(gets) < (folder / "a.root").stat().st_size / 2
    assert sent_bytes(gets) >= useful


def test_a_known_file_is_not_opened_again(folder, range_http_server):
    server = range_http_server(folder)
    asked(f"{server.url}/a.root").compute()
    del server.requests[:]
    asked(f"{server.url}/a.root").explain()
    assert {item[0] for item in server.requests} <= {"HEAD"}


def test_every_way_to_run_reads_over_http(folder, range_http_server):
    url = f"{range_http_server(folder).url}/a.root"
    expected = wanted(folder / "a.root")
    assert ak.array_equal(asked(url).compute(scheduler="threads"), expected)
    with LocalBackend(1, threads_per_worker=1) as client:
        assert ak.array_equal(asked(url).compute(client=client), expected)
        parts = asked(url).stream(client=client, ordered=True)
        assert ak.array_equal(ak.concatenate([ak.from_arrow(p.table) for p in parts]), expected)


@pytest.mark.parametrize("kind", ["500", "drop"])
def test_a_server_that_fails_now_and_then_costs_time_and_no_rows(folder, kind):
    ready: list[int] = []
    with faulty(folder, lambda number: kind if ready and number % 3 == 0 else "") as (url, log):
        query = asked(url)
        query.explain()
        ready.append(1)
        assert ak.array_equal(query.compute(scheduler="sync"), wanted(folder / "a.root"))
        assert kind in [item[2] for item in log]


@pytest.mark.parametrize(("kind", "codes"), [("500", ["SX401"]), ("drop", ["SX401"])])
def test_a_server_that_always_fails_is_given_up(folder, kind, codes):
    ready: list[int] = []
    with faulty(folder, lambda _: kind if ready else "") as (url, _):
        query = asked(url)
        query.explain()
        ready.append(1)
        error = error_of(lambda: query.compute(scheduler="sync"), *codes)
        assert url in error.problem


def test_an_answer_that_is_cut_off_gives_no_rows(folder):
    ready: list[int] = []
    with faulty(folder, lambda _: "short" if ready else "") as (url, _):
        query = asked(url)
        query.explain()
        ready.append(1)
        assert url in error_of(lambda: query.compute(scheduler="sync"), "SX401", "SX301").problem


def test_a_server_that_ignores_ranges_is_refused_at_the_first_look(folder):
    with faulty(folder, lambda _: "no range") as (url, log):
        error = error_of(lambda: asked(url), "SX401")
        assert url in error.problem
        assert "range requests" in error.hint
        assert [item[0] for item in log].count("GET") == 1


def test_a_server_that_begins_to_ignore_ranges_costs_time_and_no_rows(folder):
    """As behind a cache that answers for it: what it sends whole is cut here."""
    ready: list[int] = []
    with faulty(folder, lambda _: "no range" if ready else "") as (url, _):
        query = asked(url)
        query.explain()
        ready.append(1)
        assert ak.array_equal(query.compute(scheduler="sync"), wanted(folder / "a.root"))


def test_a_file_that_changes_on_the_server_is_noticed(folder, range_http_server):
    url = f"{range_http_server(folder).url}/a.root"
    query = asked(url)
    old = query.compute(scheduler="sync")
    assert ak.array_equal(old, wanted(folder / "a.root"))
    write_nanoaod(folder / "b.root", 5_000, seed=9, entries_per_cluster=1_000)
    (folder / "b.root").replace(folder / "a.root")
    new = wanted(folder / "a.root")
    assert not ak.array_equal(old, new)
    assert url in error_of(lambda: query.compute(scheduler="sync"), "SX303").problem
    assert ak.array_equal(query.compute(scheduler="sync"), new)
    assert ak.array_equal(asked(url).compute(scheduler="sync"), new)


def test_what_is_not_there_or_no_root_file_is_named(folder, range_http_server):
    server = range_http_server(folder)
    (folder / "page.root").write_text("<html>please log in</html>" * 10)
    (folder / "empty.root").touch()
    for name, code in [("none", "SX201"), ("page", "SX203"), ("empty", "SX203")]:
        url = f"{server.url}/{name}.root"
        assert url in error_of(lambda url=url: asked(url), code).problem
    error_of(lambda: asked("http://127.0.0.1:9/a.root"), "SX401")  # nobody listens there


def test_a_truncated_file_on_a_server_says_so(folder, range_http_server):
    server = range_http_server(folder)
    data = (folder / "a.root").read_bytes()
    (folder / "a.root").write_bytes(data[: len(data) // 2])
    assert "header says" in error_of(lambda: asked(f"{server.url}/a.root"), "SX301").problem


def test_the_file_removed_during_a_run_is_named(folder, range_http_server):
    server = range_http_server(folder)
    write_nanoaod(folder / "z.root", 5_000, entries_per_cluster=1_000)
    small = replace(load_settings(), partition_bytes=1)
    urls = [f"{server.url}/{name}.root" for name in "az"]
    stream = (
        sx.dataset(urls, "Events", settings=small)
        .select("event")
        .stream(ordered=True, scheduler="sync")
    )
    next(stream)
    (folder / "z.root").unlink()
    assert urls[1] in error_of(lambda: list(stream), "SX201").problem
