"""No credential is anywhere but in the environment: everything that a run leaves is searched."""

from __future__ import annotations

import base64
import logging
import traceback
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import cloudpickle
import pytest
from distributed import Client, LocalCluster

import sxdask as sx
from sxdask.core.errors import SxdaskError
from sxdask.core.settings import load_settings
from sxdask.testing import write_nanoaod

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.seaweedfs import Bucket, S3Server

TOKEN = "the-session-token-of-the-tests"  # noqa: S105
# Pages of the scheduler and of a worker; ids of workers and tasks are filled in below.
PAGES = [
    "status",
    "workers",
    "tasks",
    "system",
    "profile",
    "graph",
    "groups",
    "events",
    "info/main/workers.html",
    "info/main/logs.html",
    "json/counts.json",
    "json/identity.json",
    "api/v1/get_workers",
    "metrics",
    "sitemap.json",
]


def log_everything(folder: str) -> None:
    """Write all messages of this process to a file of its own; run on workers."""
    import os

    handler = logging.FileHandler(f"{folder}/{os.getpid()}.log")
    logging.getLogger().addHandler(handler)
    logging.getLogger().setLevel(logging.DEBUG)
    for name in ("distributed", "botocore", "aiobotocore", "s3fs", "fsspec"):
        logging.getLogger(name).setLevel(logging.DEBUG)


def everything_known(dask_scheduler: Any) -> bytes:
    """Return all that the scheduler knows, as bytes; run on the scheduler."""
    tasks = {
        str(key): (str(key), state.run_spec, state.group_key, str(state.annotations))
        for key, state in dask_scheduler.tasks.items()
    }
    rest = (
        str(dask_scheduler.identity()),
        str(dask_scheduler.get_events()),
        str(dask_scheduler.get_logs()),
        dict(dask_scheduler.worker_plugins),
        [str(key) for key in dask_scheduler.task_groups],
    )
    return bytes(cloudpickle.dumps((tasks, rest)))


class Net:
    """What was found in a run, by where it was found."""

    def __init__(self, *secrets: str) -> None:
        self.caught: dict[str, list[bytes]] = {}
        forms = [
            (text.encode(), quote(text).encode(), base64.b64encode(text.encode()))
            for text in secrets
        ]
        self._needles = {needle for form in forms for needle in form}

    def add(self, place: str, what: object) -> None:
        data = what if isinstance(what, bytes) else str(what).encode()
        self.caught.setdefault(place, []).append(data)

    def holes(self) -> list[str]:
        return [
            place
            for place, found in self.caught.items()
            if any(needle in data for data in found for needle in self._needles)
        ]


@pytest.fixture
def client(s3_environment: S3Server, tmp_path: Path) -> Iterator[Client]:
    """Start two worker processes that have the credentials in their environment, and log all."""
    (tmp_path / "logs").mkdir()
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address="127.0.0.1:0"
        ) as cluster,
        Client(cluster) as client,
    ):
        client.run(log_everything, str(tmp_path / "logs"))
        yield client


def pages(client: Client) -> Iterator[tuple[str, bytes]]:
    """Yield what the dashboard answers."""
    base = client.dashboard_link.removesuffix("status")
    names = [*PAGES]
    for address in client.scheduler_info()["workers"]:
        names += [f"info/{kind}/{quote(address, safe='')}.html" for kind in ("worker", "logs")]
    for name in names:
        try:
            with urllib.request.urlopen(base + name, timeout=60) as answer:
                yield name, answer.read()
        except urllib.error.HTTPError as error:
            yield name, error.read()


def test_no_credential_is_anywhere(
    client: Client,
    bucket: Bucket,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
):
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "distributed")
    net = Net(bucket.server.secret)
    path = write_nanoaod(tmp_path / "events.root", 600, entries_per_cluster=100)
    bucket.client.put_object(Bucket=bucket.name, Key="in/events.root", Body=path.read_bytes())
    query = sx.dataset(f"{bucket.url}/in/events.root").where("MET_pt > 1").select("event", "Jet_pt")

    def look(event: object) -> None:
        net.add("events", repr(event))
        net.add("scheduler", client.run_on_scheduler(everything_known))
        for ledger in Path(load_settings().cache_dir).rglob("*.jsonl"):
            net.add("ledger", ledger.read_bytes())

    manifest = query.deliver(f"{bucket.url}/out", client=client, progress=look)
    collection = query.dask()
    net.add("graph", cloudpickle.dumps(collection.dask))
    net.add("graph", [str(key) for key in collection.__dask_graph__()])
    net.add("repr", (repr(query), str(query), repr(manifest), manifest._repr_html_()))
    net.add("explain", query.explain())
    net.add("summary", repr(query.summary))
    net.add("manifest", bucket.get("out/manifest.json"))
    net.add("pickle", cloudpickle.dumps((manifest, query.plan)))
    for problem in (f"{bucket.url}-is-not-there", f"{bucket.url}/out"):
        try:
            query.select("event").deliver(problem, client=client)
        except SxdaskError as error:
            net.add("errors", "".join(traceback.format_exception(error)))
            net.add("errors", (repr(error), error.context))
    for name, data in pages(client):
        net.add(f"dashboard {name}", data)
    net.add("worker logs", client.get_worker_logs())
    for log in (tmp_path / "logs").iterdir():
        net.add("worker debug logs", log.read_bytes())
    net.add("logs", caplog.text)

    assert manifest.verify() == []
    assert len(net.caught["errors"]) == 4
    assert b"Sending http request" in b"".join(net.caught["worker debug logs"])
    assert b"(hidden)" in b"".join(net.caught["worker debug logs"])
    assert any(b"partition-" in data for data in net.caught["scheduler"])
    assert net.holes() == []


def test_a_session_token_is_not_in_the_messages_of_the_sdk(
    bucket: Bucket,
    s3_environment: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
):
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    caplog.set_level(logging.DEBUG)
    with pytest.raises(SxdaskError) as caught:  # the server knows no such session
        sx.Manifest.load(f"{bucket.url}/out")
    net = Net(TOKEN)
    net.add("logs", caplog.text)
    net.add("error", "".join(traceback.format_exception(caught.value)))
    assert "security-token:(hidden)" in caplog.text
    assert net.holes() == []


def test_the_net_catches_what_is_there():
    net = Net("s3cr3t!")
    net.add("a", "nothing")
    net.add("b", cloudpickle.dumps({"secret": "s3cr3t!"}))
    net.add("c", base64.b64encode(b"s3cr3t!"))
    assert net.holes() == ["b", "c"]
