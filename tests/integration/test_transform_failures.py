"""What goes wrong in a transform is told per file, is tried again where that helps, and ends."""

from __future__ import annotations

import os
import shutil
import socket
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.errors import SystemFaultError
from sxdask.datasets.model import FileEntry
from sxdask.service.database.connect import open_database
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import METADATA
from sxdask.service.objects.volume import VolumeObjects
from sxdask.service.transforms.states import CancelAsked, Status
from tests.transforms import laboratory, wait_until

MUONS = [{"treename": "Events", "expressions": ["Muon_pt", "MET_pt"], "cut": "nMuon >= 1"}]


@pytest.fixture(scope="module")
def client():
    with LocalBackend(1, threads_per_worker=2, processes=False) as client:
        yield client


@pytest.fixture
def lab(tmp_path, client):
    with laboratory(tmp_path, lambda: client) as lab:
        yield lab


@contextmanager
def pipe(path):
    """Make a file that can be opened and never answers; whoever hangs in it is freed at the end."""
    os.mkfifo(path)
    try:
        yield path
    finally:
        for _ in range(20):
            with suppress(OSError):
                os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))


@contextmanager
def mute_server():
    """Serve a port that takes connections and says nothing."""
    taken: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        taking = threading.Thread(target=take, args=(server, taken))
        taking.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
        taking.join()
    for connection in taken:
        connection.close()


def take(server, taken):
    with suppress(OSError):
        while True:
            taken.append(server.accept()[0])


