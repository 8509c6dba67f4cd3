"""Rows of one piece that pass a selection: zones first, then predicates, then the rest.

1. Ranges of entries whose statistics rule a condition out are dropped.
2. Conditions are evaluated one after the other, each on the rows that are
   still alive; only baskets that hold such a row are read.
3. The remaining columns are read for the survivors alone.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sxdask.core.errors import SelectionTypeError, SxdaskError
from sxdask.core.types import ENTRY, ENTRY_COLUMNS
from sxdask.rootio.decode import ColumnValues
from sxdask.rootio.model import ReadOptions, ScanResult
from sxdask.rootio.piece import ColumnData, PieceReader, take_rows
from sxdask.rootio.source import open_source
from sxdask.rootio.zones import may_match, zone_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.rootio.model import BoolArray, ColumnLayout, Conjunct, Int64Array, Piece, ScanSpec

_MOST_REMEMBERED = 1000


class Selectivity:
    """How often conditions held so far in this process, by their text."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._seen: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def observe(self, text: str, rows_in: int, rows_out: int) -> None:
        """Add the outcome of one evaluation."""
        with self._lock:
            old_in, old_out = self._seen.pop(text, (0, 0))
            self._seen[text] = (old_in + rows_in, old_out + rows_out)
            if len(self._seen) > _MOST_REMEMBERED:
                self._seen.popitem(last=False)

    def removed(self, text: str) -> float:
        """Return the fraction of rows that the condition removes: one half if never seen."""
        with self._lock:
            rows_in, rows_out = self._seen.get(text, (2, 1))
        return 1 - rows_out / rows_in if rows_in else 0.5

    def clear(self) -> None:
        """Forget everything."""
        with self._lock:
            self._seen.clear()


SELECTIVITY = Selectivity()


def scan(
    piece: Piece,
    layouts: Mapping[str, ColumnLayout],
    spec: ScanSpec,
    options: ReadOptions | None = None,
) -> ScanResult:
    """Read the rows of `piece` that pass every conjunct of `spec`.

    Parameters
    ----------
    piece
        Entry range of one file, with the index rows of the columns of `spec`.
    layouts
        How each column of `spec` is encoded, by name.
    spec
        Columns that are returned and conditions on rows. A column may serve
        several conditions and the output; it is read once.
    options
        How to read; the defaults where None.

    Returns
    -------
    ScanResult
        Each column equals what uproot reads for the piece's entry range, cut
        to the passing rows in order. In the report, requests and bytes count
        all that was fetched: baskets with their key headers, holes that were
        read through, the 80 bytes of file header that come with each batch
        of requests, and whatever uproot reads for columns that go through
        it. `baskets_skipped` are the baskets of requested columns in the
        piece that were not read.

    Raises
    ------
    StaleIndexError
        If the file is not the one that was indexed.
    SelectionTypeError
        If a condition fails on the rows that are alive when its turn comes.
    DataError, DatasetError, SystemFaultError
        If bytes are missing or damaged; context has file, tree and branch.
    """
    options = ReadOptions() if options is None else options
    asked = dict.fromkeys([*spec.columns, *(c for j in spec.conjuncts for c in j.columns)])
    names = tuple(name for name in asked if name not in ENTRY_COLUMNS)
    try:
        with open_source(piece.url, piece.stamp, options) as source:
            reader = PieceReader(piece, layouts, options, source)
            run = _Scan(piece, spec, reader)
            arrays = run.arrays(layouts)
            if not source.requests:  # nothing was read, so nothing was compared with the index
                source.fetch(run.rows[:0], run.rows[:0], threads=1)
            source.check()
    except SxdaskError as error:
        span = (piece.entry_start, piece.entry_stop)
        error.add(file=piece.url, tree=piece.tree, entries=span)
        raise
    report = reader.report(names, len(run.rows), run.seconds)
    return ScanResult(arrays, len(run.rows), report, reader.learned)


