"""A reader that looks for its result first: the place where workers reuse partitions.

It stands in for the reader of a plan, so that everything built on readers
(arrays, tables, deliveries in any format) reuses results, on the worker and
without the client.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sxdask.core.errors import SxdaskError
from sxdask.core.events import ReadReport
from sxdask.deliver.cache import SUFFIX, result_key
from sxdask.deliver.cache_object import (
    DamagedObjectError,
    array_from_object,
    array_to_object,
    state_from_object,
    state_to_object,
)
from sxdask.deliver.tasks import FoldTask, FoldValue
from sxdask.graph.reader import PartitionRead, PlanReader
from sxdask.rootio.source import local_path, open_source

if TYPE_CHECKING:
    import awkward as ak

    from sxdask.deliver.cache import ResultCache
    from sxdask.graph.fold import Fold
    from sxdask.rootio.model import Conjunct, FileStamp, Piece

_BYTES_PER_SECOND: Final = 500e6  # at which a stored result is read back, measured
_LEAST_SECONDS: Final = 0.25
_WORTH: Final = 10.0
_MOST_CONFIRMED: Final = 100_000

_lock = threading.Lock()
_confirmed: OrderedDict[tuple[str, str, FileStamp], threading.Lock | None] = OrderedDict()


@dataclass(frozen=True)
class CachedReader:
    """`reader`, with results kept in `cache` in the folder `request`.

    `run` is new for each run: a remote file is looked at once a run and
    process, a local one each time, as reading it would do, so that a file that
    has changed never gives rows of its past.
    """

    reader: PlanReader
    cache: ResultCache
    request: str
    run: str

    def __call__(self, piece: Piece | bytes) -> ak.Array:
        """Read `piece` for a Dask collection, whose tasks are not kept."""
        return self.reader(piece)

    def read(self, piece: Piece) -> PartitionRead:
        """Return the stored result of `piece`, or read it and keep the result."""
        name = self.name_of(piece)
        if name is None:
            return self.reader.read(piece)
        found = self._stored(name, piece)
        if found is not None:
            return found
        began = time.perf_counter()
        read = self.reader.read(piece)
        seconds = time.perf_counter() - began
        if not is_worth_keeping(piece, read.report, read.array.nbytes, seconds):
            return read
        kept = self.keep(name, array_to_object(read.array, rows=read.report.entries_out))
        return replace(read, report=read.report + kept)

    def name_of(self, piece: Piece) -> str | None:
        """Return the name of the object for `piece`, None if it can have none."""
        key = result_key(piece)
        return None if key is None else f"{self.request}/{key}{SUFFIX}"

    def keep(self, name: str, data: bytes | None) -> ReadReport:
        """Store an object, if there is one, and return what that adds to the report."""
        if data is None or not self.cache.keep(name, data):
            return ReadReport()
        return ReadReport(results_kept=1, bytes_kept=len(data))

    def load(self, name: str, piece: Piece) -> tuple[bytes, ReadReport] | None:
        """Return a stored object for `piece`, with its report, if the file is still the same."""
        data = self.cache.load(name)
        if data is None:
            return None
        cost = same_file(piece, self.reader, self.run)
        if cost is None:
            return None  # reading says what is wrong with it
        requests, num_bytes = cost
        return data, ReadReport(
            entries_in=piece.num_entries,
            requests=requests,
            bytes_read=num_bytes,
            results_reused=1,
            bytes_reused=len(data),
        )

    def _stored(self, name: str, piece: Piece) -> PartitionRead | None:
        found = self.load(name, piece)
        if found is None:
            return None
        data, report = found
        try:
            array = array_from_object(data)
        except DamagedObjectError:
            self.cache.drop(name)
            return None
        return PartitionRead(array, replace(report, entries_out=len(array)))

    # --- what the rest of a run asks a reader for ---------------------------

    def mock(self) -> ak.Array:
        """Return the result as a typetracer."""
        return self.reader.mock()

    def mock_empty(self, backend: str = "cpu") -> ak.Array:
        """Return the result of a partition without rows."""
        return self.reader.mock_empty(backend)

    @property
    def layouts(self) -> tuple[Any, ...]:
        """Column layouts of each kind of file."""
        return self.reader.layouts

    @property
    def conjuncts(self) -> tuple[Conjunct, ...]:
        """Conditions on rows."""
        return self.reader.conjuncts

    @property
    def output_columns(self) -> frozenset[str]:
        """Branches that the outputs are made of."""
        return self.reader.output_columns

    @property
    def columns(self) -> frozenset[str]:
        """Branches that a partition may read."""
        return self.reader.columns

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return ("sxdask-cached", self.reader.__dask_tokenize__())


@dataclass(frozen=True)
class CachedFoldTask:
    """Return what a fold makes of a piece; its state is kept, the rows are not."""

    reader: CachedReader
    fold: Fold

    def __call__(self, piece: Piece) -> FoldValue:
        """Take the stored state of `piece`, or read it and keep its state."""
        name = self.reader.name_of(piece)
        found = None if name is None else self._stored(name, piece)
        if found is not None:
            return found
        value = FoldTask(self.reader.reader, self.fold.rows)(piece)
        if name is None:
            return value
        kept = self.reader.keep(name, state_to_object(value.state, rows=value.rows))
        return replace(value, report=value.report + kept)

    @cached_property
    def _empty(self) -> Any:
        """The state of no rows; made once for the task."""
        return self.fold.rows(self.reader.mock_empty())

    def _stored(self, name: str, piece: Piece) -> FoldValue | None:
        found = self.reader.load(name, piece)
        if found is None:
            return None
        data, report = found
        try:
            head, state = state_from_object(data, self._empty)
        except DamagedObjectError:
            self.reader.cache.drop(name)
            return None
        return FoldValue(state, head["rows"], replace(report, entries_out=head["rows"]))


def fold_task(reader: Any, fold: Fold) -> FoldTask | CachedFoldTask:
    """Return the task that folds pieces, with stored states where the reader has a cache."""
    if isinstance(reader, CachedReader):
        return CachedFoldTask(reader, fold)
    return FoldTask(reader, fold.rows)


def is_worth_keeping(piece: Piece, report: ReadReport, result_bytes: int, seconds: float) -> bool:
    """Return whether a stored result saves enough.

    Results of remote files, of columns that uproot read and of anything that
    reduces what it reads do. A result that is nearly as large as what was
    decompressed for it, from a file on this machine, is only worth its place
    if computing it took much longer than reading it back would.
    """
    if local_path(piece.url) is None or report.ttree_opens:
        return True
    if 4 * result_bytes <= 3 * report.bytes_decompressed:
        return True
    return seconds > max(_LEAST_SECONDS, _WORTH * result_bytes / _BYTES_PER_SECOND)


def same_file(piece: Piece, reader: PlanReader, run: str) -> tuple[int, int] | None:
    """Return requests and bytes that it took to see that the file is the same; None if it is not.

    It takes the first bytes of the file, with its UUID; a local file is also
    looked at for size and modification time.
    """
    if local_path(piece.url) is not None:
        return _look(piece, reader)
    key = (run, piece.url, piece.stamp)
    with _lock:
        if key in _confirmed and _confirmed[key] is None:
            return 0, 0
        waiting = _confirmed.setdefault(key, threading.Lock()) or threading.Lock()
        while len(_confirmed) > _MOST_CONFIRMED:
            _confirmed.popitem(last=False)
    with waiting:  # others that ask about this file wait for one answer
        if key in _confirmed and _confirmed[key] is None:
            return 0, 0
        cost = _look(piece, reader)
        if cost is not None:
            _confirmed[key] = None
        return cost


def _look(piece: Piece, reader: PlanReader) -> tuple[int, int] | None:
    nothing = np.empty(0, np.int64)
    try:
        with open_source(piece.url, piece.stamp, reader.options) as source:
            source.fetch(nothing, nothing, threads=1)
            source.check()
            return source.requests, source.bytes_read
    except SxdaskError:
        return None
