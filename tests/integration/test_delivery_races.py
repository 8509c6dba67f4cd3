"""Deliveries to one place from several drivers, living, dead and late: the result is exact."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import pytest

from sxdask.core.errors import DeliveryError, RequestError, SxdaskError
from sxdask.deliver.delivery import Options, deliver
from sxdask.deliver.lease import HIDDEN, LEASE_SECONDS, Lease
from sxdask.deliver.local import LocalStore
from sxdask.deliver.manifest import Manifest
from sxdask.deliver.runners.threads import ThreadRunner
from sxdask.deliver.sink import Delivery, Receipt
from sxdask.deliver.sinks.files import FilesSink
from sxdask.deliver.tasks import Labels
from sxdask.deliver.work import Source
from tests.readers import NumberReader, expected, numbers, pieces, source

THREADS = ThreadRunner(2)
PARTS = tuple(Labels("f00d").part(piece) for piece in pieces(3))
DELIVERY = Delivery("f00d", "arrow", PARTS)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def require_exact(out: Path, count: int) -> Manifest:
    """Everything once, and nothing besides: no object, no folder."""
    manifest = Manifest.load(str(out))
    assert manifest.verify() == []
    assert ak.array_equal(manifest.to_awkward(), expected(pieces(count)))
    assert files_below(out) == ["manifest.json", *(item.object for item in manifest.partitions)]
    assert not (out / HIDDEN).exists()
    return manifest


@dataclass(frozen=True)
class SlowReader:
    """Slow enough for several drivers to be at work at once."""

    def read(self, item):
        time.sleep(0.01)
        return NumberReader().read(item)

    def mock_empty(self):
        return numbers(0, 0)


def test_drivers_of_one_request_at_once_leave_one_exact_delivery(tmp_path):
    out, found = tmp_path / "out", []

    def drive(number):
        sink = FilesSink(str(out))
        options = Options(runner=THREADS, ledger_dir=tmp_path / "cache")
        found.append(deliver([Source(SlowReader(), pieces(20), Labels("f00d"))], sink, options))

    threads = [threading.Thread(target=drive, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    manifest = require_exact(out, 20)
    assert found == [manifest] * 4


def test_of_two_requests_at_once_one_is_delivered_and_one_is_refused(tmp_path):
    out = tmp_path / "out"
    first, second = FilesSink(str(out)), FilesSink(str(out))
    other = Delivery("beef", "arrow", tuple(Labels("beef").part(piece) for piece in pieces(2)))
    first.begin(DELIVERY)
    second.begin(other)
    receipts: dict[FilesSink, list[Receipt]] = {sink: [] for sink in (first, second)}
    for sink, parts in ((first, PARTS), (second, other.parts)):
        for part in parts:
            rows = Labels("f00d").table(numbers(part.entry_start, part.entry_stop), part)
            receipts[sink].append(sink.write(part, rows))
    first.commit(receipts[first])
    with pytest.raises(RequestError, match="another delivery"):
        second.commit(receipts[second])
    second.abort()
    assert require_exact(out, 3).fingerprint == "f00d"


def test_a_driver_that_is_second_takes_what_the_first_has_published(tmp_path):
    out = tmp_path / "out"
    first, second = FilesSink(str(out)), FilesSink(str(out))
    for sink in (first, second):
        assert sink.begin(DELIVERY) == []
    manifests, inodes = [], {}
    for sink in (first, second):
        tables = [Labels("f00d").table(numbers(p.entry_start, p.entry_stop), p) for p in PARTS]
        receipts = [sink.write(part, rows) for part, rows in zip(PARTS, tables, strict=True)]
        inodes = {path.name: path.stat().st_ino for path in out.glob("part-*")}
        manifests.append(sink.commit(receipts))
    assert manifests[0] == manifests[1] == require_exact(out, 3)
    assert inodes == {path.name: path.stat().st_ino for path in out.glob("part-*")}


@pytest.mark.parametrize("end", ["commit", "abort"])
def test_a_worker_that_writes_after_the_end_leaves_nothing(tmp_path, end):
    out = tmp_path / "out"
    sink = FilesSink(str(out))
    sink.begin(DELIVERY)
    zombie = pickle.loads(pickle.dumps(sink))
    tables = [Labels("f00d").table(numbers(p.entry_start, p.entry_stop), p) for p in PARTS]
    receipts = [sink.write(part, rows) for part, rows in zip(PARTS, tables, strict=True)]
    if end == "commit":
        sink.commit(receipts)
    else:
        sink.abort()
    before = files_below(tmp_path)
    with pytest.raises(DeliveryError, match="too late"):
        zombie.write(PARTS[0], tables[0])
    assert files_below(tmp_path) == before
    assert not (out / HIDDEN).exists()
    assert out.exists() == (end == "commit")


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    from sxdask.deliver.delivery import Options, deliver
    from sxdask.deliver.local import LocalStore
    from sxdask.deliver.runners.sync import SyncRunner
    from sxdask.deliver.sinks.files import FilesSink
    from tests.readers import pieces, source

    out, cache, operation, number = sys.argv[1:]
    left, real = int(number), getattr(LocalStore, operation)

    def fatal(*arguments, **options):
        global left
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **options)

    setattr(LocalStore, operation, fatal)
    options = Options(runner=SyncRunner(), ledger_dir=Path(cache))
    deliver([source(pieces(6))], FilesSink(out), options)
"""

