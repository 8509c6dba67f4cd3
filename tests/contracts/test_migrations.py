"""Migrations lead to the tables of the code, and back, with the rows that there are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect, text

from sxdask.core.errors import MissingExtraError, RequestError, SystemFaultError
from sxdask.service.database.connect import open_database, reading, shown, writing
from sxdask.service.database.migrate import downgrade, pending, upgrade
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import METADATA
from sxdask.service.database.users import Users
from tests.databases import bad, good, of_dataset, of_files

_TABLES = ("users", "datasets", "files", "transforms", "results", "events")


def fill(engine):
    """Store something in every table."""
    store = SqlStore(engine)
    owner = Users(engine).add("somebody").id
    made = store.submit(of_files("a", "b", submitted_by=owner))
    one, two = store.pending_files(made.request_id)
    store.report(made.request_id, good(one, bytes=10))
    store.report(made.request_id, bad(two))
    store.begin_lookup(store.submit(of_dataset()).did_id)


def rows(engine, but=()):
    """Return all rows of each table, without some columns."""
    found = {}
    with reading(engine) as connection:
        for name in _TABLES:
            query = text(f"select * from {name} order by 1")  # noqa: S608  names of ours
            table = connection.execute(query).mappings().all()
            found[name] = [
                {key: str(value) for key, value in row.items() if key not in but} for row in table
            ]
    return found


class MigrationContract:
    """A subclass gives `engine`, a database with nothing in it."""

    def test_upgrading_makes_the_tables_of_the_code(self, engine):
        assert pending(engine) == ["0001", "0002"]
        upgrade(engine)
        upgrade(engine)
        assert pending(engine) == []
        with engine.connect() as connection:
            options = {"compare_type": True, "compare_server_default": True}
            context = MigrationContext.configure(connection, opts=options)
            assert compare_metadata(context, METADATA) == []

    def test_partial_indexes_are_the_same_too(self, engine):
        """What the comparison above does not look at."""
        upgrade(engine)
        migrated = self.indexes(engine)
        downgrade(engine, "base")
        METADATA.create_all(engine)
        assert self.indexes(engine) == migrated
        METADATA.drop_all(engine)

    def indexes(self, engine):
        found = inspect(engine)
        return {
            (table, item["name"]): (
                item["column_names"],
                item["unique"],
                {
                    key: str(value)
                    for key, value in item.get("dialect_options", {}).items()
                    if key.endswith("_where")
                },
            )
            for table in _TABLES
            for item in found.get_indexes(table)
        }

    def test_going_back_leaves_nothing(self, engine):
        upgrade(engine)
        fill(engine)
        downgrade(engine, "base")
        assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
        upgrade(engine)
        assert "transforms" in inspect(engine).get_table_names()

    def test_each_step_down_and_up_keeps_every_row(self, engine):
        upgrade(engine)
        fill(engine)
        before = rows(engine, but={"used"})
        assert all(before.values())
        downgrade(engine, "0001")
        assert pending(engine) == ["0002"]
        older = rows(engine)
        assert {name: len(table) for name, table in older.items()} == {
            name: len(table) for name, table in before.items()
        }
        upgrade(engine)
        assert rows(engine, but={"used"}) == before
        made = SqlStore(engine).transforms()
        assert [item.state.status.value for item in made] == ["Lookup", "Complete"]
        assert made[1].new.submitted_by is not None

    def test_rows_hang_together_after_it(self, engine):
        upgrade(engine)
        fill(engine)
        downgrade(engine, "0001")
        upgrade(engine)
        with writing(engine) as connection:
            connection.execute(text("delete from transforms where did_id = 1"))
        left = rows(engine)
        assert (len(left["results"]), len(left["files"]), len(left["transforms"])) == (0, 2, 1)

    def test_services_that_start_at_once_upgrade_once(self, engine):
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda _: upgrade(engine), range(4)))
        assert pending(engine) == []

    def test_a_database_of_a_newer_release_is_refused(self, engine):
        upgrade(engine)
        fill(engine)
        before = rows(engine)
        with engine.begin() as connection:
            connection.execute(text("update alembic_version set version_num = '9999'"))
        for attempt in (upgrade, pending, lambda engine: downgrade(engine, "base")):
            with pytest.raises(SystemFaultError, match="not of a release") as caught:
                attempt(engine)
            assert "of revision '9999', this release knows those up to '0002'" in str(caught.value)
            assert caught.value.hint == "upgrade sxdask, or use another database"
        assert rows(engine) == before

    def test_without_tables_the_operator_is_told_what_to_do(self, engine):
        with pytest.raises(SystemFaultError, match="transforms") as caught:
            SqlStore(engine).transforms()
        assert caught.value.hint == "start the service, which makes its tables"

    def test_the_number_of_a_user_who_was_removed_is_not_given_again(self, engine):
        upgrade(engine)
        users = Users(engine)
        first = users.add("first").id
        users.remove(first)
        assert users.add("second").id > first


class TestSqlite(MigrationContract):
    @pytest.fixture
    def engine(self, tmp_path):
        made = open_database(f"sqlite:///{tmp_path / 'service.db'}")
        yield made
        made.dispose()

    def test_a_migration_that_would_lose_what_rows_refer_to_is_undone(self, engine):
        upgrade(engine)
        fill(engine)
        with engine.connect() as connection:
            driver = connection.connection.driver_connection
            driver.execute("PRAGMA foreign_keys=OFF")
            driver.execute("DELETE FROM datasets")
            driver.execute("PRAGMA foreign_keys=ON")
        before = rows(engine)
        with pytest.raises(SystemFaultError, match=r"rows of files, transforms refer to"):
            downgrade(engine, "0001")
        assert (pending(engine), rows(engine)) == ([], before)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nonsense", "it is no URL"),
        ("mongodb://host/name", "mongodb is not supported"),
        ("mysql+pymysql://host/name", "mysql is not supported"),
        ("sqlite://", "it names no file"),
        ("sqlite:///:memory:", "it names no file"),
        ("postgresql://user:hidden@host:port/name", "it is no URL"),
    ],
)
def test_what_is_no_database_is_refused(url, said):
    with pytest.raises(RequestError, match="cannot be opened") as caught:
        open_database(url)
    assert said in caught.value.problem
    assert "hidden" not in repr(caught.value)


def test_a_url_is_shown_without_its_password_and_may_set_what_it_likes(tmp_path):
    url = "postgresql://me:hidden@host:5432/name?password=hidden&connect_timeout=1"
    engine = open_database(url)
    assert shown(engine) == "postgresql+psycopg://me:***@host:5432/name"
    _, options = engine.dialect.create_connect_args(engine.url)
    assert options["connect_timeout"] == "1"
    engine = open_database(f"postgresql://me@/name?host={tmp_path}&connect_timeout=1")
    with pytest.raises(SystemFaultError, match="does not answer") as caught:
        SqlStore(engine).transforms()
    assert caught.value.context["database"] == "postgresql+psycopg://me@/name"


def test_a_driver_that_is_missing_is_named(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtraError) as caught:
        open_database("postgresql://host/name")
    assert caught.value.hint == "pip install 'sxdask[postgres]'"


def test_a_database_that_cannot_be_reached_is_named_without_its_password(tmp_path):
    engine = open_database(f"sqlite:///{tmp_path / 'nowhere' / 'service.db'}")
    with pytest.raises(SystemFaultError, match="does not answer") as caught, reading(engine):
        pass
    assert "nowhere" in caught.value.context["database"]
    assert caught.value.hint == "see whether its folder is there and may be written"
