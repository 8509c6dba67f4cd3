"""What ages out goes with its objects; what runs or was just used stays."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from sxdask.core.errors import DeliveryError, RequestError
from sxdask.service.database.connect import open_database, reading
from sxdask.service.database.migrate import upgrade
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import EVENTS, FILES, RESULTS, TRANSFORMS
from sxdask.service.from_settings import lifetimes_of
from sxdask.service.objects.volume import VolumeObjects
from sxdask.service.settings import load_service_settings
from sxdask.service.transforms.housekeeping import Housekeeping, Lifetimes
from sxdask.service.transforms.states import CancelAsked, Status
from tests.databases import good, of_dataset, of_files, sqlite_database

DAY = timedelta(days=1)


@pytest.fixture
def store(tmp_path):
    with sqlite_database(tmp_path) as engine:
        yield SqlStore(engine)


@pytest.fixture
def objects(tmp_path):
    return VolumeObjects(tmp_path / "results")


@pytest.fixture
def tidy(store, objects):
    """Return a function that tidies up as if some time had passed."""

    def call(after=timedelta(), also=lambda _: None, **lifetimes):
        return Housekeeping(
            store=store,
            objects={"object-store": objects},
            lifetimes=Lifetimes(**lifetimes),
            also=also,
            now=lambda: datetime.now(UTC) + after,
        ).tidy()

    return call


def complete(store, objects, *paths, size=10, **changes):
    """Submit a transform that completes, with an object of `size` bytes for each file."""
    made = store.submit(of_files(*paths, **changes))
    objects.create(made.request_id)
    for file in store.pending_files(made.request_id):
        (Path(objects.target(made.request_id)) / f"{file.paths[0]}.parquet").write_bytes(
            b"x" * size
        )
        store.report(made.request_id, good(file, bytes=size))
    return made.request_id


def count(store, table):
    with reading(store.engine) as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def test_results_go_after_their_time_with_their_objects_and_then_are_forgotten(
    store, objects, tidy
):
    made = complete(store, objects, "a", "b")
    assert not tidy(29 * DAY)
    done = tidy(31 * DAY)
    assert (done.transforms, done.buckets) == (1, 1)
    assert store.transform(made) is None
    assert store.same_answer("key", None) is None
    assert not Path(objects.target(made)).exists()
    assert count(store, RESULTS) == 0
    assert count(store, TRANSFORMS) == 0  # the clock is days on, beyond the grace


def test_what_runs_stays_however_old(store, objects, tidy):
    made = store.submit(of_files("a", "b"))
    objects.create(made.request_id)
    waiting = store.submit(of_dataset())
    first, _ = store.pending_files(made.request_id)
    store.report(made.request_id, good(first, bytes=1_000))
    done = tidy(1000 * DAY, most_bytes=0)
    assert (done.transforms, done.buckets) == (0, 0)
    assert store.transform(made.request_id).state.completed == 1
    assert store.transform(waiting.request_id) == waiting
    assert Path(objects.target(made.request_id)).exists()


def test_an_answer_that_is_given_again_begins_a_new_life(store, objects, tidy, monkeypatch):
    made = complete(store, objects, "a")

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + 20 * DAY

    monkeypatch.setattr("sxdask.service.database.store.datetime", Later)
    assert store.same_answer("key", None).request_id == made
    monkeypatch.undo()
    assert not tidy(45 * DAY, lookups=None).transforms
    assert tidy(51 * DAY).transforms == 1


def test_of_too_many_bytes_the_longest_unused_go(store, objects, tidy):
    old, used, new = (
        complete(store, objects, name, size=100, content_key=name) for name in ("a", "b", "c")
    )
    store.same_answer("a", None)  # `used` is the longest unused now
    assert not tidy(most_bytes=250), "all were used within the hour"
    assert tidy(2 * timedelta(hours=1), most_bytes=300).transforms == 0
    assert tidy(2 * timedelta(hours=1), most_bytes=250).transforms == 1
    assert store.transform(used) is None
    assert {item.request_id for item in store.transforms()} == {old, new}
    assert tidy(2 * timedelta(hours=1), most_bytes=0).transforms == 2


def test_objects_that_cannot_be_removed_are_tried_again_and_not_forgotten(
    store, objects, tidy, monkeypatch
):
    one, two = complete(store, objects, "a"), complete(store, objects, "b")
    remove = objects.remove

    def failing(request_id):
        if request_id == one:
            raise DeliveryError("the storage does not answer")
        remove(request_id)

    monkeypatch.setattr(objects, "remove", failing)
    done = tidy(31 * DAY)
    assert list(done.failures) == [one]
    assert "does not answer" in done.failures[one]
    assert (done.transforms, done.buckets, done.forgotten) == (2, 1, 1)
    assert Path(objects.target(one)).exists()
    monkeypatch.undo()
    done = tidy(31 * DAY)
    assert (done.buckets, done.forgotten) == (1, 1)
    assert not Path(objects.target(one)).exists()
    assert not Path(objects.target(two)).exists()


def test_objects_of_a_transform_that_was_deleted_go_until_no_worker_can_write_them(
    store, objects, tidy
):
    made = complete(store, objects, "a")
    store.archive(made)
    forgotten: list[str] = []
    done = tidy(also=forgotten.append)
    assert (done.buckets, done.forgotten, forgotten) == (1, 0, [made])
    objects.create(made)  # a worker that was slow
    (Path(objects.target(made)) / "late.parquet").write_bytes(b"x")
    done = tidy(timedelta(minutes=61))
    assert (done.buckets, done.forgotten) == (1, 1)
    assert not Path(objects.target(made)).exists()
    assert not tidy(timedelta(minutes=62))


def test_what_is_not_of_this_service_is_not_touched(store, objects, tidy):
    complete(store, objects, "a")
    other = objects.root / "11111111-2222-3333-4444-555555555555"
    other.mkdir()
    assert tidy(31 * DAY).transforms == 1
    assert other.exists()


def test_lookups_are_good_for_a_time_and_lists_for_ever(store, tidy):
    found = store.submit(of_dataset())
    store.begin_lookup(found.did_id)
    store.end_lookup(found.did_id)
    looking = store.submit(of_dataset("rucio://scope:other"))
    store.begin_lookup(looking.did_id)
    listed = store.submit(of_files("a"))
    assert not tidy(timedelta(hours=23)).stale
    assert tidy(timedelta(hours=25)).stale == 1
    assert store.dataset(found.did_id).is_stale
    assert not store.dataset(looking.did_id).is_stale
    assert not store.dataset(listed.did_id).is_stale
    assert not tidy(timedelta(hours=25), lookups=None).stale
    assert store.submit(of_dataset()).did_id != found.did_id


def test_a_dataset_goes_when_no_transform_is_of_it(store, objects, tidy):
    made = complete(store, objects, "a", "b")
    kept = store.submit(of_files("c"))
    done = tidy(91 * DAY, results=None)
    assert (done.transforms, done.datasets) == (0, 0)
    done = tidy(91 * DAY)
    assert (done.transforms, done.forgotten, done.datasets) == (1, 1, 1)
    assert store.transform(made) is None
    assert [item.id for item in store.datasets()] == [kept.did_id]
    assert count(store, FILES) == 1
    again = store.submit(of_files("a", "b"))
    assert len(store.pending_files(again.request_id)) == 2


def test_logs_are_trimmed_when_a_transform_has_ended(store, tidy):
    ended, running = store.submit(of_files("a")), store.submit(of_dataset())
    store.begin_lookup(running.did_id)
    store.apply(ended.request_id, CancelAsked())
    assert not tidy(29 * DAY, results=None, lookups=None)
    assert tidy(31 * DAY, results=None, lookups=None).events == 1
    assert count(store, EVENTS) == 1
    assert store.transform(ended.request_id).state.status is Status.CANCELED


@pytest.mark.parametrize(
    ("lifetimes", "said"),
    [
        ({"results": timedelta(minutes=5)}, "less than the least"),
        ({"most_bytes": -1}, "at least 0"),
    ],
)
def test_lifetimes_that_would_hurt_clients_are_refused(lifetimes, said):
    with pytest.raises(RequestError, match=said):
        Lifetimes(**lifetimes)


def test_the_operator_says_how_long(tmp_path):
    settings = load_service_settings(data_dir=tmp_path, keep_days=0.01, keep_bytes="2 GiB")
    found = lifetimes_of(settings)
    assert (found.results, found.least) == (0.01 * DAY, 0.01 * DAY)
    assert (found.most_bytes, found.lookups) == (2 * 1024**3, DAY)
    assert lifetimes_of(load_service_settings(data_dir=tmp_path)).most_bytes is None


def test_it_tidies_in_the_background_until_it_is_stopped(store, objects):
    made = complete(store, objects, "a")
    gone = threading.Event()
    keeping = Housekeeping(
        store=store,
        objects={"object-store": objects},
        also=lambda _: gone.set(),
        every_seconds=3600,
        now=lambda: datetime.now(UTC) + 31 * DAY,
    )
    keeping.start()
    assert gone.wait(20)
    begun = time.monotonic()
    keeping.stop()
    assert time.monotonic() - begun < 10
    assert store.transform(made) is None
    assert not [item for item in threading.enumerate() if item.name == "sxdask-housekeeping"]


def test_it_outlives_a_database_that_is_gone_for_a_while(store, objects, monkeypatch):
    complete(store, objects, "a")
    asked = []
    unused = store.unused

    def flaky(*args):
        asked.append(args)
        if len(asked) == 1:
            raise DeliveryError("gone")
        if len(asked) == 2:
            raise ZeroDivisionError
        return unused(*args)

    monkeypatch.setattr(store, "unused", flaky)
    keeping = Housekeeping(
        store=store,
        objects={"object-store": objects},
        every_seconds=0.05,
        now=lambda: datetime.now(UTC) + 31 * DAY,
    )
    keeping.start()
    end = time.monotonic() + 20
    while store.transforms() and time.monotonic() < end:
        time.sleep(0.05)
    keeping.stop()
    assert store.transforms() == []


def test_the_file_of_the_database_shrinks(tmp_path):
    path = tmp_path / "own.db"
    engine = open_database(f"sqlite:///{path}")
    upgrade(engine)
    store = SqlStore(engine)
    for number in range(4):
        made = store.submit(of_files(str(number), selection="x" * 500_000))
        store.apply(made.request_id, CancelAsked())
    store.compact()
    full = path.stat().st_size
    Housekeeping(
        store=store,
        objects={"object-store": VolumeObjects(tmp_path)},
        now=lambda: datetime.now(UTC) + 31 * DAY,
    ).tidy()
    assert path.stat().st_size < full / 2
    engine.dispose()