# What a delivery of six partitions does last: six renames, the manifest's, two settlings, and
# the removal of lease, intent and folders.
MOMENTS = [
    ("stream", 3),  # with three objects staged
    ("write", 3),  # before the intent
    ("move", 0),
    ("move", 3),
    ("settle", 0),  # before the manifest
    ("move", 6),
    ("settle", 1),  # after the manifest
    ("remove", 1),
    ("remove_folder", 0),
    ("remove_folder", 1),
]


def killed(out: Path, cache: Path, operation: str, number: int, folder: Path) -> None:
    script = folder / "driver.py"
    script.write_text(textwrap.dedent(SCRIPT))
    done = subprocess.run(
        [sys.executable, str(script), str(out), str(cache), operation, str(number)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -9, done.stderr.decode()


@pytest.mark.parametrize(("operation", "number"), MOMENTS)
def test_a_driver_that_is_killed_at_the_end_leaves_nothing_to_the_next(tmp_path, operation, number):
    out, cache = tmp_path / "out", tmp_path / "cache"
    killed(out, cache, operation, number, tmp_path)
    same, grown, other = (tmp_path / name for name in ("same", "grown", "other"))
    for copy in (same, grown, other):
        subprocess.run(["cp", "-a", str(out), str(copy)], check=True)  # noqa: S607
    for target, ledgers in ((out, cache), (same, tmp_path / "no cache")):
        deliver(
            [source(pieces(6))], FilesSink(str(target)), Options(runner=THREADS, ledger_dir=ledgers)
        )
        require_exact(target, 6)
    deliver([source(pieces(8))], FilesSink(str(grown)), Options(runner=THREADS))
    require_exact(grown, 8)
    sink = FilesSink(str(other), overwrite=True)
    deliver([source(pieces(2), fingerprint="beef")], sink, Options(runner=THREADS))
    assert require_exact(other, 2).fingerprint == "beef"


def test_what_a_dead_committer_showed_is_hidden_before_anything_is_computed(tmp_path):
    out = tmp_path / "out"
    killed(out, tmp_path / "cache", "settle", 0, tmp_path)  # all are renamed, by several threads
    assert len(list(out.glob("part-*"))) == 6
    sink = FilesSink(str(out))
    parts = tuple(Labels("f00d", metadata={"languages": "native"}).part(p) for p in pieces(6))
    held = sink.begin(Delivery("f00d", "arrow", parts))
    assert list(out.glob("part-*")) == []
    assert len(held) == 6  # its intent has the receipts
    sink.abort()
    assert not out.exists()


def test_a_disk_that_takes_objects_but_not_the_manifest_shows_nothing(tmp_path):
    script = tmp_path / "driver.py"
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))"
    body = textwrap.dedent(SCRIPT).replace("setattr(LocalStore, operation, fatal)", limit)
    script.write_text(
        body.replace("pieces(6)", "pieces(40)").replace(", ledger_dir=Path(cache)", "")
    )
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "out"), "", "write", "0"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert b"SX402" in done.stderr
    assert b"File too large" in done.stderr
    assert not (tmp_path / "out").exists()


