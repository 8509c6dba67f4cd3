"""Deliveries from reader to manifest, interrupted, repeated, resumed; on threads and a cluster."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import dataclass
from pathlib import Path

import awkward as ak
import pyarrow as pa
import pyarrow.dataset as pads
import pytest

from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.errors import CorruptBasketError, DataError, FileMissingError, RequestError
from sxdask.core.events import Event, PartitionDone, PartitionFailed, Progress, RunFinished, advance
from sxdask.deliver.delivery import Options, deliver
from sxdask.deliver.encode import metadata_of
from sxdask.deliver.manifest import Manifest
from sxdask.deliver.runners.cluster import ClusterRunner
from sxdask.deliver.runners.processes import ProcessRunner
from sxdask.deliver.runners.threads import ThreadRunner
from sxdask.deliver.sinks.files import FilesSink
from sxdask.deliver.tasks import Labels
from sxdask.deliver.work import Source
from tests.readers import NumberReader, expected, numbers, piece, pieces, source

THREADS = ThreadRunner(2)


@dataclass(frozen=True)
class FlakyReader:
    """Fails on the pieces in `bad` for as long as the file `fault` exists."""

    bad: frozenset[int]
    fault: Path

    def read(self, item):
        if item.index in self.bad and self.fault.exists():
            raise CorruptBasketError("a basket cannot be decoded", file=item.url)
        return NumberReader().read(item)

    def mock_empty(self):
        return numbers(0, 0)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("format_name", ["arrow", "parquet"])
@pytest.mark.parametrize("runner", [THREADS, ProcessRunner(2)], ids=["threads", "processes"])
def test_what_is_delivered_reads_back_equal(tmp_path, format_name, runner):
    found = pieces(9)
    manifest = deliver(
        [source(found, format_name=format_name)],
        FilesSink(str(tmp_path / "out"), format_name=format_name),
        Options(runner=runner),
        title="numbers",
    )
    for loaded in (manifest, Manifest.load(str(tmp_path / "out"))):
        assert loaded == manifest
        assert loaded.verify() == []
        back = loaded.to_awkward()
        assert str(back.type) == str(expected(found).type)
        assert ak.array_equal(back, expected(found))
    assert (manifest.status, manifest.rows, len(manifest.files)) == ("complete", 90, 9)
    lazily = pads.dataset(manifest.files, format=format_name)
    assert lazily.count_rows() == manifest.dataset().count_rows() == 90


def test_a_partition_says_where_it_comes_from(tmp_path):
    manifest = deliver([source(pieces(6))], FilesSink(str(tmp_path)), Options(runner=THREADS))
    with pa.memory_map(manifest.files[5]) as file:
        facts = metadata_of(pa.ipc.open_file(file).read_all())
    assert facts["file"] == "/data/1.root"
    assert (facts["entry_start"], facts["entry_stop"]) == ("10", "20")
    assert (facts["fingerprint"], facts["languages"]) == ("f00d", "native")
    assert "file" not in metadata_of(manifest.to_table())


def test_an_equal_delivery_reads_nothing_and_changes_nothing(tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    log.mkdir()
    states = []
    for _ in range(2):
        deliver([source(pieces(4), log=log)], FilesSink(str(out)), Options(runner=THREADS))
        stats = {path.name: path.stat() for path in out.iterdir()}
        states.append({name: (stat.st_mtime_ns, stat.st_ino) for name, stat in stats.items()})
    assert states[0] == states[1]
    assert len(list(log.iterdir())) == 4


def test_a_dataset_that_grew_costs_what_is_new(tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    log.mkdir()
    deliver([source(pieces(4), log=log)], FilesSink(str(out)), Options(runner=THREADS))
    manifest = deliver([source(pieces(6), log=log)], FilesSink(str(out)), Options(runner=THREADS))
    assert len(list(log.iterdir())) == 6
    assert ak.array_equal(manifest.to_awkward(), expected(pieces(6)))


def test_another_request_into_the_same_place_is_refused_before_anything_is_read(tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    log.mkdir()
    deliver([source(pieces(2))], FilesSink(str(out)), Options(runner=THREADS))
    with pytest.raises(RequestError, match="another delivery"):
        deliver([source(pieces(2), fingerprint="beef", log=log)], FilesSink(str(out)))
    assert list(log.iterdir()) == []
    assert Manifest.load(str(out)).fingerprint == "f00d"


def test_a_failure_publishes_nothing_and_leaves_nothing(tmp_path):
    fault = tmp_path / "fault"
    fault.touch()
    reader = FlakyReader(frozenset({3}), fault)
    out = tmp_path / "out"
    with pytest.raises(CorruptBasketError, match="basket"):
        deliver(
            [Source(reader, pieces(6), Labels("f00d"))],
            FilesSink(str(out)),
            Options(runner=THREADS, ledger_dir=tmp_path / "cache"),
        )
    assert not out.exists()
    assert files_below(tmp_path / "cache") == []
    with pytest.raises(FileMissingError, match="no manifest"):
        Manifest.load(str(out))


def test_skipped_partitions_are_named_and_completed_later(tmp_path):
    fault = tmp_path / "fault"
    log: list[Event] = []
    fault.touch()
    sources = [Source(FlakyReader(frozenset({1, 4}), fault), pieces(6), Labels("f00d"))]
    out = str(tmp_path / "out")
    partial = deliver(
        sources, FilesSink(out), Options(runner=THREADS, on_error="skip", on_event=log.append)
    )
    assert partial.status == "partial"
    assert [(item.index, item.code) for item in partial.failed] == [(1, "SX302"), (4, "SX302")]
    assert "a basket cannot be decoded" in str(partial)
    assert partial.rows == 40
    assert sum(isinstance(item, PartitionFailed) for item in log) == 2
    fault.unlink()
    complete = deliver(sources, FilesSink(out), Options(runner=THREADS))
    assert (complete.status, complete.rows) == ("complete", 60)
    assert ak.array_equal(Manifest.load(out).to_awkward(), expected(pieces(6)))


def test_events_add_up(tmp_path):
    events: list[Event] = []
    deliver(
        [source(pieces(6))],
        FilesSink(str(tmp_path)),
        Options(runner=THREADS, on_event=events.append),
    )
    state = Progress()
    for event in events:
        state = advance(state, event)
    assert (state.partitions, state.files, state.entries) == (6, 2, 60)
    assert (state.done, state.files_done, state.rows) == (6, 2, 60)
    assert state.report.bytes_read == 600
    assert isinstance(events[-1], RunFinished)
    assert sum(isinstance(event, PartitionDone) for event in events) == 6


def test_several_outputs_are_several_tables(tmp_path):
    manifest = deliver(
        [source(pieces(3), output="muons"), source(pieces(2), output="jets")],
        FilesSink(str(tmp_path)),
        Options(runner=THREADS),
    )
    assert manifest.outputs == ("muons", "jets")
    assert len(manifest.to_awkward("muons")) == 30
    assert len(manifest.to_awkward("jets")) == 20
    with pytest.raises(RequestError, match="2 outputs"):
        manifest.to_table()


@dataclass(frozen=True)
class ShiftedReader:
    """The numbers, plus 1000."""

    def read(self, item):
        return NumberReader().read(piece(0, item.entry_start + 1000, item.entry_stop + 1000))

    def mock_empty(self):
        return numbers(0, 0)


def test_two_sources_of_one_output_follow_each_other(tmp_path):
    labels = Labels("f00d")
    manifest = deliver(
        [Source(NumberReader(), pieces(2), labels), Source(ShiftedReader(), pieces(2), labels)],
        FilesSink(str(tmp_path)),
        Options(runner=THREADS),
    )
    assert [entry.index for entry in manifest.partitions] == [0, 1, 2, 3]
    assert len({entry.content_key for entry in manifest.partitions}) == 4
    found = manifest.to_awkward().n.to_list()
    assert found == [*range(20), *range(1000, 1020)]


def test_a_delivery_without_partitions_keeps_its_columns(tmp_path):
    deliver([source([])], FilesSink(str(tmp_path)), Options(runner=THREADS))
    back = Manifest.load(str(tmp_path)).to_awkward()
    assert str(back.type) == "0 * {n: int64, items: var * float32}"


def test_partitions_without_rows_keep_their_columns(tmp_path):
    found = [piece(0, 0, 0), piece(1, 0, 5), piece(2, 5, 5)]
    manifest = deliver([source(found)], FilesSink(str(tmp_path)), Options(runner=THREADS))
    assert ak.array_equal(manifest.to_awkward(), numbers(0, 5))
    with pa.memory_map(manifest.files[0]) as file:
        empty = pa.ipc.open_file(file).read_all()
    assert empty.schema.names == ["n", "items"]
    assert empty.schema.equals(manifest.to_table().schema)


def test_no_credential_is_delivered(tmp_path):
    url = "https://me:hunter2@host/a.root?X-Amz-Signature=abcdef"
    manifest = deliver(
        [source([piece(0, 0, 5, url=url)])], FilesSink(str(tmp_path)), Options(runner=THREADS)
    )
    everything = b"".join((tmp_path / name).read_bytes() for name in files_below(tmp_path))
    for text in (everything.decode("latin1"), repr(manifest), manifest._repr_html_()):
        assert "hunter2" not in text
        assert "abcdef" not in text


SCRIPT = """
    import sys, time
    from dataclasses import dataclass
    from pathlib import Path
    from sxdask.deliver.delivery import Options, deliver
    from sxdask.deliver.work import Source
    from sxdask.deliver.runners.threads import ThreadRunner
    from sxdask.deliver.sinks.files import FilesSink
    from sxdask.deliver.tasks import Labels
    from tests.readers import NumberReader, pieces

    @dataclass(frozen=True)
    class Slow:
        inner: NumberReader
        def read(self, piece):
            time.sleep(0.05)
            return self.inner.read(piece)
        def mock_empty(self):
            return self.inner.mock_empty()

    out, log, cache, keep = sys.argv[1:]
    reader = Slow(NumberReader(Path(log)))
    options = Options(runner=ThreadRunner(2), ledger_dir=Path(cache), keep=keep == "keep",
                      on_event=lambda event: print(type(event).__name__, flush=True))
    deliver([Source(reader, pieces(40), Labels("f00d"))], FilesSink(out), options)
