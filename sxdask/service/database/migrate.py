"""Bring a database to the tables of this release, or back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError

from sxdask.core.errors import SystemFaultError

if TYPE_CHECKING:
    from sqlalchemy import Engine


def upgrade(engine: Engine, revision: str = "head") -> None:
    """Make what is missing; a database that is up to date stays as it is.

    Raises
    ------
    SystemFaultError
        If the database is of a newer release.
    """
    with engine.begin() as connection:
        try:
            command.upgrade(_config(connection), revision)
        except CommandError as error:
            raise SystemFaultError(
                f"the database is not of a release that is known here: {error}",
                hint="upgrade sxdask, or use another database",
            ) from error


def downgrade(engine: Engine, revision: str) -> None:
    """Go back to the tables of `revision`; ``base`` removes all."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), revision)


def pending(engine: Engine) -> list[str]:
    """Return the revisions that `upgrade` would apply, in order."""
    with engine.connect() as connection:
        now = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config(None))
    found = [item.revision for item in scripts.walk_revisions("base", "head")]
    return list(reversed(found[: found.index(now)] if now in found else found))


def _config(connection: object) -> Config:
    config = Config()
    folder = Path(__file__).parent / "migrations"
    config.set_main_option("script_location", str(folder).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
