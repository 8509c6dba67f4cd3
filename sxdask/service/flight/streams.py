"""Streams that are open: whose they are, how many there may be, and how they end."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from sxdask.core.errors import SchemaMismatchError
from sxdask.service.flight.faults import cancelled, unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH_BYTES: Final = 4 * 1024 * 1024
"""Most bytes of one record batch: what a stream holds beyond its table is a few of them."""


@dataclass(eq=False)
class Stream:
    """One partition on its way to one client."""

    owner: str
    connection: str
    request: str
    is_closed: Callable[[], bool]
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def client(self) -> tuple[str, str]:
        """Whose turn it takes: clients without a token are told apart by their connections."""
        return self.owner, self.connection

    def is_gone(self) -> bool:
        """Tell whether nobody waits for it any more."""
        return self.ended.is_set() or bool(self.is_closed())


class Streams:
    """The streams of a server: `most` at once, and three quarters of them for one client."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._most_of_one = max(1, most - most // 4)
        self._lock = threading.Lock()
        self._open: set[Stream] = set()
        self._stopping = False
        self.batches = 0
        self.bytes = 0

    @property
    def state(self) -> dict[str, int]:
        """Numbers for `health`."""
        with self._lock:
            return {"streams": len(self._open), "batches": self.batches, "bytes": self.bytes}

    @contextmanager
    def opened(self, stream: Stream) -> Iterator[Stream]:
        """Count `stream` while it runs.

        Raises
        ------
        SystemFaultError
            If there are too many, or the server is about to end.
        """
        with self._lock:
            self._require_room(stream)
            self._open.add(stream)
        try:
            yield stream
        finally:
            with self._lock:
                self._open.discard(stream)

    def batches_of(self, stream: Stream, table: pa.Table, schema: pa.Schema) -> Iterator[Any]:
        """Yield the rows of `table`, with `schema`, as fast as the client takes them."""
        for batch in bounded_batches(fitted(table, schema)):
            if stream.is_gone():
                raise cancelled()
            with self._lock:
                self.batches += 1
                self.bytes += batch.nbytes
            yield batch

    def as_seen(self, error: Exception) -> Exception:
        """Return what ended a stream; where the server is about to end, that is the reason."""
        return unavailable("the server is stopping") if self._stopping else error

    def end(self, owner: str, request: str) -> int:
        """End the streams that `owner` has for `request`; return how many there were."""
        with self._lock:
            found = [item for item in self._open if (item.owner, item.request) == (owner, request)]
        for item in found:
            item.ended.set()
        return len(found)

    def stop(self) -> None:
        """End all streams and let none begin."""
        with self._lock:
            self._stopping = True
            found = list(self._open)
        for item in found:
            item.ended.set()

    def _require_room(self, stream: Stream) -> None:
        if self._stopping:
            raise unavailable("the server is stopping")
        if len(self._open) >= self._most:
            raise unavailable(f"the server has {self._most} streams, as many as it may")
        if sum(item.client == stream.client for item in self._open) >= self._most_of_one:
            raise unavailable(f"the client has {self._most_of_one} streams, as many as it may")


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with the metadata of `schema`, which a stream has announced already.

    Raises
    ------
    SchemaMismatchError
        If its columns are others.
    """
    own = [(field.name, field.type) for field in table.schema]
    if own != [(field.name, field.type) for field in schema]:
        raise SchemaMismatchError(
            "a partition has other columns than the request announced",
            hint="ask for the flight's information again: the files may have changed",
        )
    if not own:  # a table made of no column would forget its length
        rows = pa.table({"row": pa.nulls(table.num_rows)})
        return rows.replace_schema_metadata(schema.metadata).select([])
    return pa.Table.from_arrays(table.columns, schema=schema)


def bounded_batches(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `table` in order, in batches of at most `BATCH_BYTES`.

    A single row that is larger is a batch of its own.
    """
    for whole in table.to_batches():
        waiting = [whole]
        while waiting:
            batch = waiting.pop()
            if batch.nbytes <= BATCH_BYTES or batch.num_rows <= 1:
                yield batch
                continue
            half = batch.num_rows // 2
            waiting += [batch.slice(half), batch.slice(0, half)]
