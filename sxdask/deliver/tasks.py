"""What a worker does with a piece: read it and give back a table, an array or a receipt.

The tasks are picklable functions of one piece. They know the reader by its
protocol alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from sxdask.core.events import Event, PartitionDone, PartitionFailed, ReadReport
from sxdask.deliver.encode import schema_to_text, to_table
from sxdask.deliver.part import Member, Part, part_of, public_url, range_key

if TYPE_CHECKING:
    from collections.abc import Callable

    import awkward as ak
    import pyarrow as pa

    from sxdask.deliver.sink import Receipt, Sink
    from sxdask.deliver.stream import Outcome
    from sxdask.rootio.model import ColumnZones, FileStamp, Piece


class PartitionRead(Protocol):
    """Rows of one piece, what reading cost, and statistics learned on the way."""

    @property
    def array(self) -> ak.Array:
        """The outputs, one record a row."""
        ...

    @property
    def report(self) -> ReadReport:
        """What reading cost."""
        ...

    @property
    def learned(self) -> Mapping[str, ColumnZones]:
        """Statistics of the baskets that were decoded whole, by column."""
        ...


class Reader(Protocol):
    """Reads a piece and computes the outputs of the plan."""

    def read(self, piece: Piece) -> PartitionRead:
        """Return the rows of `piece` that pass, with the outputs."""
        ...

    def mock_empty(self) -> ak.Array:
        """Return what a piece without rows would give: no rows, all columns."""
        ...


@dataclass(frozen=True, slots=True)
class Labels:
    """What the tables of one output say about the request.

    `metadata` goes into every table's schema as it is (languages, request
    title); `units` and `counters` are by column, as `to_table` takes them; `format`
    is the text of `format_text`. `ordinal` tells apart several sources of one
    output, which may read the same entries for other columns.
    """

    fingerprint: str = ""
    format: str = "arrow"
    output: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    ordinal: int = 0
    counters: Mapping[str, str] = field(default_factory=dict)

    def part(self, piece: Piece) -> Part:
        """Return the part that `piece` becomes."""
        return part_of(piece, fingerprint=self._source, format_name=self.format, output=self.output)

    def member(self, url: str, stamp: FileStamp, tree: str, entries: tuple[int, int]) -> Member:
        """Return what an object has of these entries of a file."""
        key = range_key(self._source, stamp, tree, self.output, entries, self.format)
        return Member(self.output, public_url(url), tree, *entries, key)

    def schema(self, reader: Reader) -> str:
        """Return the schema that all tables of this output have, as text."""
        return schema_to_text(self._table(reader.mock_empty(), {}).schema)

    def table(self, array: ak.Array, part: Part) -> pa.Table:
        """Return `array` as the table of `part`."""
        return self._table(array, part.facts())

    @property
    def _source(self) -> str:
        return f"{self.fingerprint}/{self.ordinal}"

    def _table(self, array: ak.Array, facts: Mapping[str, str]) -> pa.Table:
        known = {**self._request(), **self.metadata, **facts}
        return to_table(array, metadata=known, units=self.units, counters=self.counters)

    def _request(self) -> dict[str, str]:
        own = {"fingerprint": self.fingerprint, "output": self.output}
        return {key: value for key, value in own.items() if value}


@dataclass(frozen=True, slots=True)
class ArrayValue:
    """A partition as awkward array."""

    array: ak.Array
    rows: int
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableValue:
    """A partition as Arrow table."""

    table: pa.Table
    rows: int
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ResultsValue:
    """What a function gave for a partition, as arrays or as Arrow tables."""

    results: Any
    rows: int
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PieceValue:
    """What one of several pieces of an object gave."""

    rows: int
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StoreValue:
    """An object that is in its sink; its tables never left the worker.

    `pieces` are the values of its pieces, where it may have several.
    """

    receipt: Receipt
    rows: int
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)
    pieces: tuple[PieceValue, ...] = ()


@dataclass(frozen=True, slots=True)
class ArrayTask:
    """Read a piece and return the array."""

    reader: Reader

    def __call__(self, piece: Piece) -> ArrayValue:
        """Read `piece`."""
        read = self.reader.read(piece)
        return ArrayValue(read.array, len(read.array), read.report, read.learned)


@dataclass(frozen=True, slots=True)
class ResultsTask:
    """Call a function for a piece and return what it gives: one array, or arrays by name.

    With `labels` they are Arrow tables in place of arrays, by name in any case.
    """

    reader: Reader
    labels: Labels | None = None

    def __call__(self, piece: Piece) -> ResultsValue:
        """Call the function for `piece`."""
        read = self.reader.read(piece)
        found: Any = read.array
        arrays = dict(found) if isinstance(found, Mapping) else {"": found}
        rows = sum(map(len, arrays.values()))
        if self.labels is not None:
            from sxdask.graph.outputs import typed

            labels = {name: replace(self.labels, output=name) for name in arrays}
            found = {
                name: labels[name].table(typed(array), labels[name].part(piece))
                for name, array in arrays.items()
            }
        return ResultsValue(found, rows, read.report, read.learned)


@dataclass(frozen=True, slots=True)
class TableTask:
    """Read a piece and return an Arrow table."""

    reader: Reader
    labels: Labels = Labels()

    def __call__(self, piece: Piece) -> TableValue:
        """Read `piece`."""
        read = self.reader.read(piece)
        table = self.labels.table(read.array, self.labels.part(piece))
        return TableValue(table, len(read.array), read.report, read.learned)


@dataclass(frozen=True, slots=True)
class FoldValue:
    """What a partition's rows amount to; the rows never left the worker."""

    state: Any
    rows: int
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FoldTask:
    """Read a piece and return what `fold` makes of its rows."""

    reader: Reader
    fold: Callable[[ak.Array], Any]

    def __call__(self, piece: Piece) -> FoldValue:
        """Read `piece`."""
        read = self.reader.read(piece)
        return FoldValue(self.fold(read.array), len(read.array), read.report, read.learned)


@dataclass(frozen=True, slots=True)
class StoreTask:
    """Read a piece and write it to a sink, on the worker."""

    reader: Reader
    sink: Sink
    labels: Labels = Labels()

    def __call__(self, piece: Piece) -> StoreValue:
        """Read and store `piece`."""
        read = self.reader.read(piece)
        part = self.labels.part(piece)
        receipt = self.sink.write(part, self.labels.table(read.array, part))
        return StoreValue(receipt, len(read.array), read.report, read.learned)


@dataclass(frozen=True, slots=True)
class OutputTask:
    """Several outputs in one run: each item is a pair of output name and piece."""

    tasks: Mapping[str, Callable[[Piece], Any]]

    def __call__(self, item: tuple[str, Piece]) -> Any:
        """Run the task of the item's output on its piece."""
        output, piece = item
        return self.tasks[output](piece)


def partition_event(piece: Piece, outcome: Outcome[Any], *, last_of_file: bool = False) -> Event:
    """Return the event that tells how `piece` ended, for progress displays."""
    file = public_url(piece.url)
    if outcome.error is not None:
        return PartitionFailed(piece.index, file, outcome.error.code, outcome.error.problem)
    value = outcome.value
    return PartitionDone(piece.index, file, value.rows, value.report, last_of_file)