def test_a_file_that_is_broken_fails_alone_and_says_why(lab, nanoaod_files, make_nanoaod):
    broken = make_nanoaod(2_000, "broken.root", seed=3)
    whole = broken.read_bytes()
    broken.write_bytes(whole[: len(whole) // 3])
    transform, results = lab.run(MUONS, [*nanoaod_files, broken])
    assert (transform.state.status, transform.state.failed) == (Status.COMPLETE, 1)
    failed = results[-1]
    assert failed.code.startswith("SX3")
    assert "\n" not in failed.message
    assert "Traceback" in failed.traceback
    assert failed.object == ""
    lab.require_exact(transform.request_id)


class Replicas:
    """A finder of one file with several places."""

    def __init__(self, *paths):
        self.entry = FileEntry(str(paths[0]), replicas=tuple(map(str, paths[1:])))

    def find(self, address, *, storage_options):
        assert (address.scheme, dict(storage_options)) == ("rucio", {})
        return [self.entry]


def test_replicas_are_tried_in_order(tmp_path, client, nanoaod_files):
    gone = tmp_path / "gone.root"
    with laboratory(tmp_path, lambda: client, finder=Replicas(gone, nanoaod_files[0])) as lab:
        request_id = lab.submit_dataset(MUONS, "rucio://scope:name")
        assert lab.ended(request_id).state.completed == 1
        (item,) = lab.results(request_id)
        assert item.file_path == str(gone)


def test_a_mistake_of_the_user_ends_the_transform_before_all_files_are_tried(
    tmp_path, client, nanoaod_files
):
    files = [shutil.copy(nanoaod_files[0], tmp_path / f"n{n}.root") for n in range(12)]
    with laboratory(tmp_path, lambda: client, fail_fast=3, files=2) as lab:
        wrong = [{"treename": "Events", "expressions": ["Muno_pt"]}]
        transform, results = lab.run(wrong, files)
        assert transform.state.status is Status.FATAL
        assert "no branch 'Muno_pt'" in transform.state.reason
        assert "\n" not in transform.state.reason
        assert 3 <= len(results) < 12
        assert all(item.code == "SX101" for item in results)
    (tmp_path / "all").mkdir()
    with laboratory(tmp_path / "all", lambda: client, fail_fast=0) as lab:
        transform, results = lab.run(wrong, files)
        assert (transform.state.status, len(results)) == (Status.COMPLETE, 12)


def test_files_that_are_missing_are_no_mistake_in_the_request(lab, tmp_path, nanoaod_files):
    gone = [tmp_path / f"gone{n}.root" for n in range(5)]
    transform, results = lab.run(MUONS, [*gone, nanoaod_files[0]])
    assert (transform.state.status, transform.state.completed) == (Status.COMPLETE, 1)
    assert {item.code for item in results if not item.ok} == {"SX201"}


def test_a_file_that_hangs_is_given_up_and_the_others_are_not_held(tmp_path, client, nanoaod_files):
    with (
        pipe(tmp_path / "pipe.root") as hanging,
        laboratory(tmp_path, lambda: client, still_seconds=0.5, tries=1, stuck_threads=99) as lab,
    ):
        transform, results = lab.run(MUONS, [hanging, *nanoaod_files])
        assert (transform.state.completed, transform.state.failed) == (4, 1)
        assert "nothing was heard for 0.5 s" in results[0].message
        lab.require_exact(transform.request_id)


def test_a_server_that_never_answers_is_given_up_for_the_next_replica(
    tmp_path, client, nanoaod_files
):
    with mute_server() as mute:
        finder = Replicas(f"{mute}/a.root", nanoaod_files[0])
        limits = {"still_seconds": 0.5, "stuck_threads": 99}
        with laboratory(tmp_path, lambda: client, finder=finder, **limits) as lab:
            request_id = lab.submit_dataset(MUONS, "rucio://scope:name")
            assert lab.ended(request_id).state.completed == 1
            assert lab.results(request_id)[0].seconds > 0.5


def test_a_file_may_take_so_long_over_all_tries(tmp_path, client):
    with (
        pipe(tmp_path / "pipe.root") as hanging,
        laboratory(tmp_path, lambda: client, file_seconds=1.0, stuck_threads=99) as lab,
    ):
        transform, (item,) = lab.run(MUONS, [hanging])
        assert transform.state.status is Status.COMPLETE
        assert "took more than 1 s" in item.message


def test_a_transform_waits_until_its_results_have_a_place(tmp_path, client, nanoaod_files):
    blocked = tmp_path / "objects"
    blocked.write_text("a file where the folder of results should be")
    with laboratory(tmp_path, lambda: client, objects=VolumeObjects(blocked)) as lab:
        request_id = lab.submit(MUONS, nanoaod_files[:1])
        time.sleep(0.3)
        assert not lab.results(request_id)
        blocked.unlink()
        assert lab.ended(request_id).state.completed == 1


class Forgetful(SqlStore):
    """A database that does not answer the first reports, or loses its answers."""

    silent = lost = 0

    def report(self, request_id, result):
        if self.silent:
            self.silent -= 1
            raise SystemFaultError("the database does not answer: it is a test")
        stored = super().report(request_id, result)
        if self.lost:
            self.lost -= 1
            raise SystemFaultError("the connection is lost: it is a test")
        return stored


@pytest.mark.parametrize("fault", ["silent", "lost"])
def test_a_report_that_is_lost_is_made_again_and_counts_once(
    tmp_path, client, nanoaod_files, fault
):
    database = open_database(f"sqlite:///{tmp_path / 'service.db'}")
    METADATA.create_all(database)
    store = Forgetful(database)
    setattr(store, fault, 2)
    with laboratory(tmp_path, lambda: client, store=store) as lab:
        transform, _ = lab.run(MUONS, nanoaod_files)
        assert (transform.state.completed, transform.state.failed) == (4, 0)
        lab.require_exact(transform.request_id)
    database.dispose()


def test_a_transform_that_is_canceled_stops_and_leaves_nothing_half_written(
    tmp_path, client, nanoaod_files
):
    with (
        pipe(tmp_path / "pipe.root") as hanging,
        laboratory(tmp_path, lambda: client) as lab,
    ):
        request_id = lab.submit(MUONS, [hanging, *nanoaod_files])
        wait_until(lambda: len(lab.results(request_id)) == 4)
        began = time.monotonic()
        lab.store.apply(request_id, CancelAsked())
        lab.engine.wake()
        assert lab.ended(request_id).state.status is Status.CANCELED
        wait_until(lambda: not client.processing() or not any(client.processing().values()))
        wait_until(lambda: not (lab.folder(request_id) / ".sxdask").exists())
        assert time.monotonic() - began < 30
        lab.require_exact(request_id)
        # The worker is free for others.
        assert lab.run(MUONS, nanoaod_files)[0].state.completed == 4


def test_a_transform_whose_cluster_never_comes_ends_and_says_so(tmp_path, nanoaod_files):
    def no_client():
        raise SystemFaultError("there is no cluster: it is a test")

    with laboratory(tmp_path, no_client, transform_still_seconds=1.0) as lab:
        transform, results = lab.run(MUONS, nanoaod_files)
        assert (transform.state.status, results) == (Status.FATAL, [])
        assert "no connection to the Dask scheduler" in transform.state.reason


def test_a_transform_that_is_resubmitted_runs_what_failed(lab, nanoaod_files, tmp_path):
    late = tmp_path / "late.root"
    request_id = lab.submit(MUONS, [nanoaod_files[0], late])
    assert lab.ended(request_id).state.failed == 1
    late.write_bytes(nanoaod_files[1].read_bytes())
    assert lab.store.resubmit_failed(request_id) == 1
    lab.engine.wake()
    assert lab.ended(request_id).state.completed == 2
    lab.require_exact(request_id)


def test_an_engine_goes_on_where_another_was_stopped(tmp_path, client, nanoaod_files):
    with (
        pipe(tmp_path / "pipe.root") as hanging,
        laboratory(tmp_path, lambda: client, files=2) as first,
    ):
        request_id = first.submit(MUONS, [*nanoaod_files[:2], hanging, *nanoaod_files[2:]])
        wait_until(lambda: len(first.results(request_id)) == 4)
        first.engine.stop()
        assert first.store.transform(request_id).state.status is Status.RUNNING
    hanging.unlink()
    hanging.write_bytes(nanoaod_files[0].read_bytes())
    left = first.folder(request_id)
    (left / "pipe-3.parquet").write_bytes(b"an object that was published and not reported")
    (left / ".sxdask" / "staged").mkdir(parents=True, exist_ok=True)
    (left / ".sxdask" / "staged" / "pipe-3.1234.parquet").write_bytes(b"half")
    with laboratory(tmp_path, lambda: client) as second:
        assert second.ended(request_id).state.completed == 5
        second.require_exact(request_id)
        wait_until(lambda: not (left / ".sxdask").exists())


def test_an_object_that_nobody_reported_is_removed_where_its_file_fails(
    tmp_path, client, nanoaod_files
):
    with laboratory(tmp_path, lambda: client) as lab:
        lab.engine.stop()
        request_id = lab.submit(MUONS, [nanoaod_files[0], tmp_path / "gone.root"])
    lab.objects.create(request_id)
    (lab.folder(request_id) / "gone-2.parquet").write_bytes(b"of an engine that is gone")
    with laboratory(tmp_path, lambda: client) as second:
        assert second.ended(request_id).state.failed == 1
        second.require_exact(request_id)