def elsewhere(out: Path, age_s: float) -> Path:
    """Write the lease of a run of another machine, and an object that it staged."""
    folder = out / HIDDEN / DELIVERY.key / "abc"
    folder.mkdir(parents=True)
    lease = folder.with_suffix(".lease")
    lease.write_text(json.dumps({"machine": "elsewhere", "pid": 1, "born": "1"}))
    (folder / "part-00000-aa.bb.arrow").write_bytes(b"staged")
    then = time.time() - age_s
    os.utime(lease, (then, then))
    return lease


def test_what_a_run_elsewhere_stages_is_left_alone_while_its_lease_is_new(tmp_path):
    lease = elsewhere(tmp_path, age_s=LEASE_SECONDS / 2)
    deliver([source(pieces(3))], FilesSink(str(tmp_path)), Options(runner=THREADS))
    assert lease.exists()
    assert (lease.with_suffix("") / "part-00000-aa.bb.arrow").exists()


def test_what_a_run_elsewhere_staged_is_removed_when_its_lease_has_run_out(tmp_path):
    elsewhere(tmp_path, age_s=LEASE_SECONDS * 2)
    deliver([source(pieces(3))], FilesSink(str(tmp_path)), Options(runner=THREADS))
    require_exact(tmp_path, 3)


def test_a_run_that_was_taken_for_dead_publishes_nothing(tmp_path):
    out = tmp_path / "out"
    sink = FilesSink(str(out))
    sink.begin(DELIVERY)
    (lease,) = (out / HIDDEN).rglob("*.lease")
    lease.unlink()
    with pytest.raises(DeliveryError, match="took this one for dead"):
        sink.commit([])
    sink.abort()
    assert not out.exists()


def test_the_turn_of_a_dead_publisher_is_given_on(tmp_path):
    store = LocalStore(tmp_path)
    (tmp_path / HIDDEN).mkdir()
    (tmp_path / HIDDEN / "publishing").write_text('{"run": "x", "lease": ".sxdask/k/x.lease"}')
    lease = Lease(store, "key")
    lease.open()
    with lease.turn():
        pass
    lease.close()
    assert files_below(tmp_path) == []


def test_an_interrupted_run_is_taken_up_in_the_same_process(tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    log.mkdir()
    seen = 0

    def stop(_event):
        nonlocal seen
        seen += 1
        if seen == 5:
            raise KeyboardInterrupt

    work = [source(pieces(10), log=log)]
    options = Options(runner=THREADS, ledger_dir=tmp_path / "cache", keep=True, on_event=stop)
    with pytest.raises(KeyboardInterrupt):
        deliver(work, FilesSink(str(out)), options)
    before = len(list(log.iterdir()))
    options = Options(runner=THREADS, ledger_dir=tmp_path / "cache", keep=True)
    deliver(work, FilesSink(str(out)), options)
    require_exact(out, 10)
    assert len(list(log.iterdir())) - before <= 10 - 4


def test_an_error_is_told_even_if_cleaning_up_fails_too(tmp_path):
    class Failing(FilesSink):
        def write(self, *_):
            raise RequestError("the first error")

        def abort(self):
            raise DeliveryError("the second error")

    with pytest.raises(SxdaskError, match="the first error") as caught:
        deliver([source(pieces(3))], Failing(str(tmp_path)), Options(runner=THREADS))
    assert caught.value.context["left_behind"] == "the second error"
