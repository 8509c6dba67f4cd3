"""``sxdask serve --cluster gateway``: files are worked on by workers of a real dask-gateway server.

Service, workers and clients meet in the object store alone; workers have its keys in a
file of their own, whose profile the settings name.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest
import uproot

from tests.services.dask_gateway_server import running_gateway
from tests.services.official_client import served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.dask_gateway_server import GatewayServer
    from tests.services.seaweedfs import S3Server

DELIVER = """
async def main():
    raw = UPROOT_RAW([{"treename": "Events", "filter_name": ["MET_pt"], "cut": "MET_pt > 30"}])
    sample = Sample(Name="all", Dataset=dataset.FileList(VALUES["files"]), Query=raw)
    tell(await get([sample], VALUES["home"] + "/cache"))

asyncio.run(main())
"""


@pytest.fixture
def gateway(tmp_path: Path, s3_server: S3Server) -> Iterator[GatewayServer]:
    """Return a server whose workers may write to the store."""
    keys = tmp_path / "credentials"
    keys.write_text(
        f"[results]\naws_access_key_id = {s3_server.key}\n"
        f"aws_secret_access_key = {s3_server.secret}\n"
    )
    folder = tmp_path / "gateway"
    folder.mkdir()
    with running_gateway(folder, AWS_SHARED_CREDENTIALS_FILE=str(keys)) as server:
        yield server


def test_the_official_client_is_served_by_workers_of_a_gateway(
    gateway, s3_server, official_client, nanoaod_files, tmp_path
):
    environ = {
        **gateway.user("alice"),
        "SXDASK_SERVICE_S3_ENDPOINT": s3_server.endpoint,
        "SXDASK_SERVICE_S3_ACCESS_KEY": s3_server.key,
        "SXDASK_SERVICE_S3_SECRET_KEY": s3_server.secret,
        "SXDASK_SERVICE_S3_READER_KEY": s3_server.reader_key,
        "SXDASK_SERVICE_S3_READER_SECRET": s3_server.reader_secret,
        "SXDASK_SERVICE_S3_WORKER_PROFILE": "results",
    }
    files = [str(path) for path in nanoaod_files]
    options = ("--port", "0", "--cluster", "gateway", "--workers", "1")
    where = ("--root", str(nanoaod_files[0].parent))
    with served(tmp_path / "data", *options, *where, environ=environ) as running:
        official_client.configure(running.client_file)
        found = official_client.run(DELIVER, files=files, home=str(official_client.home))["all"]
        assert gateway.processes()  # the scheduler and the worker
        assert running.end(signal.SIGTERM) == 0

    assert len(found) == len(files)
    met = met_in(files)
    assert np.array_equal(np.sort(met_in(found)), np.sort(met[met > 30]))


def met_in(paths):
    return np.concatenate(
        [uproot.open(path)["Events"]["MET_pt"].array(library="np") for path in paths]
    )
