"""Fifty clients and hundreds of requests: none lost, each file once, nobody behind the queue.

CI runs a small one. The full one, whose figures are in docs/performance.md:
``SXDASK_LOAD_CLIENTS=50 SXDASK_LOAD_REQUESTS=500 SXDASK_LOAD_POLL=5 SXDASK_LOAD_P95_MS=100``.
"""

from __future__ import annotations

import json
import os
import statistics
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from sxdask.service.auth.tokens import Tokens
from sxdask.service.database.connect import open_database
from sxdask.service.database.users import Users
from sxdask.testing import write_nanoaod_files
from tests.services.load import Delivery, Load, Memory, told
from tests.services.official_client import OfficialClient, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.official_client import ServedX

CLIENTS = int(os.environ.get("SXDASK_LOAD_CLIENTS", "8"))
REQUESTS = int(os.environ.get("SXDASK_LOAD_REQUESTS", "24"))
OFFICIAL = int(os.environ.get("SXDASK_LOAD_OFFICIAL", "1"))
POLL_SECONDS = float(os.environ.get("SXDASK_LOAD_POLL", "0.5"))
MOST_P95_MS = float(os.environ.get("SXDASK_LOAD_P95_MS", "5000"))
DATABASE = os.environ.get("SXDASK_LOAD_DATABASE", "")  # by default SQLite beside the service
KEEP_FIGURES = os.environ.get("SXDASK_LOAD_FIGURES", "")
FILES = 10
MOST_MB = 900
SECRET = "a secret of the load test, long enough"  # noqa: S105  of a service that lives for minutes

DELIVER = """
async def main():
    files = dataset.FileList(VALUES["files"])
    queries = {
        f"cut {cut}": UPROOT_RAW(
            [{"treename": "Events", "filter_name": ["MET_pt"], "cut": f"MET_pt > {cut}"}]
        )
        for cut in (11, 12, 13)
    }
    samples = [Sample(Name=name, Dataset=files, Query=made) for name, made in queries.items()]
    tell(await get(samples, VALUES["home"] + "/cache"))

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return small files."""
    folder = tmp_path_factory.mktemp("load-files")
    return write_nanoaod_files(folder, 300 * FILES, FILES)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, files: list[Path]) -> Iterator[ServedX]:
    environ = {"SXDASK_SERVICE_TOKEN_SECRET": SECRET}
    if DATABASE:
        environ["SXDASK_SERVICE_DATABASE_URL"] = DATABASE
    data = tmp_path_factory.mktemp("load") / "data"
    arguments = ("--port", "0", "--auth", "--workers", "2", "--root", str(files[0].parent))
    with served(data, *arguments, environ=environ) as running:
        yield running


@pytest.fixture(scope="module")
def users(service: ServedX) -> dict[str, str]:
    """Return refresh tokens of users who were let in."""
    engine = open_database(DATABASE or f"sqlite:///{service.data / 'service.db'}")
    found = {}
    for name in ("heavy", "second", "third", "light", "official"):
        user = Users(engine).add(name, name=name, email=f"{name}@example.org", pending=False)
        found[name] = Tokens(SECRET.encode()).refresh(user.id, user.token_id)
    engine.dispose()
    return found


def access(service: ServedX, refresh: str) -> str:
    """Return an access token, as clients get one."""
    import httpx

    headers = {"Authorization": f"Bearer {refresh}"}
    answer = httpx.post(f"{service.url}/token/refresh", headers=headers, timeout=60)
    token: str = answer.json()["access_token"]
    return token


def wanted(user: str, number: int, files: list[Path]) -> Delivery:
    """Return a request unlike any other, so that none is answered from an earlier one."""
    query = {"treename": "Events", "filter_name": ["MET_pt"], "cut": f"MET_pt > {number / 100}"}
    body = {
        "title": f"{user} {number}",
        "file-list": [str(path) for path in files],
        "selection": json.dumps([query]),
        "codegen": "uproot-raw",
        "result-destination": "object-store",
        "result-format": "parquet",
    }
    return Delivery(user, body)


def shares() -> dict[str, int]:
    """Return how many requests each user has: one has most of all, one has a single one."""
    return {
        "heavy": REQUESTS * 8 // 10,
        "second": REQUESTS // 10,
        "third": REQUESTS - REQUESTS * 8 // 10 - REQUESTS // 10 - 1,
        "light": 1,
    }


def clients(deliveries: list[Delivery]) -> list[list[Delivery]]:
    """Return what each client asks for; all of a client is of one user."""
    each = max(1, -(-REQUESTS // CLIENTS))
    found = []
    for user in shares():
        own = [item for item in deliveries if item.user == user]
        found += [own[start : start + each] for start in range(0, len(own), each)]
    return found


def test_many_clients_at_once(
    service: ServedX,
    users: dict[str, str],
    files: list[Path],
    servicex_python: Path,
    tmp_path: Path,
) -> None:
    deliveries = [
        wanted(user, 1000 * place + number, files)
        for place, (user, count) in enumerate(shares().items())
        for number in range(count)
    ]
    tokens = {name: access(service, token) for name, token in users.items()}
    load = Load(service.url, tokens, POLL_SECONDS)
    with (
        Memory(service.process.pid) as memory,
        ThreadPoolExecutor(OFFICIAL + 1) as pool,
    ):
        homes = [tmp_path / f"home-{number}" for number in range(OFFICIAL)]
        official = [
            pool.submit(deliver_officially, servicex_python, home, service, users, files)
            for home in homes
        ]
        load.run(clients(deliveries))
        delivered = [call.result() for call in official]
    figures = told(load, deliveries, memory)
    light = next(item for item in deliveries if item.user == "light")
    heavy = [item.ended - item.submitted for item in deliveries if item.user == "heavy"]
    figures["light_seconds"] = round(light.ended - light.submitted, 1)
    figures["heavy_seconds"] = [
        round(min(heavy), 1),
        round(statistics.median(heavy), 1),
        round(max(heavy), 1),
    ]
    (tmp_path / "figures.json").write_text(json.dumps(figures, indent=1))
    if KEEP_FIGURES:
        Path(KEEP_FIGURES).write_text(json.dumps(figures, indent=1))

    assert load.failures == []
    assert figures["status of requests"] == {"Complete": REQUESTS}
    for item in deliveries:
        assert len(item.objects) == len(set(item.objects)) == FILES
        assert min(item.sizes.values()) > 0
    assert len({item.request_id for item in deliveries}) == REQUESTS
    for found in delivered:
        assert {name: len(paths) for name, paths in found.items()} == dict.fromkeys(
            ("cut 11", "cut 12", "cut 13"), FILES
        )
    # Whoever has one request does not stand behind the hundreds of another.
    assert light.ended - light.submitted < statistics.median(heavy)
    assert load.percentile("status", 0.95) < MOST_P95_MS
    assert memory.most < MOST_MB * 1_000_000


def deliver_officially(
    python: Path, home: Path, service: ServedX, users: dict[str, str], files: list[Path]
) -> dict[str, list[str]]:
    """Deliver three samples with the official client; return the files that it fetched."""
    home.mkdir()
    client = OfficialClient(python, home)
    settings = yaml.safe_load(service.client_file)
    for endpoint in settings["api_endpoints"]:
        endpoint["token"] = users["official"]
    settings.pop("cache_path", None)
    client.configure(yaml.safe_dump(settings))
    found: dict[str, list[str]] = client.run(
        DELIVER, timeout=900, files=[str(path) for path in files], home=str(home)
    )
    return found
