"""What every database of the service does, on SQLite here and on PostgreSQL in `tests/services`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from sqlalchemy.exc import IntegrityError

from sxdask.core.errors import RequestError
from sxdask.service.database.store import SqlStore
from sxdask.service.transforms.ports import DatasetFile, Statistics
from sxdask.service.transforms.states import CancelAsked, Status
from tests.databases import bad, good, of_dataset, of_files, sqlite_database


class StoreContract:
    """A subclass gives `engine`, a database with the service's tables."""

    @pytest.fixture
    def store(self, engine):
        return SqlStore(engine)

    def test_a_list_of_files_runs_at_once_and_a_file_named_twice_is_one(self, store):
        made = store.submit(of_files("a.root", "b.root", "a.root"))
        assert made.state.status is Status.RUNNING
        assert [file.paths for file in store.pending_files(made.request_id)] == [
            ("a.root",),
            ("b.root",),
        ]
        again = store.submit(of_files("a.root", "b.root", "a.root"))
        assert (again.did_id, again.request_id != made.request_id) == (made.did_id, True)
        assert store.unfinished() == [made, again]

    def test_the_first_report_of_a_file_counts_and_stamps_grow(self, store):
        made = store.submit(of_files(*"abcd"))
        files = store.pending_files(made.request_id)
        assert store.report(made.request_id, good(files[0], bytes=10))
        assert not store.report(made.request_id, good(files[0], bytes=99))
        assert not store.report(made.request_id, bad(files[0]))
        for file in files[1:]:
            assert store.report(made.request_id, good(file))
        found = store.results(made.request_id)
        stamps = [item.created for item in found]
        assert stamps == sorted(set(stamps))
        assert found[0].result.bytes == 10
        assert store.results(made.request_id, stamps[1]) == found[2:]
        assert store.results(made.request_id, datetime.min.replace(tzinfo=UTC)) == found
        ended = store.transform(made.request_id)
        assert ended.state.status is Status.COMPLETE
        assert ended.finished - ended.submitted < timedelta(seconds=30)

    def test_a_dataset_is_looked_for_once_for_all_who_wait(self, store):
        first = store.submit(of_dataset())
        assert first.state.status is Status.SUBMITTED
        assert store.begin_lookup(first.did_id)
        second = store.submit(of_dataset())
        assert not store.begin_lookup(second.did_id)
        assert second.state.status is Status.PENDING_LOOKUP
        store.add_files(
            first.did_id, [DatasetFile(0, ("x", "y"), "ad", 5, 7), DatasetFile(0, ("z",))]
        )
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

    def test_a_failed_lookup_ends_who_waits_and_is_not_remembered(self, store):
        first = store.submit(of_dataset())
        store.begin_lookup(first.did_id)
        store.end_lookup(first.did_id, "does_not_exist", "no such dataset")
        now = store.transform(first.request_id)
        assert (now.state.status, now.state.reason) == (Status.BAD_DATASET, "no such dataset")
        assert store.dataset(first.did_id).lookup_status == "does_not_exist"
        assert store.submit(of_dataset()).did_id != first.did_id

    def test_an_empty_dataset_is_complete(self, store):
        made = store.submit(of_dataset())
        store.begin_lookup(made.did_id)
        store.end_lookup(made.did_id)
        assert store.transform(made.request_id).state.status is Status.COMPLETE

    def test_failed_files_run_again_and_stamps_go_on(self, store):
        made = store.submit(of_files("a", "b"))
        a, b = store.pending_files(made.request_id)
        store.report(made.request_id, good(a))
        store.report(made.request_id, bad(b))
        before = store.results(made.request_id)[-1].created
        assert store.resubmit_failed(made.request_id) == 1
        assert store.pending_files(made.request_id) == [b]
        store.report(made.request_id, good(b))
        assert store.results(made.request_id)[-1].created > before
        assert store.transform(made.request_id).state.completed == 2

    def test_what_is_canceled_takes_no_results_and_what_is_archived_is_gone(self, store):
        made = store.submit(of_files("a"))
        (file,) = store.pending_files(made.request_id)
        store.apply(made.request_id, CancelAsked())
        assert not store.report(made.request_id, good(file))
        store.archive(made.request_id)
        assert store.transform(made.request_id) is None
        assert store.transforms() == []
        with pytest.raises(RequestError, match="no transform"):
            store.apply(made.request_id, CancelAsked())

    def test_the_same_answer_is_found_for_the_same_user(self, store):
        made = store.submit(of_files("a"))
        assert store.same_answer("key", None) is None
        store.report(made.request_id, good(*store.pending_files(made.request_id)))
        assert store.same_answer("key", None).request_id == made.request_id
        assert store.same_answer("key", 7) is None
        assert store.same_answer("other", None) is None

    def test_a_lookup_that_was_cut_off_is_begun_anew(self, store):
        made = store.submit(of_dataset())
        store.begin_lookup(made.did_id)
        assert store.renew_lookups() == [made.did_id]
        assert store.begin_lookup(made.did_id)

    def test_a_stale_dataset_is_looked_for_again(self, store):
        made = store.submit(of_files("a"))
        assert store.make_stale(made.did_id)
        assert not store.make_stale(made.did_id)
        assert store.submit(of_files("a")).did_id != made.did_id
        assert [item.id for item in store.datasets()] != [made.did_id]
        assert len(store.datasets("user", with_stale=True)) == 2

    def test_what_was_canceled_in_the_lookup_is_told_of_it_when_it_is_tried_again(self, store):
        made, lost = store.submit(of_dataset()), store.submit(of_dataset())
        store.begin_lookup(made.did_id)
        store.add_files(made.did_id, [DatasetFile(0, ("a",))])
        for item in (made, lost):
            store.report(item.request_id, bad(*store.pending_files(item.request_id)))
            store.apply(item.request_id, CancelAsked())
        store.add_files(made.did_id, [DatasetFile(0, ("b",))])
        assert store.resubmit_failed(lost.request_id) == 1
        store.end_lookup(made.did_id)
        assert store.resubmit_failed(made.request_id) == 1
        for item in (made, lost):
            now = store.transform(item.request_id).state
            assert (now.status, now.files, now.looked_up) == (Status.RUNNING, 2, True)
            for file in store.pending_files(item.request_id):
                store.report(item.request_id, good(file))
            assert store.transform(item.request_id).state.status is Status.COMPLETE

    def test_only_what_has_ended_is_archived(self, store):
        made = store.submit(of_files("a"))
        with pytest.raises(RequestError, match="still Running") as caught:
            store.archive(made.request_id)
        assert caught.value.hint == "cancel it first"
        assert store.transform(made.request_id) == made

    def test_a_report_for_what_is_gone_changes_nothing(self, store):
        made = store.submit(of_files("a", "b"))
        a, b = store.pending_files(made.request_id)
        assert store.report(made.request_id, good(a))
        store.apply(made.request_id, CancelAsked())
        store.archive(made.request_id)
        assert not store.report(made.request_id, good(b))
        assert not store.report("no such id", good(b))
        assert store.results(made.request_id) == []
        assert store.pending_files(made.request_id) == []

    def test_results_of_several_transforms_in_one_go_are_as_one_after_the_other(self, store):
        one, two = store.submit(of_files("a", "b")), store.submit(of_files("c"))
        a, b = store.pending_files(one.request_id)
        (c,) = store.pending_files(two.request_id)
        told = [(two, good(c)), (one, good(a)), (one, bad(b)), (one, good(a)), (two, bad(c))]
        assert store.report_all((made.request_id, result) for made, result in told) == [
            *(True, True, True),
            *(False, False),
        ]
        assert store.transform(two.request_id).state.status is Status.COMPLETE
        state = store.transform(one.request_id).state
        assert (state.status, state.completed, state.failed) == (Status.COMPLETE, 1, 1)
        assert [item.result for item in store.results(one.request_id)] == [good(a), bad(b)]

    def test_a_clock_that_goes_back_does_not_turn_stamps_back(self, store, monkeypatch):
        class Clock(datetime):
            now_is = datetime(2026, 1, 1, tzinfo=UTC)

            @classmethod
            def now(cls, tz=None):
                cls.now_is -= timedelta(seconds=5)
                return cls.now_is.astimezone(tz)

        made = store.submit(of_files(*"abcd"))
        monkeypatch.setattr("sxdask.service.database.store.datetime", Clock)
        for file in store.pending_files(made.request_id):
            store.report(made.request_id, good(file))
        stamps = [item.created for item in store.results(made.request_id)]
        steps = [later - earlier for earlier, later in pairwise(stamps)]
        assert steps == [timedelta(microseconds=1)] * 3

    def test_any_time_may_be_asked_for(self, store):
        made = store.submit(of_files("a"))
        store.report(made.request_id, good(*store.pending_files(made.request_id)))
        east, west = timezone(timedelta(hours=14)), timezone(timedelta(hours=-12))
        assert len(store.results(made.request_id, datetime.min.replace(tzinfo=east))) == 1
        assert store.results(made.request_id, datetime.max.replace(tzinfo=west)) == []

    def test_pages_of_the_list_follow_each_other(self, store):
        made = [store.submit(of_files("a")) for _ in range(5)]
        first = store.transforms(most=2)
        assert first == [made[4], made[3]]
        assert store.transforms(most=9, before=first[-1].number) == [made[2], made[1], made[0]]
        assert store.transforms(submitted_by=1, most=2) == []

    def test_sums_are_of_the_good_results(self, store):
        made = store.submit(of_files(*"abc"))
        assert store.statistics(made.request_id) is None
        a, b, c = store.pending_files(made.request_id)
        store.report(made.request_id, good(a, rows=10, bytes=100, seconds=2.0))
        store.report(made.request_id, good(b, rows=1, bytes=3, seconds=0.5))
        store.report(made.request_id, bad(c, rows=7, bytes=7, seconds=9.0))
        assert store.statistics(made.request_id) == Statistics(2, 0.5, 2.0, 2.5, 11, 103)

    def test_an_answer_from_a_dataset_that_is_stale_is_not_given_again(self, store):
        made = store.submit(of_files("a"))
        store.report(made.request_id, good(*store.pending_files(made.request_id)))
        assert store.same_answer("key", None).request_id == made.request_id
        store.make_stale(made.did_id)
        assert store.same_answer("key", None) is None

    def test_files_come_in_the_order_of_the_lookup_without_doubles(self, store):
        made = store.submit(of_dataset())
        store.begin_lookup(made.did_id)
        paths = [f"f{number}" for number in range(1200)]
        for start in (0, 500, 400, 1100):
            part = paths[start : start + 700]
            store.add_files(made.did_id, [DatasetFile(0, (path,)) for path in part * 2])
        files = store.pending_files(made.request_id)
        expected = paths[:700] + paths[700:1200]
        assert [file.paths[0] for file in files] == expected
        assert store.transform(made.request_id).state.files == 1200
        assert store.dataset(made.did_id).num_files == 1200

    def test_lists_that_look_alike_are_two(self, store):
        one = store.submit(of_files("a b"))
        two = store.submit(of_files("a", "b"))
        assert one.did_id != two.did_id
        assert [file.paths[0] for file in store.pending_files(one.request_id)] == ["a b"]

    @pytest.mark.parametrize("text", ["nul \x00 byte", "half \ud800 a pair", "\U0001f600 é %s"])
    def test_any_text_is_stored(self, store, text):
        made = store.submit(of_files(text, title=text, selection=text, tree_name=text))
        (file,) = store.pending_files(made.request_id)
        told = replace(bad(file), message=text, traceback=text, file_path=text)
        assert store.report(made.request_id, told)
        readable = text.replace("\x00", "\ufffd").replace("\ud800", "\ufffd")
        assert store.transform(made.request_id).new.title == readable
        assert store.results(made.request_id)[0].result.traceback == readable
        named = store.submit(of_dataset(f"rucio://{text}"))
        assert store.submit(of_dataset(f"rucio://{text}")).did_id == named.did_id

    def test_what_does_not_fit_is_refused_readably(self, store):
        with pytest.raises(RequestError, match="2001 bytes, the limit is 2000"):
            store.submit(of_files("a", "x" * 2001))
        with pytest.raises(RequestError, match="the name of the dataset has"):
            store.submit(of_dataset("rucio://" + "é" * 1000))
        store.submit(of_files("x" * 2000))
        assert [item.did for item in store.transforms()] == [store.datasets()[0].name]
        for number in (2**31, 2**63, 2**200):
            with pytest.raises(RequestError):
                store.make_stale(number)

    def test_a_file_that_is_not_there_has_no_result(self, store):
        made = store.submit(of_files("a"))
        with pytest.raises(IntegrityError):
            store.report(made.request_id, good(DatasetFile(99, ("z",))))
        assert store.transform(made.request_id) == made


class TestSqlite(StoreContract):
    @pytest.fixture
    def engine(self, tmp_path):
        with sqlite_database(tmp_path) as engine:
            yield engine