class _Scan:
    """The rows still alive and the columns read so far, each for the rows of its time."""

    def __init__(self, piece: Piece, spec: ScanSpec, reader: PieceReader) -> None:
        self.seconds = 0.0
        self._piece = piece
        self._spec = spec
        self._reader = reader
        self._columns: dict[str, tuple[Int64Array, ColumnData]] = {}
        self.rows = self._possible_rows()

    def arrays(self, layouts: Mapping[str, ColumnLayout]) -> dict[str, ak.Array]:
        """Evaluate all conditions, then return the columns for the survivors."""
        todo = list(self._spec.conjuncts)
        while todo and len(self.rows):
            best = min(todo, key=self._rank)
            todo.remove(best)
            self._apply(best, layouts)
        return self._current(self._spec.columns, layouts)

    def _possible_rows(self) -> Int64Array:
        """Return the entries that the statistics do not rule out."""
        piece = self._piece
        tests = [conjunct.zone for conjunct in self._spec.conjuncts if conjunct.zone is not None]
        if not (tests and piece.zones):
            return np.arange(piece.entry_start, piece.entry_stop, dtype=np.int64)
        edges = zone_blocks(piece.cluster_starts, tests, piece.baskets)
        starts, stops = edges[:-1], edges[1:]
        alive = np.ones(len(starts), np.bool_)
        for test in tests:
            alive &= may_match(test, piece.zones, piece.baskets, starts, stops)
        ranges = [
            np.arange(start, stop, dtype=np.int64)
            for start, stop in zip(starts[alive].tolist(), stops[alive].tolist(), strict=True)
        ]
        return np.concatenate([np.empty(0, np.int64), *ranges])

    def _rank(self, conjunct: Conjunct) -> tuple[bool, float]:
        """Order conditions: safe ones first, then by bytes read for each row removed."""
        fresh = [name for name in dict.fromkeys(conjunct.columns) if self._is_unread(name)]
        cost = sum(map(self._reader.cost, fresh))
        return conjunct.fallible, cost / max(SELECTIVITY.removed(conjunct.text), 0.01)

    def _apply(self, conjunct: Conjunct, layouts: Mapping[str, ColumnLayout]) -> None:
        columns = self._current(conjunct.columns, layouts)
        begin = time.perf_counter()
        mask = self._mask(conjunct, columns)
        SELECTIVITY.observe(conjunct.text, len(mask), int(np.count_nonzero(mask)))
        self.rows = self.rows[mask]
        self.seconds += time.perf_counter() - begin

    def _mask(self, conjunct: Conjunct, columns: Mapping[str, ak.Array]) -> BoolArray:
        try:
            mask = np.asarray(conjunct.mask(columns))
        except SxdaskError:
            raise
        except Exception as error:
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise SelectionTypeError(
                f"{conjunct.text} cannot be evaluated on {len(self.rows)} entries of "
                f"{self._piece.url!r}: {reason}",
                text=conjunct.text,
            ) from error
        if mask.shape != self.rows.shape or mask.dtype != np.bool_:
            raise SelectionTypeError(
                f"{conjunct.text} does not give one boolean for each entry "
                f"(shape {mask.shape} of {mask.dtype} for {len(self.rows)} entries)",
                hint="reduce lists with any(...) or all(...)",
                text=conjunct.text,
            )
        return mask

    def _current(
        self, names: tuple[str, ...], layouts: Mapping[str, ColumnLayout]
    ) -> dict[str, ak.Array]:
        """Return columns for the rows alive now, reading those not read yet."""
        unread = [name for name in dict.fromkeys(names) if self._is_unread(name)]
        if unread:
            for name, column in self._reader.read(unread, self.rows).items():
                self._columns[name] = (self.rows, column)
        begin = time.perf_counter()
        arrays = {name: self._cut(name, layouts[name]) for name in dict.fromkeys(names)}
        self.seconds += time.perf_counter() - begin
        return arrays

    def _is_unread(self, name: str) -> bool:
        return name not in self._columns and name not in ENTRY_COLUMNS

    def _cut(self, name: str, layout: ColumnLayout) -> ak.Array:
        """Return one column for the rows alive now and keep it so."""
        if layout.kind == "entry":
            first = self._piece.first_entry if name == ENTRY else 0
            return ak.Array(ak.contents.NumpyArray(self.rows + first))
        rows, column = self._columns[name]
        if rows is not self.rows:
            if len(rows) != len(self.rows):
                chosen = np.searchsorted(rows, self.rows)
                column = take_rows(column, chosen)
            self._columns[name] = (self.rows, column)
        return column.to_awkward(layout) if isinstance(column, ColumnValues) else column
