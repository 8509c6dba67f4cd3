"""Statistics of baskets that reading has taught, kept next to the file's index.

They are one Arrow IPC file with a row per column. Values are stored as the 64
bits that they are (`dtype` says how to read them), so that nothing is rounded.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa

from sxdask.rootio.atomic import replace_bytes
from sxdask.rootio.model import ColumnLayout, ColumnZones, FileStamp, Piece

if TYPE_CHECKING:
    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.store import IndexStore

ZONES_SUFFIX = ".zones"
_META = b"sxdask.zones"
_VERSION = 1

# One lock for all files: a process has one of these for each of many thousands.
_loading = threading.Lock()

ZoneReader: TypeAlias = Callable[
    [Piece, Mapping[str, ColumnLayout], Sequence[str]], Mapping[str, ColumnZones]
]


class ZoneSidecar:
    """The statistics of one file as they are on disk now; empty if they are of another file."""

    __slots__ = ("_known", "_seen", "_stamp", "path")

    def __init__(self, path: str, stamp: FileStamp) -> None:
        self.path = path
        self._stamp = stamp
        self._seen: tuple[int, int, int] | None = None
        self._known: Mapping[str, ColumnZones] = {}

    def load(self) -> Mapping[str, ColumnZones]:
        """Return what is known, by column; the file is read again when it has changed."""
        try:
            state = os.stat(self.path)  # noqa: PTH116 - once for each of many files
        except OSError:
            return {}
        seen = (state.st_mtime_ns, state.st_size, state.st_ino)
        with _loading:
            if seen != self._seen:
                self._known = self._read()
                self._seen = seen
            return self._known

    def complete(self) -> frozenset[str]:
        """Return the columns of which all baskets are known."""
        known = self.load()
        return known.complete if isinstance(known, _Zones) else frozenset()

    def merge(self, index: FileIndex, piece: Piece, learned: Mapping[str, ColumnZones]) -> bool:
        """Add what `piece` taught and replace the file; the caller holds its lock.

        Returns whether there was anything new.
        """
        known = dict(self.load())
        changed = False
        for name, zones in learned.items():
            merged = _merge_column(index, piece, name, known.get(name), zones)
            if merged is not None:
                known[name] = merged
                changed = True
        if changed:
            replace_bytes(Path(self.path), _encode(known, self._stamp))
        return changed

    def news(self, index: FileIndex, piece: Piece, learned: Mapping[str, ColumnZones]) -> bool:
        """Tell whether `merge` would add anything, without writing."""
        known = self.load()
        return any(
            _merge_column(index, piece, name, known.get(name), zones) is not None
            for name, zones in learned.items()
        )

    def _read(self) -> Mapping[str, ColumnZones]:
        try:
            with pa.memory_map(self.path) as file, pa.ipc.open_file(file) as reader:
                meta = json.loads((reader.schema.metadata or {}).get(_META, b"{}"))
                batch = reader.get_batch(0)
            stamp = [self._stamp.size, self._stamp.mark, self._stamp.uuid]
            if meta.get("version") != _VERSION or meta.get("stamp") != stamp:
                return {}
            batch.validate()
            return _Zones(batch)
        except (OSError, ValueError, LookupError, pa.ArrowException):
            return {}  # a damaged file teaches nothing and is replaced by the next merge


class _Zones(Mapping[str, ColumnZones]):
    """Rows of the file as columns' statistics, each made when first asked for."""

    def __init__(self, batch: Any) -> None:
        self._rows = {name: row for row, name in enumerate(batch.column("name").to_pylist())}
        self._dtypes = batch.column("dtype").to_pylist()
        self._batch = batch
        self._made: dict[str, ColumnZones] = {}  # each partition of a plan asks again

    def __getitem__(self, name: str) -> ColumnZones:
        made = self._made.get(name)
        if made is None:
            made = self._made[name] = self._column(self._rows[name])
        return made

    def _column(self, row: int) -> ColumnZones:
        dtype = np.dtype(self._dtypes[row])
        counts = self._batch.column("count_low").is_valid()[row].as_py()
        return ColumnZones(
            known=self._slice("known", row).astype(np.bool_),
            low=self._slice("low", row).view(dtype),
            high=self._slice("high", row).view(dtype),
            count_low=self._slice("count_low", row) if counts else None,
            count_high=self._slice("count_high", row) if counts else None,
        )

    @cached_property
    def complete(self) -> frozenset[str]:
        """The columns of which all baskets are known."""
        lists = self._batch.column("known")
        unknown = np.concatenate(([0], np.cumsum(_numbers(lists.values) == 0)))
        at_edges = unknown[_numbers(lists.offsets)]
        whole = at_edges[1:] == at_edges[:-1]
        return frozenset(name for name, row in self._rows.items() if whole[row])

    def _slice(self, column: str, row: int) -> Any:
        lists = self._batch.column(column)
        begin, end = _numbers(lists.offsets)[row : row + 2].tolist()
        return _numbers(lists.values)[begin:end]

    def __contains__(self, name: object) -> bool:
        return name in self._rows

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _numbers(array: Any) -> Any:
    """Return the values of an Arrow array without missing ones.

    ``to_numpy`` does the same and imports pandas for it, a third of a second.
    """
    values = np.frombuffer(array.buffers()[1], np.dtype(str(array.type)))
    return values[array.offset : array.offset + len(array)]


