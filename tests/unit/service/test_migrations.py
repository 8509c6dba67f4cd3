"""Migrations lead to the tables of the code, and back to nothing."""

from __future__ import annotations

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from sxdask.core.errors import RequestError, SystemFaultError
from sxdask.service.database.connect import open_database, reading
from sxdask.service.database.migrate import downgrade, pending, upgrade
from sxdask.service.database.tables import METADATA


@pytest.fixture
def engine(tmp_path):
    made = open_database(f"sqlite:///{tmp_path / 'service.db'}")
    yield made
    made.dispose()


def test_upgrading_makes_the_tables_of_the_code(engine):
    assert pending(engine) == ["0001", "0002"]
    upgrade(engine)
    upgrade(engine)
    assert pending(engine) == []
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []


def test_going_back_leaves_nothing(engine):
    upgrade(engine)
    downgrade(engine, "base")
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    upgrade(engine)
    assert "transforms" in inspect(engine).get_table_names()


def test_a_database_of_a_newer_release_is_refused(engine):
    upgrade(engine)
    with engine.begin() as connection:
        connection.execute(text("update alembic_version set version_num = '9999'"))
    with pytest.raises(SystemFaultError, match="not of a release"):
        upgrade(engine)


@pytest.mark.parametrize("url", ["nonsense", "mongodb://host/name"])
def test_what_is_no_database_is_refused(url):
    with pytest.raises(RequestError, match="cannot be opened"):
        open_database(url)


def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'nowhere' / 'service.db'}")
    with pytest.raises(SystemFaultError, match="does not answer") as caught, reading(engine):
        pass
    assert "nowhere" in caught.value.context["database"]
