"""Transforms, datasets and results in a database."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from sxdask.core.errors import RequestError
from sxdask.service.database.connect import open_database
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import METADATA
from sxdask.service.transforms.ports import DatasetFile, FileResult, NewTransform
from sxdask.service.transforms.states import CancelAsked, Status

NEW = NewTransform("title", "selection", "uproot-raw", "parquet", "object-store", "key")


@pytest.fixture
def store(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'service.db'}")
    METADATA.create_all(engine)
    yield SqlStore(engine)
    engine.dispose()


def of_files(*paths, **changes):
    return replace(NEW, files=paths, **changes)


def of_dataset(did="rucio://scope:name", **changes):
    return replace(NEW, did=did, **changes)


def ok(file, **facts):
    return FileResult(file.id, file.paths[0], ok=True, object=f"{file.paths[0]}.parquet", **facts)


def bad(file):
    return FileResult(file.id, file.paths[0], ok=False, code="SX301", message="no such branch")


def test_a_list_of_files_runs_at_once_and_a_file_named_twice_is_one(store):
    made = store.submit(of_files("a.root", "b.root", "a.root"))
    assert made.state.status is Status.RUNNING
    assert [file.paths for file in store.pending_files(made.request_id)] == [
        ("a.root",),
        ("b.root",),
    ]
    again = store.submit(of_files("a.root", "b.root", "a.root"))
    assert (again.did_id, again.request_id != made.request_id) == (made.did_id, True)
    assert store.unfinished() == [made, again]


def test_the_first_report_of_a_file_counts_and_stamps_grow(store):
    made = store.submit(of_files(*"abcd"))
    files = store.pending_files(made.request_id)
    assert store.report(made.request_id, ok(files[0], bytes=10))
    assert not store.report(made.request_id, ok(files[0], bytes=99))
    assert not store.report(made.request_id, bad(files[0]))
    for file in files[1:]:
        assert store.report(made.request_id, ok(file))
    found = store.results(made.request_id)
    stamps = [item.created for item in found]
    assert stamps == sorted(set(stamps))
    assert found[0].result.bytes == 10
    assert store.results(made.request_id, stamps[1]) == found[2:]
    assert store.results(made.request_id, datetime.min.replace(tzinfo=UTC)) == found
    ended = store.transform(made.request_id)
    assert ended.state.status is Status.COMPLETE
    assert ended.finished - ended.submitted < timedelta(seconds=30)


def test_reports_from_many_threads_are_in_order_and_all_there(store):
    made = store.submit(of_files(*map(str, range(40))))
    files = store.pending_files(made.request_id)
    seen: list[int] = []
    running = threading.Event()

    def poll():
        later = None
        while not running.is_set() or store.results(made.request_id, later):
            found = store.results(made.request_id, later)
            seen.extend(item.result.file_id for item in found)
            later = found[-1].created if found else later

    with ThreadPoolExecutor(5) as pool:
        polling = pool.submit(poll)
        twice = [*files, *files]
        accepted = list(pool.map(lambda file: store.report(made.request_id, ok(file)), twice))
        running.set()
        polling.result()
    assert accepted.count(True) == 40
    assert sorted(seen) == sorted(file.id for file in files)
    assert store.transform(made.request_id).state.completed == 40


def test_a_dataset_is_looked_for_once_for_all_who_wait(store):
    first = store.submit(of_dataset())
    assert first.state.status is Status.SUBMITTED
    assert store.begin_lookup(first.did_id)
    second = store.submit(of_dataset())
    assert not store.begin_lookup(second.did_id)
    assert second.state.status is Status.PENDING_LOOKUP
    store.add_files(first.did_id, [DatasetFile(0, ("x", "y"), "ad", 5, 7), DatasetFile(0, ("z",))])
    store.add_files(first.did_id, [DatasetFile(0, ("z",))])
    third = store.submit(of_dataset())
    store.end_lookup(first.did_id)
    for made in (first, second, third):
        now = store.transform(made.request_id)
        assert (now.state.status, now.state.files) == (Status.RUNNING, 2)
        assert store.pending_files(made.request_id)[0].paths == ("x", "y")
    found = store.dataset(first.did_id)
    assert (found.num_files, found.size, found.events) == (2, 5, 7)
    assert store.submit(of_dataset()).state.looked_up


def test_a_failed_lookup_ends_who_waits_and_is_not_remembered(store):
    first = store.submit(of_dataset())
    store.begin_lookup(first.did_id)
    store.end_lookup(first.did_id, "does_not_exist", "no such dataset")
    now = store.transform(first.request_id)
    assert (now.state.status, now.state.reason) == (Status.BAD_DATASET, "no such dataset")
    assert store.dataset(first.did_id).lookup_status == "does_not_exist"
    assert store.submit(of_dataset()).did_id != first.did_id


def test_an_empty_dataset_is_complete(store):
    made = store.submit(of_dataset())
    store.begin_lookup(made.did_id)
    store.end_lookup(made.did_id)
    assert store.transform(made.request_id).state.status is Status.COMPLETE


def test_failed_files_run_again_and_stamps_go_on(store):
    made = store.submit(of_files("a", "b"))
    a, b = store.pending_files(made.request_id)
    store.report(made.request_id, ok(a))
    store.report(made.request_id, bad(b))
    before = store.results(made.request_id)[-1].created
    assert store.resubmit_failed(made.request_id) == 1
    assert store.pending_files(made.request_id) == [b]
    store.report(made.request_id, ok(b))
    assert store.results(made.request_id)[-1].created > before
    assert store.transform(made.request_id).state.completed == 2


def test_what_is_canceled_takes_no_results_and_what_is_archived_is_gone(store):
    made = store.submit(of_files("a"))
    (file,) = store.pending_files(made.request_id)
    store.apply(made.request_id, CancelAsked())
    assert not store.report(made.request_id, ok(file))
    store.archive(made.request_id)
    assert store.transform(made.request_id) is None
    assert store.transforms() == []
    with pytest.raises(RequestError, match="no transform"):
        store.apply(made.request_id, CancelAsked())


def test_the_same_answer_is_found_for_the_same_user(store):
    made = store.submit(of_files("a"))
    assert store.same_answer("key", None) is None
    store.report(made.request_id, ok(*store.pending_files(made.request_id)))
    assert store.same_answer("key", None).request_id == made.request_id
    assert store.same_answer("key", 7) is None
    assert store.same_answer("other", None) is None


def test_a_lookup_that_was_cut_off_is_begun_anew(store):
    made = store.submit(of_dataset())
    store.begin_lookup(made.did_id)
    assert store.renew_lookups() == [made.did_id]
    assert store.begin_lookup(made.did_id)


def test_a_stale_dataset_is_looked_for_again(store):
    made = store.submit(of_files("a"))
    assert store.make_stale(made.did_id)
    assert not store.make_stale(made.did_id)
    assert store.submit(of_files("a")).did_id != made.did_id
    assert [item.id for item in store.datasets()] != [made.did_id]
    assert len(store.datasets("user", with_stale=True)) == 2
