"""Open a database: SQLite in a file, or PostgreSQL."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
)
from sqlalchemy.exc import TimeoutError as NoConnectionError

from sxdask.core.errors import MissingExtraError, RequestError, SxdaskError, SystemFaultError
from sxdask.service.database.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS: Final = 30
"""How long a transaction waits for other programs before it fails."""
TURN_SECONDS: Final = 240
"""How long a thread waits for its turn: ServiceX's client waits 300 s for a submission."""
# A service answers forty requests at a time; the engine and housekeeping come on top.
_POOL: Final = {"pool_size": 20, "max_overflow": 40, "pool_timeout": WAIT_SECONDS}

# With FULL a commit is on the disk when it returns: what a client was told is true after a power
# cut too. busy_timeout is for other processes; threads of this one wait in line (`writing`).
_SQLITE: Final = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    f"busy_timeout={WAIT_SECONDS * 1000}",
    "journal_size_limit=67108864",
)
# A server that is gone without a word is noticed within half a minute.
_POSTGRES: Final = {
    "connect_timeout": 10,
    "keepalives_idle": 15,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": WAIT_SECONDS * 1000,
    "application_name": "sxdask",
}
_POSTGRES_SESSION: Final = (
    "timezone = 'UTC'",
    f"lock_timeout = {WAIT_SECONDS * 1000}",
    f"statement_timeout = {4 * WAIT_SECONDS * 1000}",
    f"idle_in_transaction_session_timeout = {4 * WAIT_SECONDS * 1000}",
)

# What drivers say, and what an operator can do about it.
_HINTS: Final = (
    (r"disk is full|No space left|DiskFull|could not extend", "make room where it lies"),
    (r"locked|lock timeout|deadlock", "end the other program that uses it, or try again"),
    (r"readonly|read-only", "let the service's user write the file and its folder"),
    (r"unable to open", "see whether its folder is there and may be written"),
    (r"not a database|malformed|corrupt", "restore it from a copy"),
    (r"no such table|no such column|does not exist", "start the service, which makes its tables"),
    (r"password|authentication|no pg_hba|role", "check user and password (PGPASSFILE)"),
    (r"QueuePool limit", "see what holds its connections"),
)


def open_database(url: str) -> Engine:
    """Return an engine for `url`, such as ``sqlite:///service.db`` or ``postgresql://host/name``.

    SQLite gets a write-ahead log, so that readers never wait for the writer;
    both kinds enforce foreign keys. Nothing is connected yet.

    Raises
    ------
    RequestError
        If the URL is none, or of a database that is not supported.
    MissingExtraError
        If the driver of PostgreSQL is not installed.
    """
    found = _checked(url)
    options: dict[str, Any] = dict(_POOL)
    if found.get_backend_name() == "sqlite":
        options["execution_options"] = {"turn": Turn()}
    else:
        own = {name: value for name, value in _POSTGRES.items() if name not in found.query}
        options |= {"pool_pre_ping": True, "pool_recycle": 1800, "connect_args": own}
    try:
        engine = create_engine(found, **options)
    except ImportError as error:
        raise MissingExtraError(
            f"{found.get_backend_name()} needs a package that is not installed: {error}",
            hint="pip install 'sxdask[postgres]'",
        ) from error
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    else:
        event.listen(engine, "connect", _prepare_postgres)
    return engine


def _checked(url: str) -> URL:
    try:
        found = make_url(url)
    except (ArgumentError, ValueError):  # what is no URL may have a password anywhere
        raise _refused("it is no URL") from None
    kind = found.get_backend_name()
    if kind in {"postgresql", "postgres"}:
        return found.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise _refused(f"{kind} is not supported")
    if found.database in {None, "", ":memory:"}:
        raise _refused("it names no file")  # each thread would have a database of its own
    return found


def _refused(why: str) -> RequestError:
    return RequestError(
        f"the database cannot be opened: {why}",
        hint="use sqlite:////PATH/service.db or postgresql://USER@HOST/NAME",
    )


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """Give a connection to ask; each question sees one state of the database.

    Raises
    ------
    SystemFaultError
        If the database does not answer.
    """
    # No transaction around each question: every call of a driver gives up Python's lock, which
    # in a busy service costs more than the question.
    plain = (
        {"sqlite_begin": ""}
        if engine.dialect.name == "sqlite"
        else {"isolation_level": "AUTOCOMMIT"}
    )
    with readable_errors(engine), engine.connect().execution_options(**plain) as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """Give the connection of one transaction, committed at the end, undone by any error.

    Raises
    ------
    SystemFaultError
        If the database does not answer. Was it lost in the commit, then nobody
        knows whether that was done; every method of the store may be repeated.
    """
    options = {"sqlite_begin": "IMMEDIATE"}
    with (
        readable_errors(engine),
        _turn(engine),
        engine.execution_options(**options).begin() as connection,
    ):
        yield connection


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """Wait for the turn of this thread: SQLite itself would look again now and then."""
    turn = engine.get_execution_options().get("turn")
    if turn is None:
        yield
        return
    if not turn.acquire(TURN_SECONDS):
        raise SystemFaultError(
            f"the database is busy: other threads wrote for {TURN_SECONDS} s",
            hint="see whether its disk answers",
            database=shown(engine),
        )
    try:
        yield
    finally:
        turn.release()


@contextmanager
def readable_errors(engine: Engine) -> Iterator[None]:
    """Turn what drivers raise into our errors; a broken rule (`IntegrityError`) stays."""
    try:
        yield
    except IntegrityError:
        raise
    except (DataError, OverflowError, UnicodeEncodeError) as error:
        raise RequestError(
            f"a value does not fit the database: {_first_line(error)}", hint="make it smaller"
        ) from error
    except (DatabaseError, InterfaceError, NoConnectionError) as error:
        raise _fault(engine, error) from error


def shown(engine: Engine) -> str:
    """Return the URL of a database without its password, wherever that stands."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


def _fault(engine: Engine, error: Exception) -> SxdaskError:
    text = _first_line(error)
    kind = type(getattr(error, "orig", error)).__name__
    hint = next(
        (hint for pattern, hint in _HINTS if re.search(pattern, f"{kind} {text}", re.IGNORECASE)),
        "see whether it runs and can be reached",
    )
    return SystemFaultError(
        f"the database does not answer: {text}", hint=hint, database=shown(engine)
    )


def _first_line(error: Exception) -> str:
    return str(getattr(error, "orig", error)).strip().partition("\n")[0]


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # transactions begin where _begin_sqlite says
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={WAIT_SECONDS * 1000}")
    if not cursor.execute("PRAGMA page_count").fetchone()[0]:
        # Before there is anything in the file; later it would do nothing but wait for writers.
        cursor.execute("PRAGMA auto_vacuum=INCREMENTAL")
    for pragma in _SQLITE:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _prepare_postgres(connection: Any, _: Any) -> None:
    before, connection.autocommit = connection.autocommit, True
    with connection.cursor() as cursor:
        cursor.execute("".join(f"SET SESSION {item};" for item in _POSTGRES_SESSION))
    connection.autocommit = before


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once: one that reads first might find it changed after.
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    if kind:
        connection.exec_driver_sql(f"BEGIN {kind}")
