"""Lookups end, well or with a reason, whatever finders and storage do."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest

from sxdask.core.errors import (
    EmptyDatasetError,
    FileMissingError,
    MissingExtraError,
    ReadFailedError,
    RequestError,
)
from sxdask.datasets.model import FileEntry
from sxdask.service.auth.places import Places
from sxdask.service.database.connect import open_database
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import METADATA
from sxdask.service.transforms.lookups import CHUNK, Lookups
from sxdask.service.transforms.ports import DatasetFile, NewTransform
from sxdask.service.transforms.states import Status

PATIENCE = 20.0


@dataclass
class Plain:
    """A finder that gives what it was told to, or raises it, once a call."""

    answers: list[Any]
    calls: int = 0

    def find(self, address, *, storage_options):
        assert address.path
        assert storage_options == {}
        answer = self.answers[min(self.calls, len(self.answers) - 1)]
        self.calls += 1
        if isinstance(answer, Exception):
            raise answer
        return answer


@dataclass
class Streaming(Plain):
    """The same, one by one; it waits for `gate` before what comes after `until`."""

    until: int = 10**9
    gate: threading.Event = field(default_factory=threading.Event)

    def stream(self, address, *, storage_options):
        for number, item in enumerate(self.find(address, storage_options=storage_options)):
            if number == self.until:
                self.gate.wait(PATIENCE)
            if isinstance(item, Exception):
                raise item
            yield item


def entries(*urls):
    return [FileEntry(url) for url in urls]


def numbered(count):
    return entries(*(f"root://host//{number:05}.root" for number in range(count)))


@pytest.fixture
def store(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'service.db'}")
    METADATA.create_all(engine)
    yield SqlStore(engine)
    engine.dispose()


@pytest.fixture
def look(store):
    """Return a function that submits a transform of a dataset and begins its lookup."""
    started = []

    def start(finder, did="rucio://scope:name", **options):
        woken = threading.Event()
        lookups = Lookups(
            store=store,
            wake=woken.set,
            pause=0.01,
            finder_of={address_scheme(did): finder}.__getitem__,
            **{"seconds": PATIENCE, **options},
        )
        started.append(lookups)
        made = store.submit(
            NewTransform("t", "s", "uproot-raw", "parquet", "object-store", "k", did=did)
        )
        lookups.begin(store.dataset(made.did_id))
        return lookups, made, woken

    yield start
    for lookups in started:
        lookups.stop()


def address_scheme(did):
    return did.partition("://")[0]


def until(condition, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.01)


def ended(store, made, seconds=PATIENCE):
    until(lambda: store.dataset(made.did_id).lookup_status not in {"created", "looking"}, seconds)
    return store.dataset(made.did_id)


def paths(store, made):
    return [file.paths for file in store.dataset_files(made.did_id)]


def test_files_with_their_replicas_and_facts_reach_the_transform(store, look):
    file = FileEntry("root://a//x", replicas=("https://b/x",), size=5, events=7, adler32="0a1b2c3d")
    _, made, woken = look(Plain([[file]]))
    found = ended(store, made)
    assert (found.lookup_status, found.num_files, found.size, found.events) == ("complete", 1, 5, 7)
    (stored,) = store.pending_files(made.request_id)
    assert stored == DatasetFile(stored.id, file.places, "0a1b2c3d", 5, 7)
    assert store.transform(made.request_id).state.status is Status.RUNNING
    assert woken.is_set()


def test_files_are_handed_on_while_others_are_looked_for(store, look):
    finder = Streaming([numbered(2 * CHUNK + 5)], until=CHUNK)
    _, made, _ = look(finder)
    until(lambda: len(store.dataset_files(made.did_id)) == CHUNK)
    state = store.transform(made.request_id).state
    assert (state.status, state.files, state.looked_up) == (Status.RUNNING, CHUNK, False)
    finder.gate.set()
    assert ended(store, made).num_files == 2 * CHUNK + 5


def test_files_n_are_the_first_of_all_each_time(store, look):
    twice = [*numbered(2), *numbered(9)]
    for did in ("rucio://scope:name?files=3", "rucio://scope:name?files=3&get=all"):
        finder = Streaming([twice], until=5)  # is not asked one by one
        _, made, _ = look(finder, did)
        ended(store, made)
        assert paths(store, made) == [entry.places for entry in numbered(3)]


def test_a_file_that_is_found_twice_is_there_once(store, look):
    twice = [*numbered(3), *numbered(2), FileEntry("davs://b/9", replicas=(numbered(1)[0].url,))]
    _, made, _ = look(Streaming([twice]))
    ended(store, made)
    assert paths(store, made) == [entry.places for entry in numbered(3)]


@pytest.mark.parametrize(
    ("error", "status", "calls"),
    [
        (FileMissingError("no such scope", hint="look"), "does_not_exist", 1),
        (EmptyDatasetError("nothing matches"), "does_not_exist", 1),
        (RequestError("a colon is missing"), "bad_name", 1),
        (MissingExtraError("no package"), "internal_failure", 1),
        (ReadFailedError("the catalogue does not answer"), "internal_failure", 4),
        (ValueError("a defect"), "internal_failure", 1),
    ],
)
def test_failures_have_the_words_of_servicex(store, look, error, status, calls):
    finder = Plain([error])
    _, made, _ = look(finder)
    found = ended(store, made)
    assert (found.lookup_status, finder.calls) == (status, calls)
    state = store.transform(made.request_id).state
    assert state.status is Status.BAD_DATASET
    assert str(error.args[0]) in state.reason
    assert "\n" not in state.reason


@pytest.mark.parametrize(
    ("did", "word"),
    [
        ("rucio://scope:name?files=0", "how many files"),
        ("rucio://scope:name?get=some", "all or available"),
        ("xrootd://root://host//a.root:Events", "in the selection"),
        ("file:///etc/passwd", "no local path"),
    ],
)
def test_a_name_that_cannot_be_is_refused_before_a_finder_is_asked(store, look, did, word):
    finder = Plain([numbered(1)])
    _, made, _ = look(finder, did)
    found = ended(store, made)
    assert (found.lookup_status, finder.calls) == ("bad_name", 0)
    assert word in found.reason


def test_a_tree_is_no_part_of_a_dataset_here_but_in_the_catalog(store, look):
    file = FileEntry("root://a//x.root", "Events")
    _, made, _ = look(Plain([[file]]), "rucio://scope:name:Events")
    assert ended(store, made).lookup_status == "bad_name"
    _, made, _ = look(Plain([[file]]), "catalog://mine")
    assert ended(store, made).lookup_status == "complete"


def test_what_passes_is_tried_again_and_no_file_is_doubled(store, look):
    cut_off = [*numbered(CHUNK + 3), ReadFailedError("connection reset")]
    finder = Streaming([cut_off, numbered(CHUNK + 10)])
    _, made, _ = look(finder)
    assert ended(store, made).num_files == CHUNK + 10
    assert finder.calls == 2
    assert store.transform(made.request_id).state.files == CHUNK + 10


@pytest.mark.parametrize(
    "answer", [[], EmptyDatasetError("dataset 'scope:name' has no files", exists=True)]
)
def test_an_empty_dataset_is_complete_and_says_so(store, look, answer):
    _, made, _ = look(Plain([answer]))
    assert ended(store, made).lookup_status == "complete"
    state = store.transform(made.request_id).state
    assert (state.status, state.files) == (Status.COMPLETE, 0)
    assert "has no files" in state.reason
    again = store.submit(made.new)
    assert "has no files" in store.transform(again.request_id).state.reason


def test_a_finder_that_hangs_is_left_to_itself(store, look):
    finder = Streaming([numbered(5)], until=0)
    lookups, made, _ = look(finder, seconds=0.2, max_parallel=1)
    found = ended(store, made)
    assert found.lookup_status == "internal_failure"
    assert "nothing was heard" in found.reason
    finder.gate.set()  # what it finds now is too late
    other = store.submit(NewTransform("t", "s", "c", "parquet", "volume", "k", did="rucio://o:o"))
    lookups.begin(store.dataset(other.did_id))
    assert ended(store, other).num_files == 5
    assert store.dataset_files(made.did_id) == []


def test_a_slow_finder_that_goes_on_finding_is_left_alone(store, look):
    class Slow(Plain):
        def stream(self, address, *, storage_options):
            for item in self.find(address, storage_options=storage_options):
                time.sleep(0.1)
                yield item

    _, made, _ = look(Slow([numbered(8)]), seconds=0.5)
    assert ended(store, made).num_files == 8


def test_one_lookup_serves_all_who_ask(store, look):
    finder = Streaming([numbered(2)], until=1)
    lookups, made, _ = look(finder)
    until(lambda: finder.calls == 1)
    for _ in range(3):
        lookups.begin(store.dataset(made.did_id))
    second = store.submit(made.new)
    lookups.begin(store.dataset(second.did_id))
    finder.gate.set()
    ended(store, made)
    lookups.begin(store.dataset(made.did_id))
    lookups.stop()
    assert finder.calls == 1
    assert store.transform(second.request_id).state.files == 2


def test_a_lookup_that_a_dead_service_began_is_begun_anew(store, look):
    finder = Streaming([numbered(CHUNK + 2)], until=CHUNK + 1)
    first, made, _ = look(finder)
    until(lambda: store.dataset_files(made.did_id))
    stopping = threading.Thread(target=first.stop)
    stopping.start()
    until(first._stopping.is_set)
    finder.gate.set()
    stopping.join()
    assert store.dataset(made.did_id).lookup_status == "looking"
    assert len(store.dataset_files(made.did_id)) == CHUNK  # nothing is written after the end
    look(Plain([numbered(CHUNK + 2)]))
    assert ended(store, made).num_files == CHUNK + 2
    assert store.transform(made.request_id).state.files == CHUNK + 2


def test_files_n_is_not_exceeded_after_a_restart(store, look):
    did = "rucio://scope:name?files=2"
    made = store.submit(NewTransform("t", "s", "c", "parquet", "volume", "k", did=did))
    store.begin_lookup(made.did_id)
    store.add_files(made.did_id, [DatasetFile(0, (url,)) for url in ("root://old//1", "o//2")])
    look(Plain([numbered(5)]), did)
    assert ended(store, made).num_files == 2


def test_a_dataset_made_stale_meanwhile_serves_who_waits_and_nobody_after(store, look):
    finder = Streaming([numbered(2)], until=1)
    _, made, _ = look(finder)
    until(lambda: finder.calls == 1)
    assert store.make_stale(made.did_id)
    later = store.submit(made.new)
    assert later.did_id != made.did_id
    finder.gate.set()
    assert ended(store, made).is_stale
    assert store.transform(made.request_id).state.files == 2
    assert store.submit(made.new).did_id == later.did_id


def test_an_address_where_users_may_not_read_is_a_bad_name(store, look):
    finder = Plain([numbered(1)])
    _, made, _ = look(finder, "xrootd://root://127.0.0.1//*.root", check=Places().require_open)
    found = ended(store, made)
    assert (found.lookup_status, finder.calls) == ("bad_name", 0)
    assert "no public address" in found.reason
    _, other, _ = look(finder, "rucio://scope:name", check=Places().require_open)
    assert (ended(store, other).lookup_status, finder.calls) == ("complete", 1)


def test_only_so_many_lookups_run_at_a_time(store, look):
    finder = Streaming([numbered(1)], until=0)
    lookups, made, _ = look(finder, max_parallel=2)
    others = []
    for number in range(4):
        did = f"rucio://scope:{number}"
        new = NewTransform("t", "s", "c", "parquet", "volume", "k", did=did)
        others.append(store.submit(new))
        lookups.begin(store.dataset(others[-1].did_id))
    until(lambda: finder.calls == 2)
    time.sleep(0.1)
    assert finder.calls == 2
    finder.gate.set()
    for item in (made, *others):
        assert ended(store, item).lookup_status == "complete"
