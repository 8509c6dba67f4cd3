"""SQLite as the service's database: killed, full, locked by others, asked by many."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from sqlalchemy import event

from sxdask.core.errors import SystemFaultError
from sxdask.service.database.connect import open_database, reading, writing
from sxdask.service.database.store import SqlStore
from sxdask.service.database.turn import Turn
from sxdask.service.transforms.states import Status
from tests.databases import good, of_files, sqlite_database

# `make test` kills a few; the long campaign is described in docs/reliability.md.
KILLS = int(os.environ.get("SXDASK_DATABASE_KILLS", "2"))

REPORTER = """
import sys
from sxdask.service.database.connect import open_database
from sxdask.service.database.store import SqlStore
from tests.databases import good

store = SqlStore(open_database(sys.argv[1]))
(made,) = store.transforms()
for file in store.pending_files(made.request_id):
    store.report(made.request_id, good(file))
    print(file.id, flush=True)
"""


@pytest.fixture
def engine(tmp_path):
    with sqlite_database(tmp_path) as engine:
        yield engine


def state_of(store, made):
    """Return the state of a transform now."""
    found = store.transform(made.request_id)
    assert found is not None
    return found.state


def with_pragma(engine, text):
    """Give every new connection of `engine` a setting, and drop those that there are."""
    event.listen(engine, "connect", lambda connection, _: connection.execute(f"PRAGMA {text}"))
    engine.dispose()


def test_the_file_is_safe_against_a_crash_and_open_to_readers(engine):
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}
    with reading(engine) as connection:
        found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in wanted}
    assert found == wanted


def test_what_was_acknowledged_before_a_kill_is_there_and_counted(engine, tmp_path):
    store = SqlStore(engine)
    made = store.submit(of_files(*map(str, range(40 * KILLS))))
    acknowledged: set[int] = set()
    for number in range(KILLS):
        process = subprocess.Popen(
            [sys.executable, "-c", REPORTER, f"sqlite:///{tmp_path / 'service.db'}"],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        for _ in range(5 + number % 20):
            acknowledged.add(int(process.stdout.readline()))
        process.send_signal(signal.SIGKILL)
        process.wait()
        acknowledged.update(map(int, process.stdout.read().split()))
        process.stdout.close()
        stored = {item.result.file_id for item in store.results(made.request_id)}
        assert acknowledged <= stored
        assert len(stored - acknowledged) <= number + 1  # stored, and killed before it said so
        assert state_of(store, made).completed == len(stored)
    with reading(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar() == "ok"
    for file in store.pending_files(made.request_id):
        assert store.report(made.request_id, good(file))
    assert state_of(store, made).status is Status.COMPLETE


def test_a_full_disk_is_said_and_undoes_what_does_not_fit(engine):
    store = SqlStore(engine)
    made = store.submit(of_files("a"))
    with reading(engine) as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
    with_pragma(engine, f"max_page_count={pages + 1}")  # what SQLite itself takes for a full disk
    with pytest.raises(SystemFaultError, match="is full") as caught:
        store.submit(of_files("b", selection="x" * 100_000))
    assert caught.value.hint == "make room where it lies"
    assert store.transforms() == [made]
    with_pragma(engine, "max_page_count=100000")
    assert store.submit(of_files("b", selection="x" * 100_000)).new.selection == "x" * 100_000


def test_a_file_that_another_program_holds_is_said(engine, tmp_path):
    store = SqlStore(engine)
    made = store.submit(of_files("a"))
    with_pragma(engine, "busy_timeout=100")
    other = sqlite3.connect(tmp_path / "service.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(SystemFaultError, match="database is locked") as caught:
        store.submit(of_files("b"))
    assert caught.value.hint == "end the other program that uses it, or try again"
    assert store.transforms() == [made]  # readers go on
    other.execute("ROLLBACK")
    other.close()
    assert store.submit(of_files("b")).number == 2


def test_a_writer_that_hangs_is_said_by_the_others(engine, monkeypatch):
    monkeypatch.setattr("sxdask.service.database.connect.TURN_SECONDS", 0.1)
    with writing(engine), ThreadPoolExecutor(1) as pool:
        call = pool.submit(SqlStore(engine).submit, of_files("a"))
        with pytest.raises(SystemFaultError, match=r"other threads wrote for 0.1 s"):
            call.result()


def test_writers_get_their_turn_in_the_order_of_asking():
    turn = Turn()
    order: list[int] = []
    assert turn.acquire(1)
    assert not turn.acquire(0.01)  # who gave up is not waited for

    def write(number):
        assert turn.acquire(30)
        order.append(number)
        turn.release()

    with ThreadPoolExecutor(20) as pool:
        for number in range(20):
            pool.submit(write, number)
            while len(turn._waiting) <= number:
                time.sleep(0.001)
        turn.release()
    assert order == list(range(20))
    assert turn.acquire(0)


def test_what_is_no_database_file_is_said(tmp_path):
    (tmp_path / "service.db").write_text("something else, and longer than a header would be\n" * 9)
    engine = open_database(f"sqlite:///{tmp_path / 'service.db'}")
    with pytest.raises(SystemFaultError, match="not a database") as caught:
        SqlStore(engine).transforms()
    assert caught.value.hint == "restore it from a copy"


def test_many_read_at_once_while_one_writes(engine):
    store = SqlStore(engine)
    made = store.submit(of_files(*map(str, range(20))))
    line = Barrier(51)

    def read():
        line.wait()
        return [state_of(store, made).files for _ in range(5)]

    with ThreadPoolExecutor(50) as pool:
        calls = [pool.submit(read) for _ in range(50)]
        line.wait()
        for file in store.pending_files(made.request_id):
            assert store.report(made.request_id, good(file))
        assert {count for call in calls for count in call.result()} == {20}


def test_a_pool_that_is_used_up_is_said(engine):
    engine.pool._timeout = 0.1
    held = [engine.connect() for _ in range(60)]
    with pytest.raises(SystemFaultError, match="QueuePool") as caught:
        SqlStore(engine).transforms()
    assert caught.value.hint == "see what holds its connections"
    for connection in held:
        connection.close()
    assert SqlStore(engine).transforms() == []
