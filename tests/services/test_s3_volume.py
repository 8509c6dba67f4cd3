"""What is delivered to S3 from worker processes is what is read back, by whoever reads it.

``SXDASK_VOLUME_MB=1000`` makes the large delivery as large as it is in
docs/reliability.md.
"""

from __future__ import annotations

import hashlib
import os
import time
from typing import TYPE_CHECKING

import awkward as ak
import pyarrow.dataset as pads
import pytest

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.errors import AccessDeniedError, ReadFailedError
from sxdask.testing import write_nanoaod
from tests.services.proxy import PASS, Fault, Seen, proxy_to

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from distributed import Client

    from tests.services.seaweedfs import Bucket, S3Server

# Read before a fixture hides all settings from the tests.
VOLUME_BYTES = int(os.environ.get("SXDASK_VOLUME_MB", "60")) * 1_000_000
COLUMNS = ["event", "Muon_pt", "Muon_charge", "MET_pt"]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("volume")
    return write_nanoaod(folder / "events.root", 3_000, entries_per_cluster=500)


@pytest.fixture(scope="module")
def client(s3_server: S3Server) -> Iterator[Client]:
    """Start worker processes, which have the credentials in their environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in s3_server.environment().items():
            patch.setenv(name, value)
        with LocalBackend(2, threads_per_worker=1) as client:
            yield client


@pytest.mark.parametrize("format_name", ["arrow", "parquet"])
def test_worker_processes_deliver_and_everybody_reads_it(
    path, bucket, s3_environment, client, format_name
):
    import s3fs

    bucket.client.put_object(Bucket=bucket.name, Key="in/events.root", Body=path.read_bytes())
    query = sx.dataset(f"{bucket.url}/in/*.root").select(*COLUMNS)
    manifest = query.deliver(f"{bucket.url}/out", format_name, client=client)
    expected = sx.dataset(str(path)).select(*COLUMNS).compute(scheduler="sync")
    found = sx.Manifest.load(f"{bucket.url}/out/manifest.json")
    assert found == manifest
    assert found.verify() == []
    assert ak.array_equal(found.to_awkward(), expected)
    assert found.dataset().to_table().num_rows == 3_000
    storage = s3fs.S3FileSystem()
    names = [name.removeprefix("s3://") for name in found.files]
    table = pads.dataset(names, format=format_name, filesystem=storage).to_table()
    assert ak.array_equal(ak.from_arrow(table)["MET_pt"], expected["MET_pt"])


def use_secret(secret: str) -> None:
    """Change the environment and forget connections; run on workers."""
    import s3fs

    os.environ["AWS_SECRET_ACCESS_KEY"] = secret
    s3fs.S3FileSystem.clear_instance_cache()


def test_workers_with_a_wrong_secret_are_told_from_a_driver_with_the_right_one(
    path, bucket, s3_environment, client
):
    client.run(use_secret, "a-wrong-secret")
    try:
        with pytest.raises(AccessDeniedError, match="SignatureDoesNotMatch") as caught:
            sx.dataset(str(path)).select("event").deliver(f"{bucket.url}/out", client=client)
    finally:
        client.run(use_secret, s3_environment.secret)
    assert "workers" in str(caught.value.hint)
    assert "a-wrong-secret" not in repr(caught.value.context)
    assert (bucket.keys(), bucket.pending()) == ([], [])


def test_a_dataset_on_s3_is_read_like_a_local_one(path, bucket, s3_environment):
    bucket.client.put_object(Bucket=bucket.name, Key="in/events.root", Body=path.read_bytes())
    for name in ("in/events.root", "in/", "in/*.root?files=1"):
        query = sx.dataset(f"{bucket.url}/{name}").where("MET_pt > 30").select("event", "Jet_pt")
        local = sx.dataset(str(path)).where("MET_pt > 30").select("event", "Jet_pt")
        assert ak.array_equal(query.compute(scheduler="sync"), local.compute(scheduler="sync"))


def test_a_server_that_stalls_while_a_dataset_is_read_is_given_up(path, bucket, s3_environment):
    bucket.client.put_object(Bucket=bucket.name, Key="in/events.root", Body=path.read_bytes())

    def decide(seen: Seen) -> Fault:
        return Fault("stall", seconds=60) if seen.operation == "GetObject" else PASS

    quick = {"read_timeout": 0.5, "retries": {"total_max_attempts": 1}}
    with proxy_to(bucket.server.port, decide) as proxy:
        options = {"endpoint_url": proxy.url, "config_kwargs": quick}
        began = time.perf_counter()
        with pytest.raises(ReadFailedError, match=r"events\.root"):
            sx.dataset(f"{bucket.url}/in/events.root", storage_options=options).num_events  # noqa: B018
        assert time.perf_counter() - began < 20


def test_a_delivery_that_was_overwritten_leaves_nothing_of_the_first(path, bucket, s3_environment):
    first = sx.dataset(str(path)).select("event")
    second = sx.dataset(str(path)).select("MET_pt")
    first.deliver(f"{bucket.url}/out")
    with pytest.raises(sx.SxdaskError, match="another delivery"):
        second.deliver(f"{bucket.url}/out")
    manifest = second.deliver(f"{bucket.url}/out", overwrite=True)
    names = ["manifest.json", *(entry.object for entry in manifest.partitions)]
    assert bucket.keys() == sorted(f"out/{name}" for name in names)
    assert bucket.pending() == []


def test_a_large_delivery_arrives_byte_by_byte(
    bucket: Bucket,
    s3_environment,
    client: Client,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
):
    """The same query goes to a directory and to S3; every object has the same SHA-256."""
    source = write_nanoaod(tmp_path / "0.root", 100_000, entries_per_cluster=50_000)
    one = sx.dataset(str(source)).select("*").deliver(tmp_path / "one")
    files = [source]
    while len(files) * one.bytes < VOLUME_BYTES:
        files.append(tmp_path / f"{len(files)}.root")
        files[-1].hardlink_to(source)
    query = sx.dataset([str(name) for name in files]).select("*")
    local = query.deliver(tmp_path / "out")
    began = time.perf_counter()
    manifest = query.deliver(f"{bucket.url}/out", client=client)
    seconds = time.perf_counter() - began
    assert manifest.bytes == local.bytes >= VOLUME_BYTES
    for mine, theirs in zip(local.partitions, manifest.partitions, strict=True):
        assert (mine.object, mine.checksum) == (theirs.object, theirs.checksum)
        here = (tmp_path / "out" / mine.object).read_bytes()
        there = bucket.get(f"out/{theirs.object}")
        assert hashlib.sha256(here).digest() == hashlib.sha256(there).digest()
    assert manifest.verify() == []
    assert bucket.pending() == []
    with capsys.disabled():
        mega = manifest.bytes / 1e6
        print(  # noqa: T201  the numbers of a long run, for the docs
            f"\n{mega:.0f} MB in {len(manifest.partitions)} objects, {seconds:.1f} s, "
            f"{mega / seconds:.0f} MB/s"
        )
