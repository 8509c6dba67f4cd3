"""Servers that run for a session of tests, each on a free port of the loopback interface."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.services.broker import broker, own_broker
from tests.services.dask_gateway_server import alice, gateway_server
from tests.services.official_client import official_client, servicex_python
from tests.services.postgres import empty_postgres, postgres, postgres_server
from tests.services.rucioserver import rucio_server
from tests.services.seaweedfs import bucket, s3_environment, s3_server
from tests.services.xrootd import xrootd_server

__all__ = [
    "alice",
    "broker",
    "bucket",
    "empty_postgres",
    "gateway_server",
    "official_client",
    "own_broker",
    "postgres",
    "postgres_server",
    "rucio_server",
    "s3_environment",
    "s3_server",
    "servicex_python",
    "xrootd_server",
]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything in this folder: it is not part of the default suite."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.services)
