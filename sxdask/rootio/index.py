"""The file index: what a worker must know of one tree in one file, without its TTree.

On disk it is one Arrow IPC file. Each row is one array (`name` says which) in
one of two columns, ``int32`` or ``int64``, whichever it needs: two Arrow columns
open faster than ten. They are mapped into memory and used where they
lie, so that opening an index makes no object per branch. Branches that share
their basket edges (most do) share one list of entry starts.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

import numpy as np
import pyarrow as pa

from sxdask.rootio.layout import TreeLayout, layout_from_json
from sxdask.rootio.model import ColumnBaskets, ColumnZones, FileStamp, Int64Array, Piece

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    import numpy.typing as npt

    IntArray: TypeAlias = npt.NDArray[np.signedinteger[Any]]

INDEX_SUFFIX = ".arrow"
FORMAT_VERSION = 3
_META = b"sxdask.index"

# ROOT's Compression.h: code = 100 * algorithm + level.
_ALGORITHMS = {1: "ZLIB", 2: "LZMA", 3: "old", 4: "LZ4", 5: "ZSTD"}


class ZoneSource(Protocol):
    """Where the learned statistics of a file are kept; read when first asked for."""

    def load(self) -> Mapping[str, ColumnZones]:
        """Return what is known, by column."""
        ...

    def complete(self) -> frozenset[str]:
        """Return the columns of which all baskets are known."""
        ...


ZonesOf: TypeAlias = "Callable[[str, str, FileStamp], ZoneSource]"


@dataclass(frozen=True, slots=True, eq=False)
class BranchTable:
    """Baskets and sizes of all branches, in the order of `TreeLayout.names`.

    Branch i has the baskets ``baskets_at[i]:baskets_at[i + 1]`` of `seek` and
    `num_bytes`, and the entry starts number ``starts_of[i]``: those in
    ``starts[starts_at[s]:starts_at[s + 1]]``, one more than baskets.
    `compressed` and `uncompressed` are totals in bytes, `compression` ROOT's code.
    Each array is int32 where its numbers allow.
    """

    seek: IntArray
    num_bytes: IntArray
    baskets_at: IntArray
    starts: IntArray
    starts_at: IntArray
    starts_of: IntArray
    compressed: IntArray
    uncompressed: IntArray
    compression: IntArray


_TABLE = tuple(BranchTable.__dataclass_fields__)
_ROWS = ("cluster_starts", *_TABLE)


@dataclass(frozen=True, slots=True, eq=False)
class FileIndex:
    """The index of one tree in one file.

    `cluster_starts` are the entries where reading can begin without touching
    a neighbour's baskets, with `num_entries` at the end (``[0]`` for an empty
    tree). `compression` names the file's default algorithm and level,
    `total_bytes` is the compressed size of all branches together.
    `index_bytes` is the size of the index itself, `build_seconds` what it cost.
    """

    url: str
    tree: str
    kind: Literal["ttree", "rntuple"]
    stamp: FileStamp
    num_entries: int
    cluster_starts: Int64Array
    layout: TreeLayout
    table: BranchTable = field(repr=False)
    compression: tuple[str, int]
    total_bytes: int
    build_seconds: float
    index_bytes: int
    zone_source: ZoneSource | None = field(default=None, repr=False)

    def compressed_bytes(self, names: Iterable[str]) -> Int64Array:
        """Return the compressed size of each named column, shape ``(n_names,)``."""
        positions = self.layout.positions
        return self.table.compressed[[positions[name] for name in names]].astype(np.int64)

    def uncompressed_bytes(self, names: Iterable[str]) -> Int64Array:
        """Return the size of each named column before compression, shape ``(n_names,)``."""
        positions = self.layout.positions
        return self.table.uncompressed[[positions[name] for name in names]].astype(np.int64)

    def compression_of(self, name: str) -> tuple[str, int]:
        """Return algorithm and level of a column, such as ``("ZSTD", 5)``."""
        return compression_name(int(self.table.compression[self.layout.positions[name]]))

    def num_baskets(self, name: str) -> int:
        """Return how many baskets the index has of a column (none for an RNTuple)."""
        position = self.layout.positions[name]
        at = self.table.baskets_at
        return int(at[position + 1] - at[position])

    def column(self, name: str) -> ColumnBaskets:
        """Return where all baskets of a column lie (empty for an RNTuple)."""
        table, position = self.table, self.layout.positions[name]
        begin, end = table.baskets_at[position : position + 2].tolist()
        return ColumnBaskets(
            seek=table.seek[begin:end].astype(np.int64),
            num_bytes=table.num_bytes[begin:end].astype(np.int64),
            entry_starts=self._entry_starts(int(table.starts_of[position])).astype(np.int64),
        )

    def zones(self, name: str) -> ColumnZones | None:
        """Return the statistics of a column, aligned with `column`; None if nothing is known."""
        return self.zone_source.load().get(name) if self.zone_source is not None else None

    def piece(
        self,
        index: int,
        entry_start: int,
        entry_stop: int,
        names: Sequence[str],
        zone_names: Sequence[str] = (),
        layout: int = 0,
    ) -> Piece:
        """Return an entry range as a task takes it, with the index rows that `names` need.

        Parameters
        ----------
        index
            The number of the partition.
        entry_start, entry_stop
            The half-open entry range.
        names
            Columns that the task may read; those that uproot reads have no rows.
        zone_names
            Columns whose statistics go along, where there are any.
        layout
            The position of this file's column layouts in the reader.
        """
        table, positions, columns = self.table, self.layout.positions, self.layout.columns
        baskets_at, starts_of = table.baskets_at, table.starts_of
        shared: dict[int, tuple[int, int, Int64Array]] = {}
        baskets: dict[str, ColumnBaskets] = {}
        for name in names:
            if columns[name].kind == "uproot":
                continue
            position = positions[name]
            number = starts_of.item(position)
            span = shared.get(number)
            if span is None:
                span = shared[number] = self._overlap(number, entry_start, entry_stop)
            first, last, starts = span
            offset = baskets_at.item(position)
            baskets[name] = ColumnBaskets(
                table.seek[offset + first : offset + last].astype(np.int64),
                table.num_bytes[offset + first : offset + last].astype(np.int64),
                starts,
            )
        return Piece(
            index=index,
            url=self.url,
            tree=self.tree,
            kind=self.kind,
            stamp=self.stamp,
            entry_start=entry_start,
            entry_stop=entry_stop,
            cluster_starts=self._clusters(entry_start, entry_stop),
            baskets=baskets,
            zones=self._piece_zones(zone_names, entry_start, entry_stop) if zone_names else {},
            layout=layout,
            learn=not self._knows(baskets),
        )

    def _knows(self, names: Iterable[str]) -> bool:
        """Say whether the statistics of these columns are complete, where there are any."""
        complete = self.zone_source.complete() if self.zone_source is not None else frozenset()
        columns = self.layout.columns
        return bool(complete) and all(
            name in complete or not columns[name].has_zones for name in names
        )

    def _entry_starts(self, number: int) -> Int64Array:
        begin, end = self.table.starts_at[number : number + 2].tolist()
        return self.table.starts[begin:end]

    def _overlap(self, number: int, start: int, stop: int) -> tuple[int, int, Int64Array]:
        """Return first and last (exclusive) basket that overlap the range, and their edges."""
        starts = self._entry_starts(number)
        if start >= stop or len(starts) < 2:
            return 0, 0, starts[:1].astype(np.int64)
        first = int(starts.searchsorted(start, side="right")) - 1
        last = int(starts.searchsorted(stop, side="left"))
        return first, last, starts[first : last + 1].astype(np.int64)

    def _clusters(self, start: int, stop: int) -> Int64Array:
        edges = self.cluster_starts
        first = int(edges.searchsorted(start, side="left"))
        last = int(edges.searchsorted(stop, side="right"))
        inside = edges[first:last]
        if len(inside) and inside[0] == start and inside[-1] == stop:
            return inside.copy()
        return np.unique(np.concatenate(([start], inside, [stop])).astype(np.int64))

    def _piece_zones(self, names: Sequence[str], start: int, stop: int) -> dict[str, ColumnZones]:
        known = self.zone_source.load() if self.zone_source is not None else {}
        found: dict[str, ColumnZones] = {}
        for name in names:
            zones = known.get(name)
            if zones is None or self.layout.columns[name].kind == "uproot":
                continue
            number = int(self.table.starts_of[self.layout.positions[name]])
            first, last, _ = self._overlap(number, start, stop)
            found[name] = slice_zones(zones, first, last)
        return found


def slice_zones(zones: ColumnZones, first: int, last: int) -> ColumnZones:
    """Return copies of the statistics of the baskets ``first:last``."""
    low, high = zones.count_low, zones.count_high
    return ColumnZones(
        known=zones.known[first:last].copy(),
        low=zones.low[first:last].copy(),
        high=zones.high[first:last].copy(),
        count_low=None if low is None else low[first:last].copy(),
        count_high=None if high is None else high[first:last].copy(),
    )


def compression_name(code: int) -> tuple[str, int]:
    """Return algorithm and level of ROOT's compression code.

    Examples
    --------
    >>> compression_name(505)
    ('ZSTD', 5)
    >>> compression_name(0)
    ('none', 0)
    """
    algorithm, level = divmod(code, 100)
    if level == 0:
        return "none", 0
    return _ALGORITHMS.get(algorithm, "ZLIB"), level  # 0 is ROOT's "the default": ZLIB


def index_to_bytes(index: FileIndex) -> bytes:
    """Return the index as an Arrow IPC file."""
    arrays = [index.cluster_starts, *(getattr(index.table, name) for name in _TABLE)]
    narrow = [_fits_int32(values) for values in arrays]
    packed = zlib.compress(index.layout.to_json().encode())
    columns = {
        "name": pa.array(_ROWS),
        "int32": _lists(arrays, narrow, np.int32),
        "int64": _lists(arrays, [not item for item in narrow], np.int64),
        "layout": pa.array([packed, *[None] * (len(_ROWS) - 1)], pa.binary()),
    }
    meta = {
        "version": FORMAT_VERSION,
        "url": index.url,
        "tree": index.tree,
        "kind": index.kind,
        "stamp": [index.stamp.size, index.stamp.mark, index.stamp.uuid],
        "num_entries": index.num_entries,
        "layout": index.layout.digest,
        "compression": index.compression,
        "total_bytes": index.total_bytes,
        "build_seconds": index.build_seconds,
    }
    batch = pa.RecordBatch.from_pydict(columns)
    batch = batch.replace_schema_metadata({_META: json.dumps(meta)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, batch.schema) as writer:
        writer.write_batch(batch)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _fits_int32(values: IntArray) -> bool:
    return len(values) == 0 or int(values.max()) <= np.iinfo(np.int32).max


def _lists(arrays: Sequence[IntArray], chosen: Sequence[bool], dtype: type[np.integer[Any]]) -> Any:
    """Return an Arrow column with the chosen arrays as lists, the others null."""
    kept = [values.astype(dtype) for values, wanted in zip(arrays, chosen, strict=True) if wanted]
    rows = iter(kept)
    lists = [next(rows) if wanted else None for wanted in chosen]
    return pa.array(lists, pa.list_(pa.from_numpy_dtype(dtype)))


def open_index(path: Path | str, zones: ZonesOf | None = None) -> FileIndex:
    """Map the index file at `path` into memory.

    No file descriptor stays open, so that tens of thousands can be held.

    Parameters
    ----------
    zones
        Says where the learned statistics of a file and tree are kept.

    Raises
    ------
    ValueError, OSError
        If it is not an index of this version.
    """
    # A buffer of the whole map is three times as fast as a reader on the map itself.
    with pa.memory_map(str(path)) as file:
        buffer = file.read_buffer()
    return index_from_bytes(buffer, zones)


def index_from_bytes(data: Any, zones: ZonesOf | None = None) -> FileIndex:
    """Return the index that `index_to_bytes` wrote; its arrays are views of `data`.

    Raises
    ------
    ValueError
        If the bytes are not an index of this version.
    """
    try:
        with pa.ipc.open_file(data) as reader:
            meta = json.loads((reader.schema.metadata or {}).get(_META, b"{}"))
            if meta.get("version") != FORMAT_VERSION:
                raise ValueError(f"not an index of version {FORMAT_VERSION}")
            batch = reader.get_batch(0)
        return _from_batch(batch, meta, len(data), zones)
    except (ArithmeticError, LookupError, TypeError, zlib.error, pa.ArrowException) as error:
        raise ValueError(f"not an index: {error}") from error


def _rows_of(column: Any, dtype: type[np.integer[Any]]) -> list[IntArray]:
    # Buffers of a list column: validity, offsets, validity of the values, values.
    _, offsets, _, data = column.buffers()
    edges = np.frombuffer(offsets, np.int32, len(column) + 1).tolist()
    values = np.frombuffer(data, dtype, edges[-1]) if edges[-1] else np.zeros(0, dtype)
    return [values[begin:end] for begin, end in pairwise(edges)]


def _from_batch(batch: Any, meta: dict[str, Any], size: int, zones: ZonesOf | None) -> FileIndex:
    batch.validate()  # that no column reaches beyond the mapped bytes
    # Columns by number: Arrow takes ten microseconds to make an object of each.
    arrays = _rows_of(batch.column(1), np.int32)
    for row, values in enumerate(_rows_of(batch.column(2), np.int64)):
        if len(values):
            arrays[row] = values
    clusters, table = arrays[0], BranchTable(*arrays[1:])
    layout = layout_from_json(
        meta["layout"], lambda: zlib.decompress(batch.column(3)[0].as_py()).decode()
    )
    fits = (
        len(table.compressed) == len(table.starts_of) == len(layout.names)
        and len(table.baskets_at) == len(layout.names) + 1
        and table.baskets_at[-1] == len(table.seek) == len(table.num_bytes)
        and table.starts_at[-1] == len(table.starts)
        and clusters[-1] == meta["num_entries"]
    )
    if not fits:
        raise ValueError("the parts of the index do not fit together")
    algorithm, level = meta["compression"]
    stamp = FileStamp(*meta["stamp"])
    return FileIndex(
        url=meta["url"],
        tree=meta["tree"],
        kind=meta["kind"],
        stamp=stamp,
        num_entries=meta["num_entries"],
        cluster_starts=clusters.astype(np.int64),
        layout=layout,
        table=table,
        compression=(algorithm, level),
        total_bytes=meta["total_bytes"],
        build_seconds=meta["build_seconds"],
        index_bytes=size,
        zone_source=zones(meta["url"], meta["tree"], stamp) if zones is not None else None,
    )
