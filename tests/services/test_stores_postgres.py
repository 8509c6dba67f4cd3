"""The database of the service on PostgreSQL: the tests of SQLite, on a real server."""

from __future__ import annotations

import pytest

from tests.contracts.test_migrations import MigrationContract
from tests.contracts.test_store_races import RaceContract
from tests.contracts.test_stores import StoreContract


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