"""


@pytest.mark.parametrize(
    ("number", "keep"),
    [(signal.SIGKILL, "drop"), (signal.SIGINT, "keep"), (signal.SIGINT, "drop")],
    ids=["killed", "interrupted and kept", "interrupted"],
)
def test_an_interrupted_delivery_shows_nothing_and_goes_on_where_it_stopped(tmp_path, number, keep):
    script, out, log, cache = (tmp_path / name for name in ("s.py", "out", "log", "cache"))
    script.write_text(textwrap.dedent(SCRIPT))
    log.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(out), str(log), str(cache), keep],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert process.stdout is not None
    for _ in range(8):
        assert process.stdout.readline()
    process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode != 0
    left = files_below(out) if out.exists() else []
    assert all(name.startswith(".sxdask/") for name in left)
    if number == signal.SIGINT and keep == "drop":
        assert left == []
        assert files_below(cache) == []
        return
    before = len(list(log.iterdir()))
    stored = len(left)
    assert stored >= 6
    manifest = deliver(
        [Source(NumberReader(log), pieces(40), Labels("f00d"))],
        FilesSink(str(out)),
        Options(runner=THREADS, ledger_dir=cache),
    )
    again = len(list(log.iterdir())) - before
    assert again <= 40 - 6
    assert ak.array_equal(manifest.to_awkward(), expected(pieces(40)))
    assert manifest.verify() == []
    assert files_below(cache) == []
    assert len(files_below(out)) == 41


@dataclass(frozen=True)
class SlowReader:
    """Takes its time, so that a worker can be killed in the middle."""

    log: Path

    def read(self, item):
        time.sleep(0.03)
        (self.log / f"{os.getpid()}-{item.index}").touch()
        return NumberReader().read(item)

    def mock_empty(self):
        return numbers(0, 0)


def test_a_delivery_from_a_cluster_survives_the_death_of_its_workers(tmp_path):
    out, log = tmp_path / "out", tmp_path / "log"
    log.mkdir()
    with LocalBackend(2, threads_per_worker=1) as client:
        done = 0

        def kill_now_and_then(event):
            nonlocal done
            done += isinstance(event, PartitionDone)
            if done in {5, 30}:
                done += 1
                newest = max(log.iterdir(), key=lambda path: path.stat().st_mtime_ns)
                os.kill(int(newest.name.split("-")[0]), signal.SIGKILL)

        manifest = deliver(
            [Source(SlowReader(log), pieces(60), Labels("f00d"))],
            FilesSink(str(out)),
            Options(runner=ClusterRunner(client), on_event=kill_now_and_then),
        )
    assert ak.array_equal(manifest.to_awkward(), expected(pieces(60)))
    assert manifest.verify() == []
    assert len(files_below(out)) == 61


def test_flipped_bits_and_missing_objects_are_found(tmp_path):
    manifest = deliver([source(pieces(3))], FilesSink(str(tmp_path)), Options(runner=THREADS))
    first, second, third = map(Path, manifest.files)
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.write_bytes(data)
    second.unlink()
    third.write_bytes(third.read_bytes()[:-10])
    problems = manifest.verify()
    assert [text.split(": ")[1].split(",")[0] for text in problems] == [
        "checksum differs",
        "missing",
        f"{manifest.partitions[2].bytes - 10} bytes",
    ]
    with pytest.raises(DataError, match="missing or cut"):
        manifest.to_table()


def test_a_manifest_of_the_future_is_refused(tmp_path):
    deliver([source(pieces(1))], FilesSink(str(tmp_path)), Options(runner=THREADS))
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 99}))
    with pytest.raises(DataError, match="version 99"):
        Manifest.load(str(tmp_path))


def test_a_manifest_travels_and_prints(tmp_path):
    manifest = deliver(
        [source(pieces(30))], FilesSink(str(tmp_path)), Options(runner=THREADS), title="<b>&"
    )
    assert pickle.loads(pickle.dumps(manifest)) == manifest
    assert "30 partitions, 300 rows" in repr(manifest)
    html = manifest._repr_html_()
    assert "&lt;b&gt;&amp;" in html
    assert "and 10 more" in html
