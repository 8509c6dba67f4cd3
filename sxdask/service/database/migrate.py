"""Bring a database to the tables of this release, or back."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from sxdask.core.errors import SystemFaultError
from sxdask.service.database.connect import readable_errors, reading, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

_LOCK: Final = 0x73786461  # any number that is the same in every service: "sxda"


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Make what is missing; a database that is up to date stays as it is.

    Of several services that start at once one does it, and the others wait.

    Raises
    ------
    SystemFaultError
        If the database is of a newer release, or does not answer.
    """
    with _changing(engine) as connection:
        _revisions_behind(engine, connection)
        command.upgrade(_config(connection), revision)


def downgrade(engine: Engine, revision: str) -> None:
    """Go back to the tables of `revision`; ``base`` removes all.

    Raises
    ------
    SystemFaultError
        If the database is of a newer release, or does not answer.
    """
    with _changing(engine) as connection:
        _revisions_behind(engine, connection)
        command.downgrade(_config(connection), revision)


def pending(engine: Engine) -> list[str]:
    """Return the revisions that `upgrade` would apply, in order.

    Raises
    ------
    SystemFaultError
        If the database is of a newer release, or does not answer.
    """
    with reading(engine) as connection:
        return _revisions_behind(engine, connection)


def _revisions_behind(engine: Engine, connection: Connection) -> list[str]:
    now = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config(None))
    known = [item.revision for item in scripts.walk_revisions("base", "head")]
    if now is not None and now not in known:
        raise SystemFaultError(
            f"the database is not of a release that is known here: its tables are of revision"
            f" {now!r}, this release knows those up to {known[0]!r}",
            hint="upgrade sxdask, or use another database",
            database=shown(engine),
        )
    return list(reversed(known if now is None else known[: known.index(now)]))


@contextmanager
def _changing(engine: Engine) -> Iterator[Connection]:
    """Give the connection of a transaction that changes tables, alone."""
    with readable_errors(engine), engine.connect() as plain:
        if engine.dialect.name == "sqlite":
            with _without_foreign_keys(plain) as connection, connection.begin():
                yield connection
                _require_whole(connection)
        else:
            with plain.begin():
                plain.execute(text("SET LOCAL statement_timeout = 0"))
                plain.execute(text("SET LOCAL lock_timeout = 0"))
                plain.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
                yield plain


@contextmanager
def _without_foreign_keys(connection: Connection) -> Iterator[Connection]:
    """Let SQLite put a new table in the place of one that others refer to.

    Dropping the old one counts as deleting its rows, and with them what refers to
    them. The switch works between transactions only.
    """
    driver = connection.connection.driver_connection
    assert driver is not None  # noqa: S101  the connection is open
    driver.execute("PRAGMA foreign_keys=OFF")
    try:
        yield connection.execution_options(sqlite_begin="IMMEDIATE")
    finally:
        driver.execute("PRAGMA foreign_keys=ON")


def _require_whole(connection: Connection) -> None:
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        tables = sorted({row[0] for row in broken})
        raise SystemFaultError(
            f"rows of {', '.join(tables)} refer to what is not there: nothing was changed",
            hint="restore the database from a copy",
        )


def _config(connection: object) -> Config:
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
