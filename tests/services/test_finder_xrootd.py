"""Files on a real XRootD server: the contract of finders, and what is special about it."""

from __future__ import annotations

import pytest

import sxdask as sx
from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    ReadFailedError,
    RequestError,
)
from sxdask.datasets.address import parse_address
from sxdask.datasets.finders import xrootd
from sxdask.datasets.finders.xrootd import XRootDFinder
from sxdask.service.database.connect import open_database
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import METADATA
from sxdask.service.transforms.lookups import Lookups
from sxdask.service.transforms.ports import NewTransform
from sxdask.testing import write_nanoaod
from tests.contracts.test_finders import FinderContract
from tests.unit.service.test_lookups import ended


class TestXRootD(FinderContract):
    scheme = "xrootd"
    bad_name = "xrootd://https://host/a.root"

    @pytest.fixture
    def three_files(self, xrootd_server) -> str:
        for name in "cab":
            xrootd_server.put(f"contract/{name}.root")
        return f"xrootd://{xrootd_server.url('contract/*.root')}"

    @pytest.fixture
    def no_files(self, xrootd_server) -> str:
        return f"xrootd://{xrootd_server.url('contract/no/*.root')}"


@pytest.fixture
def tree(xrootd_server):
    """Return the server with some files below ``/data/tree``."""
    for name in ("a/1.root", "a/2.root", "b/3.root", "b/.hidden.root", "b/deep/4.root", "note.txt"):
        xrootd_server.put(f"tree/{name}", b"12345")
    return xrootd_server


def find(server, pattern):
    address = parse_address(f"xrootd://{server.url(pattern)}")
    return XRootDFinder().find(address, storage_options={})


def names(server, pattern):
    return [
        entry.url.removeprefix(server.url("tree/")) for entry in find(server, f"tree/{pattern}")
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a/*.root", ["a/1.root", "a/2.root"]),
        ("*/?.root", ["a/1.root", "a/2.root", "b/3.root"]),
        ("[ab]/[13].root", ["a/1.root", "b/3.root"]),
        ("**/*.root", ["a/1.root", "a/2.root", "b/3.root", "b/deep/4.root"]),
        ("**", ["a/1.root", "a/2.root", "b/3.root", "b/deep/4.root", "note.txt"]),
        ("*/1.root", ["a/1.root"]),
        ("b/.*.root", ["b/.hidden.root"]),
        ("b", ["b/3.root", "b/deep/4.root"]),
        ("a/1.root", ["a/1.root"]),
        ("**/**/4.root", ["b/deep/4.root"]),
    ],
)
def test_patterns_mean_what_they_mean_in_a_shell(tree, pattern, expected) -> None:
    assert names(tree, pattern) == expected


def test_sizes_come_with_the_listing(tree) -> None:
    assert {entry.size for entry in find(tree, "tree/a/*.root")} == {5}


def test_a_file_that_is_new_is_found(tree) -> None:
    assert len(names(tree, "a/*.root")) == 2
    tree.put("tree/a/5.root")
    try:
        assert len(names(tree, "a/*.root")) == 3
    finally:
        (tree.data / "tree/a/5.root").unlink()


@pytest.mark.parametrize("pattern", ["a/*.txt", "none*/*.root", "*/*/*/*.root", "a/1.root/*.root"])
def test_a_pattern_that_matches_nothing_is_empty(tree, pattern) -> None:
    with pytest.raises(EmptyDatasetError, match="no file matches"):
        find(tree, f"tree/{pattern}")


@pytest.mark.parametrize("pattern", ["none/*.root", "none.root", "a/none.root"])
def test_a_path_that_is_not_there_is_named(tree, pattern) -> None:
    with pytest.raises(FileMissingError, match=r"none"):
        find(tree, f"tree/{pattern}")


def test_a_directory_that_may_not_be_read_is_an_error_and_not_left_out(tree) -> None:
    secret = tree.data / "tree" / "secret"
    secret.mkdir(mode=0o700)
    try:
        for pattern in ("tree/secret/*.root", "tree/**/*.root", "tree"):
            with pytest.raises(AccessDeniedError, match="may not be listed"):
                find(tree, pattern)
    finally:
        secret.rmdir()


@pytest.mark.parametrize(
    "name",
    ["", "root://host", "/data/*.root", "root://ada:pw@host//*.root", "root://host//a/../b.root"],
)
def test_what_is_no_url_of_a_server_is_refused(name) -> None:
    with pytest.raises(RequestError) as caught:
        XRootDFinder().find(parse_address(f"xrootd://{name}"), storage_options={})
    assert "pw" not in str(caught.value)


def test_a_server_that_does_not_answer_is_an_error(tree, monkeypatch) -> None:
    monkeypatch.setattr(xrootd, "_SECONDS", 1)
    with pytest.raises(ReadFailedError, match="cannot be listed"):
        XRootDFinder().find(
            parse_address("xrootd://root://127.0.0.1:9//*.root"), storage_options={}
        )


def test_a_dataset_is_read_from_the_server(xrootd_server, tmp_path) -> None:
    for number in range(3):
        path = write_nanoaod(tmp_path / f"{number}.root", 200, seed=number)
        xrootd_server.put(f"nano/{number}.root", path.read_bytes())
    whole = sx.dataset(f"xrootd://{xrootd_server.url('nano/*.root')}")
    assert whole.num_events == 600
    part = sx.dataset(f"xrootd://{xrootd_server.url('nano/*.root:Events?files=2')}")
    rows = part.select("MET_pt").compute()
    local = sx.dataset([tmp_path / "0.root", tmp_path / "1.root"]).select("MET_pt").compute()
    assert rows.to_list() == local.to_list()


@pytest.fixture
def store(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'service.db'}")
    METADATA.create_all(engine)
    yield SqlStore(engine)
    engine.dispose()


@pytest.mark.parametrize(
    ("pattern", "status", "files"),
    [
        ("tree/**/*.root", "complete", 4),
        ("tree/**/*.root?files=3", "complete", 3),
        ("tree/a/*.txt", "does_not_exist", 0),
        ("tree/none/*.root", "does_not_exist", 0),
    ],
)
def test_the_service_looks_datasets_up_there(tree, store, pattern, status, files) -> None:
    did = f"xrootd://{tree.url(pattern)}"
    made = store.submit(NewTransform("t", "s", "c", "parquet", "volume", "k", did=did))
    lookups = Lookups(store=store, wake=lambda: None)
    try:
        lookups.begin(store.dataset(made.did_id))
        found = ended(store, made)
    finally:
        lookups.stop()
    assert (found.lookup_status, found.num_files) == (status, files)