def _encode(zones: Mapping[str, ColumnZones], stamp: FileStamp) -> bytes:
    low = [item.low.view(np.int64) for item in zones.values()]
    high = [item.high.view(np.int64) for item in zones.values()]
    known = [item.known.astype(np.uint8) for item in zones.values()]
    columns = {
        "name": pa.array(list(zones), pa.string()),
        "dtype": pa.array([item.low.dtype.name for item in zones.values()], pa.string()),
        "known": pa.array(known, pa.list_(pa.uint8())),
        "low": pa.array(low, pa.list_(pa.int64())),
        "high": pa.array(high, pa.list_(pa.int64())),
        "count_low": pa.array([item.count_low for item in zones.values()], pa.list_(pa.int64())),
        "count_high": pa.array([item.count_high for item in zones.values()], pa.list_(pa.int64())),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    meta = {"version": _VERSION, "stamp": [stamp.size, stamp.mark, stamp.uuid]}
    batch = batch.replace_schema_metadata({_META: json.dumps(meta)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _merge_column(
    index: FileIndex,
    piece: Piece,
    name: str,
    before: ColumnZones | None,
    learned: ColumnZones,
) -> ColumnZones | None:
    """Return the statistics of all baskets with `learned` put in; None if there is nothing new."""
    rows = piece.baskets.get(name)
    if rows is None or name not in index.layout.columns or not learned.known.any():
        return None
    all_starts = index.column(name).entry_starts
    count = len(rows.seek)
    # An empty basket starts where the next one does; a piece begins at the last of them.
    first = int(all_starts.searchsorted(rows.entry_starts[0], side="right")) - 1
    if not np.array_equal(all_starts[first : first + count + 1], rows.entry_starts):
        return None
    if (
        before is None
        or before.low.dtype != learned.low.dtype
        or len(before.known) != (len(all_starts) - 1)
    ):
        before = _nothing(len(all_starts) - 1, learned)
    new = learned.known & ~before.known[first : first + count]
    if not new.any():
        return None
    at = np.flatnonzero(new)
    return ColumnZones(
        *(_put(getattr(before, part), getattr(learned, part), first, at) for part in _PARTS)
    )


_PARTS = ("known", "low", "high", "count_low", "count_high")


def _put(before: Any, learned: Any, first: int, at: Any) -> Any:
    if before is None or learned is None:
        return None
    values = before.copy()
    values[first + at] = learned[at]
    return values


def _nothing(count: int, like: ColumnZones) -> ColumnZones:
    counts = None if like.count_low is None else np.zeros(count, np.int64)
    return ColumnZones(
        known=np.zeros(count, np.bool_),
        low=np.zeros(count, like.low.dtype),
        high=np.zeros(count, like.low.dtype),
        count_low=counts,
        count_high=counts,
    )


def build_stats(
    store: IndexStore,
    index: FileIndex,
    reader: ZoneReader,
    names: Sequence[str] | None = None,
) -> int:
    """Read columns of a whole file for their statistics and keep them in `store`.

    Parameters
    ----------
    reader
        Returns the statistics of named columns of a piece, aligned with its
        baskets; ``zones_of`` of `sxdask.rootio.read`.
    names
        The columns; by default every one that the fast path decodes.

    Returns
    -------
    int
        How many columns have statistics of all their baskets now.
    """
    columns = index.layout.columns
    chosen = tuple(columns if names is None else names)
    # All entries at once: a basket that a piece cuts would stay unknown.
    piece = index.piece(0, 0, index.num_entries, chosen, chosen)
    found = reader(piece, {name: columns[name] for name in chosen}, chosen)
    store.learn(piece, found)
    return sum(bool(zones.known.all()) for zones in found.values())
