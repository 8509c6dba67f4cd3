"""What several threads and processes do to one database at once.

The first fact about ServiceX's client: it asks for results that were stored later
than the latest it has seen. One that appears after another with an earlier stamp
is never seen, and the client waits for ever.
"""

from __future__ import annotations

import multiprocessing
import random
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from sqlalchemy import func, select, text

from sxdask.service.database.connect import open_database, reading, writing
from sxdask.service.database.store import SqlStore, report_row
from sxdask.service.database.tables import DATASETS, RESULTS, TRANSFORMS
from sxdask.service.transforms.ports import DatasetFile
from sxdask.service.transforms.states import CancelAsked, Status
from tests.databases import bad, good, of_dataset, of_files, sqlite_database

THREADS = 8


@dataclass
class Client:
    """Polls as ServiceX's client does, with a connection of its own."""

    store: SqlStore
    request_id: str

    def follow(self, is_over):
        """Return the rows seen until the transform has ended and all that it counts are there."""
        seen, later = [], None
        while True:
            over = is_over()
            made = self.store.transform(self.request_id)
            assert made is not None
            now = made.state
            found = self.store.results(self.request_id, later)
            seen += found
            later = found[-1].created if found else later
            assert len(seen) >= now.completed + now.failed  # what is counted is there
            if over and not found:
                return seen


def report_from_a_process(url, request_id, seed):
    """Report every file of a transform; return how many reports counted."""
    engine = open_database(url)
    store = SqlStore(engine)
    made = store.transform(request_id)
    assert made is not None
    files = store.dataset_files(made.did_id)
    random.Random(seed).shuffle(files)  # noqa: S311  an order, no secret
    told = [store.report(request_id, good(file, rows=seed)) for file in files]
    engine.dispose()
    return told.count(True)


def at_once(*calls):
    """Begin all calls at the same time, each in a thread; return what they return, in order."""
    line = threading.Barrier(len(calls))

    def begin(call):
        line.wait()
        return call()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(begin, call) for call in calls]]


