"""Transforms whose results go to a real S3 server: open uploads, completed once, none left."""

from __future__ import annotations

import os

import pytest

from sxdask.clusters.backends.local import LocalBackend
from sxdask.service.objects.s3 import S3Objects
from sxdask.service.transforms.states import CancelAsked, Status
from tests.services.seaweedfs import Bucket
from tests.transforms import laboratory, wait_until

MUONS = [{"treename": "Events", "expressions": ["Muon_pt", "MET_pt"], "cut": "nMuon >= 1"}]


@pytest.fixture(scope="module")
def client():
    with LocalBackend(1, threads_per_worker=2, processes=False) as client:
        yield client


@pytest.fixture
def objects(s3_environment):
    """Return the store; workers find their credentials in the environment."""
    return S3Objects(
        endpoint=s3_environment.endpoint,
        access_key=s3_environment.key,
        secret_key=s3_environment.secret,
    )


def looked_at(request_id, server):
    return Bucket(request_id, server, server.client())


def test_every_file_is_one_object_and_no_upload_stays_open(
    tmp_path, client, objects, s3_server, nanoaod_files
):
    with laboratory(tmp_path, lambda: client, objects=objects) as lab:
        transform, results = lab.run(MUONS, nanoaod_files)
        assert transform.state.completed == 4
        lab.require_exact(transform.request_id)
        bucket = looked_at(transform.request_id, s3_server)
        for item in results:
            assert len(bucket.get(item.object)) == item.bytes
        wait_until(lambda: bucket.pending() == [])
        objects.remove(transform.request_id)


def test_what_an_engine_left_is_dropped_and_what_was_canceled_too(
    tmp_path, client, objects, s3_server, nanoaod_files
):
    hanging = tmp_path / "pipe.root"
    os.mkfifo(hanging)
    with laboratory(tmp_path, lambda: client, objects=objects) as lab:
        request_id = lab.submit(MUONS, [*nanoaod_files, hanging])
        wait_until(lambda: len(lab.results(request_id)) == 4)
        lab.engine.stop()
    bucket = looked_at(request_id, s3_server)
    bucket.client.create_multipart_upload(Bucket=request_id, Key="pipe-5.parquet")
    bucket.client.put_object(Bucket=request_id, Key="pipe-5.parquet", Body=b"not reported")
    with laboratory(tmp_path, lambda: client, objects=objects) as lab:
        wait_until(lambda: lab.engine.progress(request_id) is not None)
        wait_until(lambda: bucket.pending() == [])
        lab.require_exact(request_id)
        lab.store.apply(request_id, CancelAsked())
        lab.engine.wake()
        assert lab.ended(request_id).state.status is Status.CANCELED
        lab.require_exact(request_id)
        assert bucket.pending() == []
    os.close(os.open(hanging, os.O_WRONLY | os.O_NONBLOCK))
    objects.remove(request_id)
