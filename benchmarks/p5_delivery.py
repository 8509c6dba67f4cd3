"""P5: tables that lie in memory, delivered and written by pyarrow; the first partition in hand.

The delivery does all that a delivery does (Arrow tables from arrays, objects of
the attempt, checksums, receipts in the ledger, renaming, the manifest). Its
reader has the arrays in memory already, so that reading is not counted. The
peer has Arrow tables, and pyarrow writes one file each, with the same threads,
compression and row groups, straight under the final name, and waits as we do
until the disk has it.
"""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

import sxdask as sx
from benchmarks.data import folder, hundred_columns, one_file
from benchmarks.harness import Row, Times, in_turn, paired_row
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.events import ReadReport
from sxdask.core.settings import load_settings
from sxdask.deliver.delivery import Options, deliver
from sxdask.deliver.format import BATCH_BYTES
from sxdask.deliver.runners.threads import ThreadRunner
from sxdask.deliver.sinks.files import FilesSink
from sxdask.deliver.tasks import Labels
from sxdask.deliver.work import Source

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import awkward as ak

    from sxdask.rootio.model import Piece

NUM_EVENTS = 1_000_000
_THREADS = 2
_PARTITION_BYTES = 8 * 1024 * 1024
_WAITING = 1_000
_MEGA = 1_000_000


@dataclass(frozen=True, slots=True)
class _Read:
    array: ak.Array
    report: ReadReport
    learned: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _InMemory:
    """A reader that has read everything before; `arrays` by the piece's number."""

    arrays: Mapping[int, ak.Array]
    nothing: ak.Array

    def read(self, piece: Piece) -> _Read:
        return _Read(self.arrays[piece.index], ReadReport(), {})

    def mock_empty(self) -> ak.Array:
        return self.nothing


def rows(runs: int) -> list[Row]:
    """Measure both formats, and how soon a stream begins."""
    path = one_file(NUM_EVENTS, extra=40, cluster=10_000)
    source = _source(path)
    arrays = source.reader.arrays  # type: ignore[attr-defined]
    tables = [
        source.labels.table(arrays[piece.index], source.labels.part(piece))
        for piece in source.pieces
    ]
    place = folder() / "p5"
    shutil.rmtree(place, ignore_errors=True)  # of a run that was ended
    try:
        found = [
            _delivery("arrow", source, tables, place / "arrow", runs, _write_arrow),
            _delivery("parquet", source, tables, place / "parquet", runs, _write_parquet),
        ]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return [*found, _first_partition(runs)]


def _source(path: Path) -> Source:
    settings = replace(load_settings(), partition_bytes=_PARTITION_BYTES)
    query = sx.dataset(path, "Events", settings=settings).select(*hundred_columns(path))
    (table,) = query._compiled.tables  # noqa: SLF001 - a benchmark looks inside
    arrays = {piece.index: table.reader.read(piece).array for piece in table.pieces}
    return Source(_InMemory(arrays, table.reader.mock_empty()), table.pieces, Labels("p5"))


def _delivery(
    name: str,
    source: Source,
    tables: list[pa.Table],
    place: Path,
    runs: int,
    write: Callable[[pa.Table, Path], None],
) -> Row:
    source = replace(source, labels=replace(source.labels, format=name))
    runner = ThreadRunner(_THREADS)

    def ours() -> int:
        sink = FilesSink(str(place / "ours"), format_name=name)
        return deliver([source], sink, Options(runner=runner, ledger_dir=place / "ledgers")).rows

    def peer() -> int:
        target = place / "peer"
        target.mkdir(parents=True)
        with ThreadPoolExecutor(_THREADS) as pool:
            names = [target / f"{number}.{name}" for number in range(len(tables))]
            list(pool.map(write, tables, names))
        return sum(table.num_rows for table in tables)

    times = in_turn(
        ours,
        peer,
        lambda a, b: a == b == _rows_in(place, name),
        runs=runs,
        before=lambda: shutil.rmtree(place, ignore_errors=True),
    )
    size = sum(table.nbytes for table in tables)
    what = f"{name}: {len(tables)} tables of 100 columns, {size / _MEGA:.0f} MB in all"
    return paired_row("P5", what, times, 0.85)


def _rows_in(place: Path, name: str) -> int:
    """Count the rows of both sides, which must be the same."""
    counts = {
        pa.dataset.dataset(sorted((place / side).glob(f"*.{name}")), format=name).count_rows()
        for side in ("ours", "peer")
    }
    return int(counts.pop()) if len(counts) == 1 else -1


def _write_arrow(table: pa.Table, path: Path) -> None:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with path.open("wb") as file:
        with pa.ipc.new_file(file, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=_batch_rows(table))
        os.fsync(file.fileno())


def _write_parquet(table: pa.Table, path: Path) -> None:
    with path.open("wb") as file:
        pq.write_table(table, file, compression="zstd", row_group_size=_batch_rows(table))
        os.fsync(file.fileno())


def _batch_rows(table: pa.Table) -> int:
    return max(1, int(table.num_rows * BATCH_BYTES // max(table.nbytes, 1)))


def _first_partition(runs: int) -> Row:
    """Time from a new query to its first partition, with 1 000 of them, on a warm cluster."""
    path = one_file(NUM_EVENTS, cluster=NUM_EVENTS // _WAITING)
    settings = replace(load_settings(), partition_bytes=1)
    with LocalBackend(2, threads_per_worker=1) as client:

        def first() -> float:
            start = time.perf_counter()
            data = sx.dataset(path, "Events", settings=settings)
            query = data.where("nMuon > 0").select("Muon_pt", "MET_pt")
            with query.stream(client=client, cache=False) as stream:
                next(stream)
                taken = time.perf_counter() - start
                assert stream.summary.partitions == _WAITING, stream.summary
            return taken

        first()  # the workers have imported what they need
        times = Times(tuple(first() for _ in range(max(runs, 5))))
    what = f"first of {_WAITING:,} partitions in hand, new query, warm local cluster"
    return Row("P5", what, str(times), "1 s", times.middle, 1.0, at_most=True)
