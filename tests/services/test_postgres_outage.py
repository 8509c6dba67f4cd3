"""PostgreSQL goes away and comes back: operations fail readably, and work again."""

from __future__ import annotations

import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from sxdask.core.errors import SystemFaultError
from sxdask.service.database.connect import open_database, reading, writing
from sxdask.service.database.store import SqlStore, report_row
from sxdask.service.transforms.states import Status
from tests.databases import good, of_files
from tests.services.postgres import PASSWORD

CRASH = signal.SIGQUIT
STOP = signal.SIGINT


@pytest.fixture
def store(postgres):
    return SqlStore(postgres)


@pytest.fixture
def server(postgres_server):
    yield postgres_server
    if postgres_server.process is None:
        postgres_server.start()


def patient(call, *args):
    """Call again until the database answers, as the engine of the service does."""
    end = time.monotonic() + 60
    while True:
        try:
            return call(*args)
        except SystemFaultError:
            assert time.monotonic() < end
            time.sleep(0.05)


@pytest.mark.parametrize("how", [STOP, CRASH])
def test_an_outage_is_said_and_over_when_the_server_is_back(store, server, how):
    made = store.submit(of_files("a"))
    (file,) = store.pending_files(made.request_id)
    server.stop(how)
    for call in (
        lambda: store.transform(made.request_id),
        lambda: store.report(made.request_id, good(file)),
        lambda: store.submit(of_files("b")),
    ):
        with pytest.raises(SystemFaultError, match="the database does not answer") as caught:
            call()
        assert "\n" not in caught.value.problem
        assert PASSWORD not in f"{caught.value!r} {caught.value.context}"
        assert str(server.port) in caught.value.context["database"]
        assert caught.value.hint == "see whether it runs and can be reached"
    server.start()
    assert store.transform(made.request_id) == made
    assert store.report(made.request_id, good(file))


def test_what_was_not_committed_when_the_server_crashed_is_not_there(store, postgres, server):
    made = store.submit(of_files("a"))
    (file,) = store.pending_files(made.request_id)

    def report():
        with writing(postgres) as connection:
            assert report_row(connection, made.request_id, good(file))
            server.stop(CRASH)

    with pytest.raises(SystemFaultError):
        report()
    server.start()
    assert store.results(made.request_id) == []
    assert store.pending_files(made.request_id) == [file]
    assert store.report(made.request_id, good(file))


def test_reports_of_threads_outlast_a_restart(store, server):
    made = store.submit(of_files(*map(str, range(200))))
    files = store.pending_files(made.request_id)

    def report(file):
        return patient(store.report, made.request_id, good(file))

    with ThreadPoolExecutor(8) as pool:
        calls = [pool.submit(report, file) for file in files]
        while sum(call.done() for call in calls) < 20:
            time.sleep(0.01)
        server.stop(CRASH)
        server.start()
        for call in calls:
            call.result()
    rows = store.results(made.request_id)
    assert sorted(item.result.file_id for item in rows) == sorted(file.id for file in files)
    assert len({item.created for item in rows}) == 200
    state = store.transform(made.request_id).state
    assert (state.status, state.completed) == (Status.COMPLETE, 200)


def test_a_wrong_password_is_said_without_it(server):
    url = server.url().replace(PASSWORD, "another-secret")
    engine = open_database(url)
    with pytest.raises(SystemFaultError, match="password authentication failed") as caught:
        SqlStore(engine).transforms()
    assert caught.value.hint == "check user and password (PGPASSFILE)"
    assert "another-secret" not in f"{caught.value!r} {caught.value.context}"


def test_a_lock_that_is_never_released_is_said(store, postgres):
    made = store.submit(of_files("a"))
    (file,) = store.pending_files(made.request_id)

    def report_soon():
        with writing(postgres) as connection:
            connection.exec_driver_sql("SET LOCAL lock_timeout = 100")
            report_row(connection, made.request_id, good(file))

    with writing(postgres) as holder:
        report_row(holder, made.request_id, good(file))
        with pytest.raises(SystemFaultError, match="lock timeout") as caught:
            report_soon()
    assert caught.value.hint == "end the other program that uses it, or try again"
    assert store.transform(made.request_id).state.status is Status.COMPLETE


def test_sessions_have_bounds_on_what_they_wait_for(postgres):
    with reading(postgres) as connection:
        names = ("lock_timeout", "statement_timeout", "timezone")
        found = [connection.exec_driver_sql(f"SHOW {name}").scalar() for name in names]
    assert found == ["30s", "2min", "UTC"]
