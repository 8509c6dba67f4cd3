"""Delivery to S3 through a proxy that refuses, stalls, tears, lies and loses."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import awkward as ak
import pytest

import sxdask as sx
from sxdask.core.errors import DeliveryError
from sxdask.core.settings import load_settings
from sxdask.deliver.s3.store import S3Store
from sxdask.testing import write_nanoaod
from tests.services.proxy import PASS, Fault, Seen, proxy_to

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.services.seaweedfs import Bucket

PARTITIONS = 5
SMALL_PARTITIONS = replace(load_settings(), partition_bytes=1)
# Little more patience than a server on this machine needs.
QUICK = {
    "connect_timeout": 1,
    "read_timeout": 2,
    "retries": {"mode": "standard", "total_max_attempts": 2},
}
FAULTS = [
    ("CreateMultipartUpload", Fault("status", code=503)),
    ("CreateMultipartUpload", Fault("lose")),
    ("UploadPart", Fault("refuse")),
    ("UploadPart", Fault("tear", after=1000)),
    ("UploadPart", Fault("stall", after=1000, seconds=20)),
    ("UploadPart", Fault("lose")),
    ("ListParts", Fault("truncate", after=100)),
    ("CompleteMultipartUpload", Fault("lose")),
    ("CompleteMultipartUpload", Fault("status", code=500)),
    ("ListMultipartUploads", Fault("delay", seconds=0.5)),
    ("GetObject", Fault("status", code=503)),
    ("PutObject", Fault("lose")),
]


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faults")
    return write_nanoaod(folder / "events.root", 500, entries_per_cluster=100)


@pytest.fixture
def query(path: Path) -> sx.Query:
    return sx.dataset(str(path), settings=SMALL_PARTITIONS).select("event", "Muon_pt", "Jet_pt")


def deliver(query: sx.Query, url: str, endpoint: str, **options: Any) -> sx.Manifest:
    storage = {"endpoint_url": endpoint, "config_kwargs": QUICK}
    return query.deliver(url, "arrow", storage_options=storage, **{"scheduler": "sync"} | options)


def require_exact(query: sx.Query, bucket: Bucket, manifest: sx.Manifest, prefix: str) -> None:
    """Check with clients that know of no proxy that all is there, right, and nothing else."""
    found = sx.Manifest.load(f"{bucket.url}/{prefix}")
    assert found == manifest
    assert found.verify() == []
    assert ak.array_equal(found.to_awkward(), query.compute(scheduler="sync"))
    names = [*(entry.object for entry in found.partitions), "manifest.json"]
    assert bucket.keys() == sorted(f"{prefix}/{name}" for name in names)
    assert bucket.pending() == []


def visible(bucket: Bucket) -> list[str]:
    """Return the objects, without what a run that was cut off left hidden."""
    found = bucket.keys()
    return [key for key in found if "/.sxdask/" not in key]


def first_times(operation: str, fault: Fault, times: int) -> Callable[[Seen], Fault]:
    left = [times]

    def decide(seen: Seen) -> Fault:
        if seen.operation != operation or left[0] == 0:
            return PASS
        left[0] -= 1
        return fault

    return decide


def requests_of(query: sx.Query, url: str, port: int) -> list[str]:
    """Deliver and return the operations that this took."""
    with proxy_to(port) as proxy:
        query.deliver(url, scheduler="threads", storage_options={"endpoint_url": proxy.url})
    return proxy.operations()


def test_a_partition_costs_five_requests(query, bucket, s3_environment, make_nanoaod):
    twice = sx.dataset(
        str(make_nanoaod(2 * 500, entries_per_cluster=100)), settings=SMALL_PARTITIONS
    ).select("event", "Muon_pt", "Jet_pt")
    some = requests_of(query, f"{bucket.url}/x", bucket.server.port)
    more = requests_of(twice, f"{bucket.url}/y", bucket.server.port)
    each = ["CreateMultipartUpload", "UploadPart", "ListParts", "CompleteMultipartUpload"]
    # One more upload is begun, and dropped, to see whether writing is allowed.
    assert [some.count(name) for name in each] == [PARTITIONS + 1, *([PARTITIONS] * 3)]
    assert [more.count(name) - some.count(name) for name in each] == [PARTITIONS] * 4
    # The fifth: a worker asks whether the run that it works for still lives.
    assert more.count("HeadObject") - some.count("HeadObject") == PARTITIONS
    assert len(more) - len(some) == 5 * PARTITIONS
    assert len(some) < 5 * PARTITIONS + 40
    assert "CopyObject" not in some


def test_a_delivery_that_is_there_already_only_asks(query, bucket, s3_environment):
    requests_of(query, f"{bucket.url}/x", bucket.server.port)
    asked = requests_of(query, f"{bucket.url}/x", bucket.server.port)
    assert set(asked) == {"GetObject", "HeadObject", "ListObjects"}
    assert len(asked) <= PARTITIONS + 3


@pytest.mark.parametrize(
    ("operation", "fault"), FAULTS, ids=lambda item: getattr(item, "kind", item)
)
def test_a_fault_now_and_then_changes_nothing(query, bucket, s3_environment, operation, fault):
    with proxy_to(bucket.server.port, first_times(operation, fault, 2)) as proxy:
        manifest = deliver(query, f"{bucket.url}/x", proxy.url)
        assert proxy.done
    if operation == "CreateMultipartUpload" and fault.kind == "lose":
        # Of the probing upload at the start nobody knows the name if its answer was lost.
        bucket.drop_pending("x/manifest.json")
    require_exact(query, bucket, manifest, "x")


def test_an_endpoint_that_stalls_for_ever_is_given_up_and_a_later_run_completes(
    query, bucket, s3_environment, monkeypatch
):
    def decide(seen: Seen) -> Fault:
        return Fault("stall", after=10, seconds=60) if seen.operation == "UploadPart" else PASS

    monkeypatch.setattr("sxdask.deliver.s3.requests._TRIES", 1)
    began = time.monotonic()
    with (
        proxy_to(bucket.server.port, decide) as proxy,
        pytest.raises(DeliveryError, match="does not answer in time") as caught,
    ):
        deliver(query, f"{bucket.url}/x", proxy.url, resume=True)
    assert time.monotonic() - began < 50
    assert caught.value.context["file"].startswith(f"{bucket.url}/x/part-")
    assert visible(bucket) == []
    manifest = deliver(query, f"{bucket.url}/x", bucket.server.endpoint, resume=True)
    require_exact(query, bucket, manifest, "x")


def test_what_was_stored_before_a_blackout_is_not_computed_again(
    query, bucket, s3_environment, monkeypatch
):
    uploaded: list[Seen] = []

    def decide(seen: Seen) -> Fault:
        if len(uploaded) >= 2:
            return Fault("refuse")
        if seen.operation == "UploadPart":
            uploaded.append(seen)
        return PASS

    monkeypatch.setattr("sxdask.deliver.s3.requests._TRIES", 1)
    with (
        proxy_to(bucket.server.port, decide) as proxy,
        pytest.raises(DeliveryError, match=r"s3://"),
    ):
        deliver(query, f"{bucket.url}/x", proxy.url, resume=True)
    assert visible(bucket) == []
    stored = len(bucket.pending())
    assert stored > 0
    with proxy_to(bucket.server.port) as proxy:
        manifest = deliver(query, f"{bucket.url}/x", proxy.url, resume=True)
    assert proxy.operations().count("UploadPart") < PARTITIONS
    require_exact(query, bucket, manifest, "x")


def test_what_a_run_could_not_clean_up_is_gone_after_the_next(
    query, bucket, s3_environment, monkeypatch
):
    monkeypatch.setattr("sxdask.deliver.s3.requests._TRIES", 1)
    lost: list[Seen] = []
    ended: list[Seen] = []

    def decide(seen: Seen) -> Fault:
        if len(ended) in {1, 2} and seen.operation == "HeadObject":
            ended.append(seen)  # the look for other runs, and its second try
            return Fault("status")
        if seen.operation == "PutObject" and seen.target.endswith("/manifest.json"):
            ended.append(seen)
        if seen.operation == "CreateMultipartUpload" and "part-00003" in seen.target and not lost:
            lost.append(seen)
            return Fault("lose")  # so nobody knows the name of this upload
        return PASS

    with proxy_to(bucket.server.port, decide) as proxy:
        manifest = deliver(query, f"{bucket.url}/x", proxy.url)
    assert manifest.status == "complete"
    assert bucket.pending() == [f"x/{manifest.partitions[3].object}"]
    deliver(query, f"{bucket.url}/x", bucket.server.endpoint)
    require_exact(query, bucket, manifest, "x")


def test_large_objects_go_in_parts_and_a_torn_part_goes_again(bucket, s3_environment):
    data = bytes(range(256)) * 160_000  # 41 MB: three parts
    faults = first_times("UploadPart", Fault("tear", after=5_000_000), 1)
    with proxy_to(bucket.server.port, faults) as proxy:
        store = S3Store(f"{bucket.url}/x", {"endpoint_url": proxy.url})
        staging = store.staging("")
        attempt = staging.put("large.bin", data)
        assert (bucket.keys(), bucket.pending()) == ([], ["x/large.bin"])
        assert staging.size("large.bin", attempt) == len(data)
        assert not staging.publish("large.bin", attempt, len(data) + 1)
        assert staging.publish("large.bin", attempt, len(data))
        assert proxy.operations().count("UploadPart") == 4
    assert bucket.get("x/large.bin") == data
    assert bucket.pending() == []


def test_an_upload_that_cannot_go_on_is_dropped(bucket, s3_environment, monkeypatch):
    monkeypatch.setattr("sxdask.deliver.s3.requests._TRIES", 1)

    def decide(seen: Seen) -> Fault:
        third = seen.operation == "UploadPart" and "partNumber=3" in seen.target
        return Fault("tear", after=100) if third else PASS

    with proxy_to(bucket.server.port, decide) as proxy:
        options = {"endpoint_url": proxy.url, "config_kwargs": QUICK}
        with pytest.raises(DeliveryError, match=r"large\.bin"):
            S3Store(f"{bucket.url}/x", options).write("large.bin", bytes(50_000_000))
        assert "AbortMultipartUpload" in proxy.operations()
    assert (bucket.keys(), bucket.pending()) == ([], [])


def test_bytes_that_changed_on_the_way_are_refused_by_the_server(bucket, s3_environment):
    from sxdask.deliver.s3.uploads import UploadPart, upload

    store = S3Store(f"{bucket.url}/x")
    wrong = [UploadPart(1, 0, 5, "1B2M2Y8AsgTpgAmY7PhCfg==")]  # MD5 of nothing
    with pytest.raises(DeliveryError, match="BadDigest"):
        store.connection.run(
            lambda: upload(store.connection, "x/a", memoryview(b"12345"), wrong), "a"
        )
    assert (bucket.keys(), bucket.pending()) == ([], [])
