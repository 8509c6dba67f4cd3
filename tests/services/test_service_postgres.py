"""``sxdask serve`` on PostgreSQL, which crashes while clients wait."""

from __future__ import annotations

import json
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from sxdask.testing import write_nanoaod_files
from tests.services.load import Delivery, Load
from tests.services.official_client import served
from tests.services.postgres import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine

    from tests.services.postgres import PostgresServer

REQUESTS = 6
FILES = 5


def wanted(number: int, files: list[Path]) -> Delivery:
    """Return a request unlike the others."""
    query = {"treename": "Events", "filter_name": ["MET_pt"], "cut": f"MET_pt > {number}"}
    body = {
        "title": str(number),
        "file-list": [str(path) for path in files],
        "selection": json.dumps([query]),
        "codegen": "uproot-raw",
        "result-destination": "object-store",
        "result-format": "root-file",
    }
    return Delivery("anybody", body)


def test_a_crash_of_the_database_costs_clients_nothing_but_time(
    postgres: Engine, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    files = write_nanoaod_files(tmp_path / "files", 200 * FILES, FILES)
    secret = tmp_path / "database-url"
    secret.write_text(postgres.url.render_as_string(hide_password=False))
    secret.chmod(0o600)
    environ = {"SXDASK_SERVICE_DATABASE_URL_FILE": str(secret)}
    arguments = ("--port", "0", "--workers", "2", "--root", str(files[0].parent))
    deliveries = [wanted(number, files) for number in range(REQUESTS)]
    with served(tmp_path / "data", *arguments, environ=environ) as service:
        load = Load(service.url, {"anybody": ""}, poll_seconds=0.3, give_up_seconds=400)
        with ThreadPoolExecutor(1) as pool:
            clients = pool.submit(load.run, [deliveries[:3], deliveries[3:]])
            while not any(item.objects for item in deliveries) and not clients.done():
                time.sleep(0.05)
            postgres_server.stop(signal.SIGQUIT)
            time.sleep(2)
            postgres_server.start()
            clients.result()
        assert not (service.data / "service.db").exists()
        assert service.end() == 0
        log = service.errors.read_text()
    for item in deliveries:
        assert item.status == "Complete"
        assert len(item.objects) == len(set(item.objects)) == FILES
    # Clients ask again after a 503, and after nothing else.
    assert [text for text in load.failures if "503" not in text] == []
    assert load.failures
    assert "the database does not answer" in log
    assert PASSWORD not in log
