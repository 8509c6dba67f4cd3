"""The database of the service on PostgreSQL: the tests of SQLite, on a real server."""

from __future__ import annotations

import pytest

from tests.contracts.test_migrations import MigrationContract
from tests.contracts.test_store_model import ModelContract
from tests.contracts.test_store_queries import FULL, PostgresQueryContract
from tests.contracts.test_store_races import RaceContract
from tests.contracts.test_stores import StoreContract
from tests.full_database import fill
from tests.services.postgres import postgres_database


class TestStore(StoreContract):
    @pytest.fixture
    def engine(self, postgres):
        return postgres


class TestMigrations(MigrationContract):
    @pytest.fixture
    def engine(self, empty_postgres):
        return empty_postgres


class TestRaces(RaceContract):
    @pytest.fixture
    def engine(self, postgres):
        return postgres


@pytest.fixture(scope="module")
def full_postgres(postgres_server):
    with postgres_database(postgres_server) as engine:
        fill(engine, FULL)
        yield engine


class TestQueries(PostgresQueryContract):
    @pytest.fixture
    def engine(self, full_postgres):
        return full_postgres


class TestModel(ModelContract):
    most_examples = 6

    @pytest.fixture
    def engine(self, postgres):
        return postgres
