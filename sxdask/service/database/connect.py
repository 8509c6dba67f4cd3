"""Open a database: SQLite in a file, or PostgreSQL."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, OperationalError

from sxdask.core.errors import RequestError, SystemFaultError

if TYPE_CHECKING:
    from collections.abc import Iterator

_BUSY_MS = 30_000


def open_database(url: str) -> Engine:
    """Return an engine for `url`, such as ``sqlite:///service.db``.

    SQLite gets a write-ahead log, so that readers never wait for the writer;
    both kinds enforce foreign keys.

    Raises
    ------
    RequestError
        If the URL is none, or of a database that is not supported.
    """
    try:
        engine = create_engine(url, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError, ImportError) as error:
        raise RequestError(
            f"the database cannot be opened: {str(error).partition(chr(10))[0]}",
            hint="use sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return engine


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection that sees one state of the database."""
    with _reachable(engine), engine.connect() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give the connection of one transaction, committed at the end, undone by any error."""
    options = {"sqlite_begin": "IMMEDIATE"}
    with _reachable(engine), engine.execution_options(**options).begin() as connection:
        yield connection


@contextmanager
def _reachable(engine: Engine) -> Iterator[None]:
    try:
        yield
    except OperationalError as error:
        raise SystemFaultError(
            f"the database does not answer: {str(error.orig).strip().partition(chr(10))[0]}",
            hint="see whether it runs and is not full",
            database=engine.url.render_as_string(hide_password=True),
        ) from error


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", f"busy_timeout={_BUSY_MS}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: one that reads first might find it changed after.
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")
