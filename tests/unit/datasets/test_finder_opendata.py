"""Records of CERN Open Data, from a server with the portal's interface on loopback."""

from __future__ import annotations

import json
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    ReadFailedError,
    RequestError,
)
from sxdask.core.settings import Settings
from sxdask.datasets.address import parse_address
from sxdask.datasets.finder import make_finder
from tests.servers import serve_ranges

EOS = "root://eospublic.cern.ch//eos/opendata/cms"


def file(name, **facts):
    return {"uri": f"{EOS}/{name}", "size": 5, "checksum": "adler32:0cc737eb", **facts}


class Portal:
    """Records as files of a folder, served over HTTP."""

    def __init__(self, folder, url):
        self.folder, self.url = folder, url
        self.settings = Settings(cache_dir=folder, opendata_url=f"{url}/")

    def record(self, number, **metadata):
        path = self.folder / "api" / "records" / str(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"id": number, "metadata": {"recid": number, **metadata}}))

    def find(self, name, **settings):
        finder = make_finder("cernopendata", Settings(**{**vars_of(self.settings), **settings}))
        return finder.find(parse_address(f"cernopendata://{name}"), storage_options={})


def vars_of(settings):
    return {name: getattr(settings, name) for name in ("cache_dir", "opendata_url")}


@pytest.fixture
def portal(tmp_path):
    with serve_ranges(tmp_path) as server:
        yield Portal(tmp_path, server.url)


def test_files_have_both_protocols_and_their_facts(portal):
    portal.record(12341, files=[file("b.root"), file("a.root"), file("a.root")])
    first, second = portal.find(12341)
    assert first.places == (f"{EOS}/a.root", f"{portal.url}/eos/opendata/cms/a.root")
    assert (first.size, first.adler32) == (5, "0cc737eb")
    assert second.url == f"{EOS}/b.root"
    assert portal.find("012341:Events")[0].tree == "Events"


def test_the_protocol_is_a_matter_of_settings(portal):
    portal.record(1, files=[file("a.root")])
    (entry,) = portal.find(1, replica_schemes="http,root")
    assert entry.places == (f"{portal.url}/eos/opendata/cms/a.root", f"{EOS}/a.root")
    (entry,) = portal.find(1, replica_schemes="http")
    assert entry.places == (f"{portal.url}/eos/opendata/cms/a.root",)


def test_indexes_that_the_portal_expands_are_taken(portal):
    index = {"key": "x_file_index.json", "files": [file("b.root"), file("c.root")]}
    portal.record(2, files=[file("a.root"), file("x_file_index.json")], _file_indices=[index])
    assert [entry.url[-6:] for entry in portal.find(2)] == ["a.root", "b.root", "c.root"]


def test_indexes_that_are_files_are_fetched(portal):
    portal.record(3, files=[file("x_file_index.json"), file("x_file_index.txt")])
    index = portal.folder / "eos/opendata/cms/x_file_index.json"
    index.parent.mkdir(parents=True)
    index.write_text(json.dumps([file("b.root"), file("c.root", checksum=None)]))
    assert [entry.url[-6:] for entry in portal.find(3)] == ["b.root", "c.root"]
    index.unlink()
    with pytest.raises(FileMissingError, match="file index"):
        portal.find(3)


def test_a_record_without_root_files_exists_and_is_empty(portal):
    portal.record(4, files=[file("readme.txt"), file("code.zip")])
    with pytest.raises(EmptyDatasetError, match="has no ROOT file; it has 2 others") as caught:
        portal.find(4)
    assert caught.value.context["exists"]
    portal.record(5)
    with pytest.raises(EmptyDatasetError, match="has no ROOT file"):
        portal.find(5)


@pytest.mark.parametrize(
    "name", ["", "CMS", "12a", "-1", "0", "1/../2", "1.5", "12345678901", "١٢"]
)
def test_what_is_no_number_is_no_record(portal, name):
    with pytest.raises(RequestError, match="is no record") as caught:
        portal.find(name)
    assert "cernopendata://12341" in str(caught.value)


def test_a_record_that_is_not_there(portal):
    with pytest.raises(FileMissingError, match="there is no record 99 of CERN Open Data"):
        portal.find(99)


@pytest.mark.parametrize(
    "text",
    ["", "<html>", "[]", "{}", '{"metadata": {"files": 3}}', '{"metadata": {"files": [{}]}}'],
)
def test_what_is_no_answer_of_the_portal_is_an_error(portal, text):
    portal.record(6)
    (portal.folder / "api/records/6").write_text(text)
    with pytest.raises(ReadFailedError):
        portal.find(6)


@contextmanager
def answering(status):
    """Serve `status` to every request."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_error(status)

        def log_message(self, *args):
            """Stay silent."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (403, AccessDeniedError),
        (410, FileMissingError),
        (500, ReadFailedError),
        (502, ReadFailedError),
    ],
)
def test_faults_of_the_portal(tmp_path, status, kind):
    with answering(status) as url, pytest.raises(kind):
        Portal(tmp_path, url).find(1)


def test_a_portal_that_is_not_there(tmp_path):
    with pytest.raises(ReadFailedError, match="cannot be had from the portal"):
        Portal(tmp_path, "http://127.0.0.1:9").find(1)
