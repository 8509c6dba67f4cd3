"""Partitions as they finish: for a loop, for ``async for``, and for whatever speaks Arrow."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from sxdask.core.errors import RequestError
from sxdask.core.events import Progress

if TYPE_CHECKING:
    from asyncio import Future
    from collections.abc import Callable, Generator, Iterator
    from types import TracebackType

    import pyarrow as pa

    from sxdask.pipeline.run import Run

_END: Final = object()


@dataclass(frozen=True, slots=True)
class Partition:
    """One piece of a result, as Arrow.

    Rows are the events of entries ``[entry_start, entry_stop)`` of `file` that
    passed the selection. `output` names the output tree where a request has
    several. `index` counts the partitions of one output.
    """

    index: int
    file: str
    entry_start: int
    entry_stop: int
    table: pa.Table
    output: str = ""


class Stream:
    """The partitions of a result, each once; it is an iterator and an async iterator.

    Nothing runs before the first partition is asked for, and reading never
    gets further ahead of the consumer than the window and the memory budget
    allow. Closing the stream, by name, as a context manager or by dropping it,
    cancels what has not begun.

    Parameters
    ----------
    start
        Makes the run, when it is needed.
    options
        Of `Run.tables`.

    Examples
    --------
    ``for part in stream``, ``async for part in stream``, ``stream.reader()``,
    ``duckdb.sql("select avg(MET_pt) from stream")``.
    """

    def __init__(self, start: Callable[[], Run], **options: Any) -> None:
        self._start = start
        self._options = options
        self._run: Run | None = None
        self._parts: Generator[Partition] | None = None
        self._cancel = threading.Event()
        self._thread: ThreadPoolExecutor | None = None
        self._closed = False

    # --- in a loop -----------------------------------------------------------

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Partition:
        return next(self._begun())

    def close(self) -> None:
        """Cancel what has not begun and wait for what runs here; may be repeated."""
        self._closed = True
        thread, self._thread = self._thread, None
        if thread is None:
            self._end()
            return
        self._cancel.set()  # its thread may be waiting for a partition: the generator is busy
        thread.submit(self._end).result()
        thread.shutdown()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # --- in a coroutine ------------------------------------------------------

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Partition:
        """Return the next partition; the event loop goes on while it is waited for.

        A cancelled coroutine ends the run, as an interrupted loop does.
        """
        part = _END if self._closed else await self._in_thread(next, self, _END)
        if part is _END:
            await self.aclose()
            raise StopAsyncIteration
        assert isinstance(part, Partition)  # noqa: S101  narrows for the type checker
        return part

    async def aclose(self) -> None:
        """Do what `close` does without holding up the event loop."""
        self._closed = True
        self._cancel.set()
        if self._thread is not None:
            await self._in_thread(self._end)
            thread, self._thread = self._thread, None
            if thread is not None:
                thread.shutdown(wait=False)
        else:
            self._end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def _in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
        """Await `call` in the one thread of this stream; end the run if this is cancelled."""
        import asyncio

        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "sxdask-stream")
        context = contextvars.copy_context()  # Dask keeps the current client in one
        future: Future[Any] = asyncio.get_running_loop().run_in_executor(
            self._thread, context.run, call, *arguments
        )
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            self._closed = True
            self._cancel.set()
            thread, self._thread = self._thread, None
            if thread is not None:  # the thread ends by itself, after what it is doing
                thread.submit(self._end)
                thread.shutdown(wait=False)
            raise

    # --- as Arrow ------------------------------------------------------------

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs; the only one of most requests has the empty name."""
        return self._running().outputs

    def reader(self, output: str | None = None) -> pa.RecordBatchReader:
        """Return the rows as Arrow record batches, read as they are asked for.

        The schema is known before the first partition is, also of a result
        without any row. The reader takes the stream over: what ends the one
        ends the other.

        Parameters
        ----------
        output
            Which one, where a request has several; the others are not computed.

        Raises
        ------
        RequestError
            If there is no output of that name, or several and none is named.
        """
        import pyarrow as pa

        schema = self._choose(output)
        return pa.RecordBatchReader.from_batches(schema, self._batches(schema))

    to_reader = reader

    def to_table(self, output: str | None = None) -> pa.Table:
        """Return all rows that are left as one table, in dataset order.

        Parameters
        ----------
        output
            As for `reader`.
        """
        from sxdask.deliver.encode import join, no_rows

        schema = self._choose(output)
        with self:
            parts = sorted(self, key=lambda part: part.index)
        return join([part.table for part in parts]) if parts else no_rows(schema)

    def __arrow_c_schema__(self) -> Any:
        return self._choose(None).__arrow_c_schema__()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self.reader().__arrow_c_stream__(requested_schema)

    @property
    def summary(self) -> Progress:
        """Partitions, rows, bytes and seconds so far; zeros before the first."""
        return Progress() if self._run is None else self._run.progress

    # --- inside --------------------------------------------------------------

    def _running(self) -> Run:
        if self._run is None:
            self._run = self._start()
        return self._run

    def _begun(self) -> Generator[Partition]:
        if self._parts is None:
            self._parts = self._partitions()
        return self._parts

    def _partitions(self) -> Generator[Partition]:
        if self._closed:
            return
        tables = self._running().tables(**self._options, cancel=self._cancel)
        for name, piece, table in tables:
            yield Partition(
                index=piece.index,
                file=piece.url,
                entry_start=piece.entry_start,
                entry_stop=piece.entry_stop,
                table=table,
                output=name,
            )
            del table  # or it would live on while the next one is waited for

    def _end(self) -> None:
        self._begun().close()

    def _choose(self, output: str | None) -> pa.Schema:
        """Leave the other outputs out and return the schema of this one."""
        names = self.outputs
        chosen = self._options.get("output") if output is None else output
        if chosen is None and len(names) == 1:
            (chosen,) = names
        listed = ", ".join(map(repr, names))
        if chosen is None:
            raise RequestError(f"the request has several outputs: {listed}", hint="name one")
        if chosen not in names:
            raise RequestError(f"the request has no output {chosen!r}", hint=f"it has {listed}")
        if len(names) > 1 and self._options.get("output") != chosen:
            if self._parts is not None:
                raise RequestError(
                    "the stream has begun with all outputs", hint="take a new one: query.stream()"
                )
            self._options["output"] = chosen
        return self._running().schema(chosen)

    def _batches(self, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        with self:
            for part in self:
                table = part.table
                del part
                if not table.schema.equals(schema):
                    table = table.cast(schema)
                yield from table.replace_schema_metadata(schema.metadata).to_batches()
                del table
