"""What is asked often is answered from indexes: work grows with the answer, not with the database.

The databases are asked how they would do it, so that no clock is involved.
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import event, text

from sxdask.service.database.store import SqlStore
from sxdask.service.transforms.ports import DatasetFile
from sxdask.service.transforms.states import CancelAsked
from tests.databases import good, of_dataset, of_files, sqlite_database
from tests.full_database import SHARED_BY, USERS, Full, fill

# 10 000 transforms of 100 files were measured once: docs/performance.md, "The service".
TRANSFORMS = int(os.environ.get("SXDASK_DATABASE_TRANSFORMS", "2000"))
FILES = int(os.environ.get("SXDASK_DATABASE_FILES", "10"))
FULL = Full(TRANSFORMS, FILES)
LATER = datetime(2023, 11, 14, tzinfo=UTC)
OLD = datetime(2023, 1, 1, tzinfo=UTC)


def _report(store):
    file = store.pending_files(FULL.running)[0]
    return lambda: store.report(FULL.running, good(file))


def _look(store):
    made = store.submit(of_dataset("rucio://scope:another"))
    store.begin_lookup(made.did_id)

    def found():
        store.add_files(made.did_id, [DatasetFile(0, ("x",))])
        store.end_lookup(made.did_id)

    return found


def _archive(store):
    made = store.submit(of_files("y"))
    store.apply(made.request_id, CancelAsked())
    return lambda: store.archive(made.request_id)


# What is prepared, and the most rows that the database may look at for it.
CASES = {
    "status": (lambda store: lambda: store.transform(FULL.complete), 2),
    "all results": (lambda store: lambda: store.results(FULL.complete), 2 * FILES),
    "later results": (lambda store: lambda: store.results(FULL.complete, LATER), 2 * FILES),
    "failed results": (lambda store: lambda: store.results(FULL.complete, ok=False), 2 * FILES),
    "sums": (lambda store: lambda: store.statistics(FULL.complete), 3 * FILES),
    "files to do": (lambda store: lambda: store.pending_files(FULL.running), 6 * FILES + 10),
    "files": (lambda store: lambda: store.dataset_files(1), 3 * FILES),
    "same answer": (lambda store: lambda: store.same_answer("key 777", 778 % USERS), 20),
    "newest": (lambda store: lambda: store.transforms(most=50), 110),
    "newest of a user": (lambda store: lambda: store.transforms(3, most=50), 110),
    "next of a user": (lambda store: lambda: store.transforms(3, most=50, before=900), 110),
    "dataset": (lambda store: lambda: store.dataset(3), 2),
    "submission": (lambda store: lambda: store.submit(of_dataset("rucio://scope:7")), 20),
    "new list": (lambda store: lambda: store.submit(of_files("new", "list")), 30),
    "report": (_report, 20),
    "lookup": (_look, 40),
    "deletion": (_archive, 20),
    "old results": (lambda store: lambda: store.unused(OLD), 4),
    "forgetting": (lambda store: lambda: store.forget(FULL.complete, OLD), 4),
    "old log": (lambda store: lambda: store.trim_events(OLD), 4),
}
# Running ones are few; how many a database looks at is theirs.
UNFINISHED = 3 * TRANSFORMS // 50 + 20


class QueryContract:
    """A subclass gives `engine` with the tables filled by `fill`, for the class."""

    @pytest.fixture
    def store(self, engine):
        return SqlStore(engine)

    @pytest.fixture
    def asked(self, engine):
        """Return the questions and changes that the database is told, with their values."""
        found = []

        def note(connection, cursor, statement, parameters, context, executemany):
            if re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE)", statement):
                found.append((statement, parameters[0] if executemany else parameters))

        event.listen(engine, "before_cursor_execute", note)
        yield found
        event.remove(engine, "before_cursor_execute", note)

    def check(self, engine, statement, values, most):
        """Fail if the database looks at more than `most` rows for a statement."""
        raise NotImplementedError

    @pytest.mark.parametrize("name", CASES)
    def test_work_grows_with_the_answer(self, engine, store, asked, name):
        prepare, most = CASES[name]
        call = prepare(store)
        asked.clear()
        call()
        assert asked
        for statement, values in list(asked):
            self.check(engine, statement, values, most)

    def test_what_is_left_to_do_is_found_without_what_is_done(self, engine, store, asked):
        assert len(store.unfinished()) >= TRANSFORMS // 50
        for statement, values in list(asked):
            self.check(engine, statement, values, UNFINISHED)

    def test_the_answers_are_right(self, store):
        made = store.transform(FULL.complete)
        assert (made.state.completed, len(store.results(FULL.complete))) == (FILES, FILES)
        rows = store.results(FULL.complete)
        assert store.results(FULL.complete, rows[-2].created) == rows[-1:]
        running = store.transform(FULL.request_id(50))
        pending = store.pending_files(running.request_id)
        assert [file.id for file in pending] == [
            file.id for file in store.dataset_files(running.did_id)
        ][-2:]
        assert len(store.transforms(3, most=50)) == min(TRANSFORMS // USERS, 50)
        assert store.same_answer("key 777", 778 % USERS).number == 777

    def test_a_lookup_does_not_look_at_transforms_that_are_done(self, engine, store, asked):
        """Many are of one dataset; only those that wait for its files are told."""
        store.add_files(2, [DatasetFile(0, ("late",))])
        for statement, values in list(asked):
            self.check(engine, statement, values, SHARED_BY)


@pytest.fixture(scope="module")
def full_sqlite(tmp_path_factory):
    with sqlite_database(tmp_path_factory.mktemp("full")) as engine:
        fill(engine, FULL)
        yield engine


class TestSqlite(QueryContract):
    @pytest.fixture
    def engine(self, full_sqlite):
        return full_sqlite

    def check(self, engine, statement, values, most):  # noqa: ARG002  it does not tell rows
        """Every table is searched by an index, but for the first of a sorted list."""
        with engine.connect() as connection:
            plan = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)
            lines = [row.detail for row in plan]
        in_order = "ORDER BY transforms.number DESC" in statement and "LIMIT" in statement
        for line in lines:
            is_list = in_order and line == "SCAN transforms"
            assert line.startswith(("SEARCH", "LIST", "SCALAR", "CORRELATED", "CO-ROUTINE")) or (
                is_list or line.startswith("USE TEMP B-TREE")
            ), (lines, statement)
            if in_order:
                assert "TEMP B-TREE" not in line, (lines, statement)

    def test_the_check_sees_what_has_no_index(self, engine):
        with pytest.raises(AssertionError, match="SCAN results"):
            self.check(engine, "SELECT * FROM results WHERE code = ?", ("x",), 10)


def rows_looked_at(node):
    """Return how many rows a node of a plan of PostgreSQL and those below it went through."""
    removed = sum(value for key, value in node.items() if key.startswith("Rows Removed by"))
    own = (node["Actual Rows"] + removed) * node["Actual Loops"]
    return own + sum(rows_looked_at(item) for item in node.get("Plans", ()))


class PostgresQueryContract(QueryContract):
    """PostgreSQL says how many rows it went through when it did it."""

    def check(self, engine, statement, values, most):
        with engine.connect() as connection:
            # A small table is read whole, as the database should; a large one is meant.
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
            found = connection.exec_driver_sql(
                f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", self._again(statement, values)
            ).scalar_one()
            plan = found if isinstance(found, list) else json.loads(found)
            connection.rollback()
        looked_at = rows_looked_at(plan[0]["Plan"])
        assert looked_at <= most, (looked_at, most, statement, json.dumps(plan, indent=1))

    def _again(self, statement, values):
        """Return values that do not break a rule when the statement is run once more."""
        unique = {"request_id", "created", "file_id"}
        if statement.lstrip().startswith("INSERT INTO results"):
            return {**values, "created": values["created"].replace(year=2099), "file_id": 1}
        if statement.lstrip().startswith("INSERT INTO files"):
            return {**values, "path": "again"}
        if statement.lstrip().startswith("INSERT INTO transforms"):
            return {key: "again" if key in unique else value for key, value in values.items()}
        return values

    def test_the_check_sees_what_has_no_index(self, engine):
        with pytest.raises(AssertionError, match="Seq Scan"):
            self.check(engine, "SELECT * FROM results WHERE code = %(code)s", {"code": "x"}, 10)


def test_the_database_is_as_large_as_it_says(tmp_path):
    with sqlite_database(tmp_path) as engine:
        fill(engine, replace(FULL, transforms=100, files=3))
        with engine.connect() as connection:
            counts = {
                name: connection.execute(text(f"SELECT COUNT(*) FROM {name}")).scalar()  # noqa: S608  names of ours
                for name in ("transforms", "files", "results")
            }
        assert counts == {"transforms": 100, "files": 30, "results": 300 - 2 * 2}