class RaceContract:
    """A subclass gives `engine`, a database with the service's tables."""

    rounds = 4

    @pytest.fixture
    def store(self, engine):
        return SqlStore(engine)

    @pytest.fixture
    def url(self, engine):
        return engine.url.render_as_string(hide_password=False)

    def assert_counted(self, store, request_id):
        """A transform counts exactly the rows that it has."""
        rows = store.results(request_id)
        stamps = [item.created for item in rows]
        assert stamps == sorted(set(stamps))
        assert len({item.result.file_id for item in rows}) == len(rows)
        state = store.transform(request_id).state
        assert state.completed == sum(item.result.ok for item in rows)
        assert state.failed == sum(not item.result.ok for item in rows)

    def test_a_client_sees_every_result_that_threads_report(self, store, url):
        made = store.submit(of_files(*map(str, range(60))))
        files = store.pending_files(made.request_id)
        over = threading.Event()
        engine = open_database(url)
        with ThreadPoolExecutor(THREADS + 1) as pool:
            client = pool.submit(Client(SqlStore(engine), made.request_id).follow, over.is_set)
            told = list(pool.map(lambda file: store.report(made.request_id, good(file)), files * 2))
            over.set()
            seen = client.result()
        engine.dispose()
        assert told.count(True) == len(files)
        assert seen == store.results(made.request_id)
        assert store.transform(made.request_id).state.status is Status.COMPLETE
        self.assert_counted(store, made.request_id)

    def test_a_client_sees_every_result_that_processes_report(self, store, url):
        made = store.submit(of_files(*map(str, range(60))))
        over = threading.Event()
        spawn = multiprocessing.get_context("spawn")
        with (
            ThreadPoolExecutor(1) as thread,
            ProcessPoolExecutor(2, mp_context=spawn) as processes,
        ):
            client = thread.submit(Client(store, made.request_id).follow, over.is_set)
            calls = [
                processes.submit(report_from_a_process, url, made.request_id, seed)
                for seed in (1, 2)
            ]
            counted = [call.result() for call in calls]
            over.set()
            seen = client.result()
        assert sum(counted) == 60
        assert seen == store.results(made.request_id)
        self.assert_counted(store, made.request_id)

    def test_a_result_cannot_be_stamped_before_one_that_is_not_stored_yet(self, store, engine):
        made = store.submit(of_files("a", "b"))
        a, b = store.pending_files(made.request_id)
        with ThreadPoolExecutor(1) as pool:
            with writing(engine) as connection:
                assert report_row(connection, made.request_id, good(a))
                other = pool.submit(store.report, made.request_id, good(b))
                time.sleep(0.3)  # would be enough for it, if it did not wait
                assert not other.done()
                assert store.results(made.request_id) == []
                before = datetime.now(UTC)
            assert other.result(timeout=10)
        first, second = store.results(made.request_id)
        assert (first.result.file_id, second.result.file_id) == (a.id, b.id)
        assert first.created < before < second.created

    def test_what_a_status_counts_is_in_the_results_of_the_same_moment(self, store, engine):
        made = store.submit(of_files(*map(str, range(40))))
        files = store.pending_files(made.request_id)
        rows = select(func.count()).where(RESULTS.c.request_id == made.request_id)
        query = select(TRANSFORMS.c.completed, rows.scalar_subquery()).where(
            TRANSFORMS.c.request_id == made.request_id
        )
        seen = set()
        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(store.report, made.request_id, good(file)) for file in files]
            while True:
                over = all(call.done() for call in calls)
                with reading(engine) as connection:
                    counted, stored = connection.execute(query).one()
                assert counted == stored
                seen.add(counted)
                if over:
                    break
        assert 40 in seen

    def test_of_two_who_submit_a_dataset_at_once_one_makes_it(self, store, engine):
        for number in range(self.rounds):
            did = f"rucio://scope:name{number}"
            made = at_once(*[lambda did=did: store.submit(of_dataset(did))] * THREADS)
            assert len({item.did_id for item in made}) == 1
        with reading(engine) as connection:
            count = connection.execute(select(func.count()).select_from(DATASETS)).scalar_one()
        assert count == self.rounds

    def test_a_list_submitted_several_times_at_once_has_its_files_once(self, store):
        for number in range(self.rounds):
            paths = [f"{number}/{item}" for item in range(20)]
            made = at_once(*[lambda paths=paths: store.submit(of_files(*paths))] * THREADS)
            assert {item.state.files for item in made} == {20}
            assert len({item.did_id for item in made}) == 1
            assert len(store.dataset_files(made[0].did_id)) == 20

    def test_one_of_many_begins_a_lookup(self, store):
        for number in range(self.rounds):
            made = store.submit(of_dataset(f"rucio://scope:name{number}"))
            told = at_once(*[lambda made=made: store.begin_lookup(made.did_id)] * THREADS)
            assert told.count(True) == 1

    def test_a_transform_submitted_as_its_lookup_ends_does_not_wait_for_ever(self, store):
        for number in range(self.rounds):
            did = f"rucio://scope:name{number}"
            first = store.submit(of_dataset(did))
            store.begin_lookup(first.did_id)

            def look(first=first):
                store.add_files(first.did_id, [DatasetFile(0, (f"{first.did}a",))])
                store.add_files(first.did_id, [DatasetFile(0, (f"{first.did}b",))])
                store.end_lookup(first.did_id)
                return first

            def submit(did=did):
                return store.submit(of_dataset(did))

            for made in at_once(look, *[submit] * THREADS):
                now = store.transform(made.request_id)
                assert (now.state.looked_up, now.state.files) == (True, 2), number
                assert now.state.status is Status.RUNNING
                assert len(store.pending_files(made.request_id)) == 2

    def test_a_transform_submitted_as_its_lookup_fails_ends_or_looks_again(self, store):
        for number in range(self.rounds):
            did = f"rucio://scope:name{number}"
            first = store.submit(of_dataset(did))
            store.begin_lookup(first.did_id)

            def fail(first=first):
                store.end_lookup(first.did_id, "does_not_exist", "no such dataset")
                return first

            def submit(did=did):
                return store.submit(of_dataset(did))

            for made in at_once(fail, *[submit] * THREADS):
                now = store.transform(made.request_id)
                fresh = store.dataset(now.did_id)
                if now.did_id == first.did_id:
                    assert now.state.status is Status.BAD_DATASET
                else:
                    assert (now.state.status, fresh.is_stale) == (Status.SUBMITTED, False)

    def test_a_transform_canceled_while_files_report_counts_what_it_took(self, store):
        for _ in range(self.rounds):
            made = store.submit(of_files(*map(str, range(30))))
            files = store.pending_files(made.request_id)

            def report(part, made=made):
                return [store.report(made.request_id, good(file)) for file in part]

            def cancel(made=made):
                time.sleep(0.01)
                return [store.apply(made.request_id, CancelAsked()).status is Status.CANCELED]

            parts = [lambda part=files[start::4]: report(part) for start in range(4)]
            *told, canceled = at_once(*parts, cancel)
            taken = sum(part.count(True) for part in told)
            assert canceled == [True]
            assert store.transform(made.request_id).state.completed == taken < len(files)
            self.assert_counted(store, made.request_id)

    def test_a_transform_archived_while_files_report_leaves_no_results(self, store):
        for _ in range(self.rounds):
            made = store.submit(of_files(*map(str, range(30))))
            files = store.pending_files(made.request_id)

            def report(part, made=made):
                return [store.report(made.request_id, bad(file)) for file in part]

            def remove(made=made):
                time.sleep(0.01)
                store.apply(made.request_id, CancelAsked())
                store.archive(made.request_id)

            parts = [lambda part=files[start::4]: report(part) for start in range(4)]
            at_once(*parts, remove)
            assert store.transform(made.request_id) is None
            assert store.results(made.request_id) == []

    def test_reports_of_several_transforms_in_any_order_do_not_block_each_other(self, store):
        made = [store.submit(of_files(*map(str, range(6)), title=str(n))) for n in range(4)]
        files = store.pending_files(made[0].request_id)
        pairs = [(item.request_id, good(file)) for item in made for file in files]

        def report(seed):
            mixed = list(pairs)
            random.Random(seed).shuffle(mixed)  # noqa: S311  an order, no secret
            return store.report_all(mixed)

        told = at_once(*(lambda seed=seed: report(seed) for seed in range(THREADS)))
        assert sum(part.count(True) for part in told) == len(pairs)
        for item in made:
            assert store.transform(item.request_id).state.status is Status.COMPLETE
            self.assert_counted(store, item.request_id)

    def test_an_answer_that_was_just_given_does_not_age_out(self, store):
        for number in range(self.rounds):
            key = f"key{number}"
            made = store.submit(of_files("a", content_key=key))
            store.report(made.request_id, good(*store.pending_files(made.request_id)))
            moment = datetime.now(UTC)

            def give(key=key):
                return store.same_answer(key, None)

            def age_out(made=made, moment=moment):
                return store.archive_unused(made.request_id, moment)

            given, gone = at_once(give, age_out)
            assert (given is None) == gone
            assert (store.transform(made.request_id) is None) == gone


class TestSqlite(RaceContract):
    @pytest.fixture
    def engine(self, tmp_path):
        with sqlite_database(tmp_path) as engine:
            yield engine

    def test_readers_do_not_wait_for_a_writer(self, store, engine):
        made = store.submit(of_files("a"))
        with writing(engine) as connection:
            connection.execute(text("update transforms set title = 'other'"))
            assert store.transform(made.request_id) == made
