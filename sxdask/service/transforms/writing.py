"""From a file and a request to one object that waits in the destination, not yet published."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

from sxdask.core.errors import DeliveryError, RequestError, StaleIndexError, SxdaskError
from sxdask.deliver.format import Rows, StreamedFormat, open_format
from sxdask.deliver.layout import jobs_in
from sxdask.deliver.part import Part, content_key
from sxdask.deliver.sink import Receipt
from sxdask.deliver.staging import StreamStaging
from sxdask.deliver.store import open_store
from sxdask.deliver.tasks import StoreTask
from sxdask.deliver.treename import telling
from sxdask.deliver.work import JobTask, told_apart
from sxdask.pipeline.labels import labels_of
from sxdask.pipeline.layout import layout_of, source_of
from sxdask.service.transforms.attempts import GivenUpError
from sxdask.service.transforms.compiling import compiled, has_treename, named

if TYPE_CHECKING:
    from collections.abc import Mapping

    import awkward as ak
    import pyarrow as pa

    from sxdask.deliver.tasks import PartitionRead, Reader
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.compile import Compiled
    from sxdask.rootio.model import Piece
    from sxdask.service.transforms.attempts import Attempt
    from sxdask.service.transforms.orders import Work

STAGING: Final = ".sxdask/staged"
"""Folder of what waits, where the destination has folders."""


@dataclass(frozen=True, slots=True)
class Made:
    """An object that waits: `staged` is its attempt's name in the destination."""

    rows: int
    bytes: int
    staged: str


@dataclass
class Destination:
    """Where one attempt at one object writes; it is the sink of `JobTask`.

    Parameters
    ----------
    attempt
        Hears of every step; what comes after it is over is dropped.
    work
        For the format and its conventions.
    target, options, name
        The folder or bucket, its options, and the name of the object.
    """

    attempt: Attempt
    work: Work
    target: str
    options: Mapping[str, Any]
    name: str
    made: Made | None = field(default=None, init=False)

    joins: ClassVar[bool] = True

    @property
    def location(self) -> str:
        """For messages."""
        return self.target

    def write(self, part: Part, table: pa.Table | Rows) -> Receipt:
        """Encode and store, hidden."""
        rows = self._conventional(Rows.of(table))
        staging = open_store(self.target, self.options).staging(STAGING)
        made = open_format(self.work.result_format)
        self.attempt.tell("computing")
        if rows.schemas and isinstance(staging, StreamStaging) and isinstance(made, StreamedFormat):
            staged, done = staging.stream(self.name, lambda file: made.write(rows, file))
            size = done.size
        else:
            data = made.encode(rows) if rows.schemas or made.copies else _no_columns()
            staged, size = self._put(staging, data), len(data)
        self._keep(staging, Made(rows.num_rows, size, staged))
        return Receipt(part, self.name, rows.num_rows, size, "", staged)

    def put(self, data: bytes, rows: int) -> None:
        """Store an object that was made elsewhere, hidden."""
        staging = open_store(self.target, self.options).staging(STAGING)
        self._keep(staging, Made(rows, len(data), self._put(staging, data)))

    def _put(self, staging: Any, data: Any) -> str:
        self.attempt.tell("uploading")
        try:
            return str(staging.put(self.name, data))
        except RequestError as error:  # a bucket that is gone is no mistake of the user's
            raise DeliveryError(error.problem, hint=error.hint) from error

    def _keep(self, staging: Any, made: Made) -> None:
        try:
            self.attempt.tell("uploading")
        except GivenUpError:
            with suppress(SxdaskError):  # the engine sweeps when the transform ends
                staging.drop(self.name, made.staged)
            raise
        self.made = made

    def _conventional(self, rows: Rows) -> Rows:
        if self.work.result_format == "parquet" and has_treename(self.work):
            (*others,) = rows.schemas
            if len(others) == 1:
                rows.schemas = (telling(others[0], "Parquet"),)
        return rows


def write_object(work: Work, path: str, to: Destination) -> Made:
    """Run the request on one file, partition by partition, and write its object.

    Raises
    ------
    SxdaskError
        If the request does not fit the file, or reading or writing fails.
    """
    ready = compiled(work, path)
    try:
        _write(ready, work, to)
    except StaleIndexError as error:  # the file changed after it was indexed
        ready.source.renew(error.context["file"], error.context["tree"])
        _write(compiled(work, path), work, to)
    assert to.made is not None  # noqa: S101  narrows for the type checker
    return to.made


def _write(ready: Compiled, work: Work, to: Destination) -> None:
    tables = _tables(ready, work)
    copies = ready.plan.copies
    if not tables and not copies:
        # Trees that may be missing and are: an object without any, as ServiceX has it.
        to.write(Part(0, "", "", "", 0, 0, content_key("nothing")), Rows((), ()))
        return
    sink: Any = to
    layout = layout_of(ready, "file", work.result_format, sink)
    facts = {"language": work.language}
    found = [
        source_of(table, labels_of(ready, table, facts, work.result_format)) for table in tables
    ]
    sources = told_apart([replace(item, reader=_Told(item.reader, to.attempt)) for item in found])
    (job,) = jobs_in(sources, layout)
    tasks = {str(n): StoreTask(item.reader, sink, item.labels) for n, item in enumerate(sources)}
    value = JobTask(tasks, sink)(job)
    for piece, done in zip(job.pieces, value.pieces, strict=True):
        ready.source.learn(piece, done.learned)


@dataclass(frozen=True, slots=True)
class _Told:
    """A reader whose attempt says what it does, and ends where nobody waits for it."""

    reader: Reader
    attempt: Attempt

    def read(self, piece: Piece) -> PartitionRead:
        self.attempt.tell("reading")
        read = self.reader.read(piece)
        self.attempt.tell("computing", read.report.bytes_read)
        return read

    def mock_empty(self) -> ak.Array:
        return self.reader.mock_empty()


def _tables(ready: Compiled, work: Work) -> tuple[Lowered, ...]:
    from sxdask.deliver.runners.sync import SyncRunner
    from sxdask.pipeline.outputs import output_tables

    tables = ready.tables
    if any(table.output.reduction is not None for table in tables):
        raise RequestError(
            "the request reduces all rows to one result, so there is no table of rows",
            hint="ask for the rows, and reduce them where you read the results",
        )
    if tables and tables[0].output.function is not None:
        tables, _ = output_tables(tables[0], SyncRunner())
        tables = tuple(
            replace(table, output=named(table.output, work.language)) for table in tables
        )
    return tables


def _no_columns() -> bytes:
    """Return a Parquet file of nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    out = pa.BufferOutputStream()
    pq.write_table(pa.table({}), out)
    return bytes(out.getvalue())
