"""A dataset whose files have several replicas is read where they can be read."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from typing import Any

import pytest

import sxdask as sx
from sxdask.core.errors import FileMissingError, ReadFailedError
from sxdask.core.settings import load_settings
from sxdask.datasets.model import FileEntry, FileSet
from sxdask.pipeline.source import Source
from tests.servers import serve_ranges

DEAD = "http://127.0.0.1:9"


@dataclass
class Replicas:
    """A dataset of the files in `folder`, each first at a dead place, then where it is."""

    url: str
    files: list[Any]

    def entry(self, path, *, first=DEAD):
        return FileEntry(
            f"{first}/{path.name}", "Events", replicas=(f"{DEAD}1/{path.name}", self.good(path))
        )

    def good(self, path):
        return f"{self.url}/{path.name}"

    def source(self):
        entries = tuple(self.entry(path) for path in self.files)
        return Source(FileSet("replicated", entries), load_settings())


@pytest.fixture
def replicas(nanoaod_files):
    with serve_ranges(nanoaod_files[0].parent) as server:
        yield Replicas(server.url, nanoaod_files)


@pytest.fixture
def dataset(replicas, monkeypatch):
    """Return the dataset as a name in a catalogue would give it."""
    files = replicas.source().files
    monkeypatch.setattr("sxdask.datasets.resolve.resolve", lambda *_, **__: files)
    return sx.dataset("rucio://user.ada:replicated")


def test_the_first_replica_that_answers_is_read(dataset, replicas):
    assert dataset.num_events == 10_000
    rows = dataset.where("MET_pt > 40").select("MET_pt").compute()
    local = sx.dataset([str(path) for path in replicas.files], "Events")
    assert rows.to_list() == local.where("MET_pt > 40").select("MET_pt").compute().to_list()


def test_a_delivery_names_the_place_that_was_read(dataset, replicas, tmp_path):
    manifest = dataset.select("MET_pt").deliver(str(tmp_path / "out"), format="parquet")
    read = {entry.file for entry in manifest.partitions}
    assert read == set(map(replicas.good, replicas.files))


def test_identities_are_taken_at_the_place_that_answers(replicas):
    source = replicas.source()
    stamps = source.stamps()
    assert [url for url, _ in stamps] == [replicas.good(path) for path in replicas.files]
    assert list(source.urls) == [url for url, _ in stamps]


def test_the_trees_of_the_first_file_are_found(replicas):
    assert "Events" in replicas.source().trees


def test_where_no_replica_can_be_read_the_best_one_is_named(replicas):
    path = replicas.files[0]
    entry = FileEntry(f"{replicas.url}/gone.root", "Events", replicas=(f"{DEAD}/{path.name}",))
    source = Source(FileSet("gone", (entry,)), load_settings())
    for look in (lambda: source.index_of_first("Events"), source.stamps, lambda: source.trees):
        with pytest.raises(FileMissingError, match=r"gone\.root"):
            look()
    with pytest.raises(FileMissingError):
        source.indexes("Events")


def test_a_place_that_went_away_is_left_for_another(replicas, tmp_path):
    for path in replicas.files:
        shutil.copy(path, tmp_path)
    with serve_ranges(tmp_path) as other:
        entries = tuple(
            FileEntry(f"{other.url}/{path.name}", "Events", replicas=(replicas.good(path),))
            for path in replicas.files
        )
        source = Source(FileSet("moving", entries), load_settings())
        source.settle("Events")
        assert all(url.startswith(other.url) for url in source.urls)
        for path in replicas.files:
            (tmp_path / path.name).unlink()
        assert [url for url, _ in source.stamps()] == list(map(replicas.good, replicas.files))


def test_files_without_replicas_are_not_looked_at_twice(nanoaod_files):
    with serve_ranges(nanoaod_files[0].parent) as server:
        entries = (FileEntry(f"{server.url}/{nanoaod_files[0].name}", "Events"),)
        Source(FileSet("plain", entries), load_settings()).settle("Events")
        assert server.requests == []


def test_a_defect_of_the_file_is_no_reason_to_look_elsewhere(tmp_path):
    (tmp_path / "bad.root").write_bytes(b"no ROOT file at all" * 10)
    with serve_ranges(tmp_path) as server:
        entry = FileEntry(f"{server.url}/bad.root", "Events", replicas=(f"{DEAD}/bad.root",))
        source = Source(FileSet("bad", (entry,)), load_settings())
        with pytest.raises(sx.SxdaskError) as caught:
            source.index_of_first("Events")
    assert not isinstance(caught.value, ReadFailedError)


def test_a_processor_reads_the_place_that_answers(dataset):
    def count(events):
        return {"events": len(events)}

    assert dataset.process(count) == {"events": 10_000}
