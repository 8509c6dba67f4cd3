"""Columns of one piece, for any of its rows: fetch, decompress, decode, count.

`PieceReader` lives for one scan. Each call reads only the baskets that hold
one of the rows asked for, all columns in one batch of requests.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from sxdask.core.errors import CorruptBasketError
from sxdask.core.events import ReadReport
from sxdask.rootio.assemble import (
    BasketRead,
    FlatOutput,
    ListOutput,
    local_rows,
    output_for,
)
from sxdask.rootio.basket import BasketError, NotPlainError
from sxdask.rootio.columnpack import Packed, repacked
from sxdask.rootio.columnstore import ColumnStore
from sxdask.rootio.compression import BlockError
from sxdask.rootio.decode import ColumnValues
from sxdask.rootio.fallback import Traffic, read_with_uproot
from sxdask.rootio.pool import run_all, thread_count
from sxdask.rootio.zones import compute_zones

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import awkward as ak

    from sxdask.rootio.model import (
        ColumnBaskets,
        ColumnLayout,
        ColumnZones,
        Int64Array,
        Piece,
        ReadOptions,
    )
    from sxdask.rootio.nested import NestedOutput
    from sxdask.rootio.source import ByteSource

ColumnData: TypeAlias = "ColumnValues | ak.Array"
"""A column as numpy buffers, or as the array that uproot gives."""

# Below this many uncompressed bytes a second thread costs more than it saves.
_BYTES_PER_TASK = 256 * 1024

# Baskets smaller than this on average are decoded faster by one thread: the
# others would mostly wait for the interpreter's lock.
_BYTES_PER_BASKET = 16 * 1024

# Opening the tree for uproot takes as long as decoding this many compressed bytes.
_COST_OF_UPROOT = 100_000_000


@dataclass(slots=True)
class _ColumnRead:
    """A column while it is read; `edges` is the output row where each basket begins.

    `fresh` are the baskets, by number, that are to be kept once they are decoded.
    """

    layout: ColumnLayout
    baskets: ColumnBaskets
    edges: Int64Array
    needed: Int64Array
    output: FlatOutput | ListOutput | NestedOutput
    work: list[BasketRead] = field(default_factory=list)
    fresh: dict[int, Any] = field(default_factory=dict)
    not_plain: bool = False


_Task: TypeAlias = "list[tuple[_ColumnRead, BasketRead]]"


def take_rows(column: ColumnData, rows: Int64Array) -> ColumnData:
    """Return the column with only `rows`, in the same form and without the memory of the rest."""
    if isinstance(column, ColumnValues):
        return column.take(rows)
    import awkward as ak

    return ak.to_packed(column[rows])


class PieceReader:
    """Reads columns of `piece`; counts what it costs and keeps what it learns."""

    def __init__(
        self,
        piece: Piece,
        layouts: Mapping[str, ColumnLayout],
        options: ReadOptions,
        source: ByteSource,
    ) -> None:
        self.learned: dict[str, ColumnZones] = {}
        self._piece = piece
        self._layouts = layouts
        self._options = options
        self._source = source
        self._threads = thread_count(options.threads)
        self._traffic = Traffic()
        self._kept = ColumnStore.of(piece, options)
        self._cached_baskets = self._cached_bytes = 0
        self._baskets_read = 0
        self._bytes_decompressed = 0
        self._fetch = self._decompress = self._decode = 0.0

    def read(self, names: Sequence[str], rows: Int64Array) -> dict[str, ColumnData]:
        """Return the named columns for `rows`, rising entry numbers of the piece.

        Raises
        ------
        DataError, SystemFaultError, DatasetError
            If the bytes cannot be had or make no sense; file, tree, branch
            and entry range are in the context.
        """
        if not len(rows):
            return {name: self._empty(self._layouts[name]) for name in names}
        fast: list[_ColumnRead] = []
        for name in names:
            column = self._plan(name, rows)
            if column is not None:
                fast.append(column)
        found: dict[str, ColumnData] = {}
        if fast:
            self._fetch_baskets(fast, rows)
            self._decode_baskets(fast)
            found = {c.layout.name: c.output.result() for c in fast if not c.not_plain}
            self._keep(fast)
            for column in fast:
                self._learn(column, found.get(column.layout.name))
        slow = [name for name in names if name not in found]
        if slow:
            found |= self._read_slow(slow, rows)
        return {name: found[name] for name in names}

    def cost(self, name: str) -> int:
        """Return the compressed bytes of the column's baskets; very many if uproot reads it."""
        baskets = self._piece.baskets.get(name)
        if self._layouts[name].kind == "uproot" or baskets is None or not len(baskets.seek):
            return _COST_OF_UPROOT
        return int(baskets.num_bytes.sum())

    def report(self, names: Sequence[str], entries_out: int, seconds_filter: float) -> ReadReport:
        """Return what everything so far cost; `names` are the columns of the request."""
        baskets = self._piece.baskets
        total = sum(len(baskets[name].seek) for name in names if name in baskets)
        return ReadReport(
            entries_in=self._piece.num_entries,
            entries_out=entries_out,
            requests=self._source.requests + self._traffic.requests,
            bytes_read=self._source.bytes_read + self._traffic.bytes_read,
            baskets_read=self._baskets_read,
            baskets_skipped=total - self._baskets_read,
            bytes_decompressed=self._bytes_decompressed,
            ttree_opens=self._traffic.opens,
            seconds_fetch=self._fetch,
            seconds_decompress=self._decompress,
            seconds_decode=self._decode,
            seconds_filter=seconds_filter,
            cached_baskets=self._cached_baskets,
            cached_bytes=self._cached_bytes,
        )

    def _plan(self, name: str, rows: Int64Array) -> _ColumnRead | None:
        """Return which baskets hold `rows`, or None if the column has to go through uproot."""
        layout, baskets = self._layouts[name], self._piece.baskets.get(name)
        if layout.kind == "uproot" or self._piece.kind != "ttree" or baskets is None:
            return None
        edges = np.searchsorted(rows, baskets.entry_starts)
        if edges[0] != 0 or edges[-1] != len(rows):
            return None  # unflushed entries are not in any basket of the index
        needed = np.flatnonzero(edges[1:] > edges[:-1])
        return _ColumnRead(layout, baskets, edges, needed, output_for(layout, len(rows)))

    def _empty(self, layout: ColumnLayout) -> ColumnData:
        if layout.kind == "uproot" or self._piece.kind != "ttree":
            import awkward as ak

            return ak.Array(ak.forms.from_json(layout.form).length_zero_array(highlevel=False))
        return output_for(layout, 0).result()

    def _fetch_baskets(self, columns: Sequence[_ColumnRead], rows: Int64Array) -> None:
        begin = time.perf_counter()
        starts = np.concatenate([c.baskets.seek[c.needed] for c in columns])
        sizes = np.concatenate([c.baskets.num_bytes[c.needed] for c in columns])
        data = iter(self._baskets_at(starts, sizes))
        for column in columns:
            entries = column.baskets.entry_starts
            for number in column.needed.tolist():
                low, high = int(column.edges[number]), int(column.edges[number + 1])
                first, last = int(entries[number]), int(entries[number + 1])
                local = local_rows(rows[low:high], first)
                bytes_, fresh = next(data)
                column.work.append(BasketRead(number, bytes_, last - first, local, low, high))
                if fresh and self._kept is not None:
                    column.fresh[number] = bytes_
        self._fetch += time.perf_counter() - begin

    def _baskets_at(self, starts: Int64Array, sizes: Int64Array) -> list[tuple[memoryview, bool]]:
        """Return the bytes at each place and whether they were fetched; those kept are not."""
        if self._kept is None:
            fetched = self._source.fetch(starts, sizes, threads=self._threads)
            return [(data, True) for data in fetched]
        found = self._kept.find(starts, sizes)
        missing = np.array([item is None for item in found])
        self._cached_baskets += len(found) - int(missing.sum())
        self._cached_bytes += int(sizes[~missing].sum())
        fresh: Iterator[memoryview] = iter([])
        if missing.any():
            fresh = iter(self._source.fetch(starts[missing], sizes[missing], threads=self._threads))
        return [(next(fresh), True) if item is None else (item, False) for item in found]

    def _keep(self, columns: Sequence[_ColumnRead]) -> None:
        """Keep the baskets that were fetched and proved to be sound."""
        if self._kept is None:
            return
        begin = time.perf_counter()
        baskets = [
            Packed(
                column.layout.name,
                int(column.baskets.seek[number]),
                int(column.baskets.num_bytes[number]),
                data,
            )
            for column in columns
            if not column.not_plain
            for number, data in column.fresh.items()
        ]
        self._kept.keep(baskets)
        self._fetch += time.perf_counter() - begin

    def _decode_baskets(self, columns: Sequence[_ColumnRead]) -> None:
        begin = time.perf_counter()
        for column in columns:
            for basket in column.work:
                try:
                    basket.parse()
                except BasketError as error:
                    raise self._corrupt(column, basket, error) from error
                self._bytes_decompressed += basket.header.object_length
            column.output.prepare(column.work)
            self._baskets_read += len(column.work)
        shares = run_all(self._run, self._tasks(columns), self._useful_threads(columns))
        for column in columns:
            if not (column.not_plain or column.output.sound()):
                column.output.strict = True
                self._run([(column, basket) for basket in column.work])
        expand, convert = (sum(part) for part in zip(*shares, strict=True))
        wall = time.perf_counter() - begin  # threads work side by side: scaled to wall time
        share = expand / (expand + convert) if expand + convert else 0.0
        self._decompress += wall * share
        self._decode += wall * (1 - share)

    def _useful_threads(self, columns: Sequence[_ColumnRead]) -> int:
        sizes = [basket.header.object_length for column in columns for basket in column.work]
        return self._threads if sum(sizes) >= len(sizes) * _BYTES_PER_BASKET else 1

    def _tasks(self, columns: Sequence[_ColumnRead]) -> list[_Task]:
        """Return the baskets in groups that are worth a thread each."""
        tasks: list[_Task] = [[]]
        filled = 0
        for column in columns:
            for basket in column.work:
                if filled > _BYTES_PER_TASK:
                    tasks.append([])
                    filled = 0
                tasks[-1].append((column, basket))
                filled += basket.header.object_length
        return tasks

    def _run(self, task: _Task) -> tuple[float, float]:
        clock = time.perf_counter
        expand = convert = 0.0
        for column, basket in task:
            start = clock()
            try:
                content = basket.expand()
                if basket.number in column.fresh:
                    fresh = column.fresh[basket.number]
                    column.fresh[basket.number] = repacked(fresh, basket.header, content)
                middle = clock()
                column.output.add(basket, content)
            except NotPlainError:
                column.not_plain = True
                continue
            except (BlockError, BasketError) as error:
                raise self._corrupt(column, basket, error) from error
            expand += middle - start
            convert += clock() - middle
        return expand, convert

    def _corrupt(
        self, column: _ColumnRead, basket: BasketRead, error: ValueError
    ) -> CorruptBasketError:
        piece, name, number = self._piece, column.layout.name, basket.number
        span = tuple(column.baskets.entry_starts[number : number + 2].tolist())
        return CorruptBasketError(
            f"branch {name!r} of tree {piece.tree!r} in {piece.url!r}: the basket of entries "
            f"{span[0]} to {span[1]} is damaged: {error}",
            hint="copy the file again, or leave it out",
            file=piece.url,
            tree=piece.tree,
            branch=name,
            entries=span,
            seek=int(column.baskets.seek[number]),
        )

    def _learn(self, column: _ColumnRead, values: ColumnData | None) -> None:
        name, layout = column.layout.name, column.layout
        known = self._piece.zones.get(name)
        if not (self._options.learn_zones and self._piece.learn) or not layout.has_zones:
            return
        if not isinstance(values, ColumnValues) or (known is not None and known.known.all()):
            return
        begin = time.perf_counter()
        wanted = column.edges[1:] - column.edges[:-1]
        entries = column.baskets.entry_starts
        whole = (wanted == entries[1:] - entries[:-1]) & (wanted > 0)
        if whole.any():
            zones = compute_zones(values, column.edges, whole)
            self.learned[name] = zones
        self._decode += time.perf_counter() - begin

    def _read_slow(self, names: Sequence[str], rows: Int64Array) -> dict[str, ColumnData]:
        """Read through uproot the clusters that hold `rows`, and take the rows."""
        import awkward as ak

        begin = time.perf_counter()
        spans = self._spans(rows)
        layouts = [self._layouts[name] for name in names]
        columns = read_with_uproot(self._piece, layouts, spans, self._options, self._traffic)
        chosen = [rows[(rows >= start) & (rows < stop)] - start for start, stop in spans]
        found: dict[str, ColumnData] = {}
        for name, parts in zip(names, columns, strict=True):
            taken = [
                part if len(part) == len(local) else take_rows(part, local)
                for part, local in zip(parts, chosen, strict=True)
            ]
            found[name] = taken[0] if len(taken) == 1 else ak.concatenate(taken)
        self._fetch += time.perf_counter() - begin
        return found

    def _spans(self, rows: Int64Array) -> list[tuple[int, int]]:
        """Return the entry ranges to read for `rows`: runs of clusters, cut to the rows."""
        cluster = np.searchsorted(self._piece.cluster_starts, rows, side="right")
        breaks = np.flatnonzero(np.diff(cluster) > 1) + 1
        groups = np.split(rows, breaks)
        return [(int(group[0]), int(group[-1]) + 1) for group in groups]
