"""A request that a server answers: its plan, its schema, its partitions, its rows."""

from __future__ import annotations

import json
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sxdask.api.stream import Partition
from sxdask.core.errors import NotAuthorizedError, RequestError, StaleIndexError, SxdaskError

if TYPE_CHECKING:
    from collections.abc import Generator

    import pyarrow as pa

    from sxdask.api.remote.connection import Remote

_AT_ONCE: Final = 4


@dataclass(frozen=True, slots=True)
class RemotePartition:
    """One partition of an output on the server, and the ticket that fetches it."""

    output: str
    index: int
    file: str
    entry_start: int
    entry_stop: int
    key: str
    ticket: bytes


@dataclass(frozen=True)
class RemoteOutput:
    """What the server says of one output. `rows` is None where only reading will tell."""

    name: str
    schema: pa.Schema
    rows: int | None
    partitions: tuple[RemotePartition, ...]
    facts: dict[str, Any]


class RemoteQuery:
    """A request on a server; made by `Remote.request`. The server plans it when it is first asked.

    Partitions are fetched several at a time, each again as a whole when its
    stream breaks, and given out once.
    """

    def __init__(self, remote: Remote, command: dict[str, Any]) -> None:
        self._remote = remote
        self._values = command
        self._known: dict[str, RemoteOutput] | None = None
        self._lock = threading.Lock()

    @property
    def outputs(self) -> dict[str, RemoteOutput]:
        """The output trees by name; the only one's name is empty."""
        with self._lock:
            if self._known is None:
                self._known = self._ask()
            return dict(self._known)

    @property
    def fingerprint(self) -> str:
        """Name of the optimised plan, the same as that of the request run elsewhere."""
        found: str = next(iter(self.outputs.values())).facts["fingerprint"]
        return found

    @property
    def schema(self) -> Any:
        """Arrow schema of the result; of several outputs a dictionary of them."""
        return self._by_name({name: item.schema for name, item in self.outputs.items()})

    @property
    def num_rows(self) -> int | None:
        """Rows of all outputs, or None where only reading will tell."""
        rows = [item.rows for item in self.outputs.values()]
        return None if None in rows else sum(row for row in rows if row is not None)

    def explain(self) -> str:
        """Return the plan as the server explains it: logical, rewrites, physical."""
        return self._remote.action("explain", self._command()).decode()

    def stream(self, *, ordered: bool = False, at_once: int = _AT_ONCE) -> Generator[Partition]:
        """Yield partitions as Arrow tables as they arrive, or in the order of the dataset.

        A consumer that is slow holds fetching back; closing the iterator
        cancels what the server is at.

        Parameters
        ----------
        ordered
            In the order of outputs and partitions.
        at_once
            Partitions that are fetched, or wait to be taken, at a time.
        """
        from contextlib import closing

        from sxdask.api.remote.fetch import fetched

        wanted = [item for output in self.outputs.values() for item in output.partitions]
        with closing(fetched(self, wanted, ordered=ordered, at_once=at_once)) as tables:
            for number, table in tables:
                place = wanted[number]
                yield Partition(
                    index=place.index,
                    file=place.file,
                    entry_start=place.entry_start,
                    entry_stop=place.entry_stop,
                    table=table,
                    output=place.output,
                )

    def to_table(self) -> Any:
        """Return all rows as one Arrow table, in dataset order; of several outputs a dictionary."""
        from sxdask.deliver.encode import join, no_rows

        found: dict[str, list[pa.Table]] = {name: [] for name in self.outputs}
        for part in self.stream(ordered=True):
            found[part.output].append(part.table)
        empty = {name: no_rows(item.schema) for name, item in self.outputs.items()}
        return self._by_name(
            {name: join(tables) if tables else empty[name] for name, tables in found.items()}
        )

    def to_awkward(self) -> Any:
        """Return all rows as an awkward array, in dataset order; of several outputs a dictionary.

        Returns
        -------
        awkward.Array
            Records with one field per column, shape ``(num_rows,)``.
        """
        import awkward as ak

        found = self.to_table()
        if isinstance(found, dict):
            return {name: ak.from_arrow(table) for name, table in found.items()}
        return ak.from_arrow(found)

    def cancel(self) -> int:
        """End the streams that run for this request, whoever of this token began them."""
        return int(json.loads(self._remote.action("cancel", self._command()))["ended"])

    def drop(self) -> bool:
        """Let the server forget the request and its cached results."""
        return bool(json.loads(self._remote.action("drop", self._command()))["dropped"])

    def read(self, place: RemotePartition, readers: set[Any], over: threading.Event) -> pa.Table:
        """Return the rows of one partition; its reader is in `readers` while it runs."""
        from sxdask.deliver.encode import no_rows

        current = place

        def fetch() -> pa.Table:
            reader = self._remote.reader(current.ticket)
            readers.add(reader)
            try:
                return _read_all(reader, over)
            finally:
                readers.discard(reader)

        try:
            return self._remote.call(fetch, "do_get", over.is_set)
        except (NotAuthorizedError, StaleIndexError) as error:
            if not error.context.get("ticket"):
                raise
            # Expired, or made by a server that had another key: the same partition, by content.
            found = self._again(place, error)
            if found is None:
                return no_rows(self.outputs[place.output].schema)
            current = found
            return self._remote.call(fetch, "do_get", over.is_set)

    def _again(self, place: RemotePartition, error: SxdaskError) -> RemotePartition | None:
        """Return `place` with a fresh ticket, None if it is known to have no rows by now."""
        with self._lock:
            self._known = self._ask()
            output = self._known[place.output]
        for item in output.partitions:
            if item.key == place.key:
                return item
        if place.key in output.facts["pruned"]:
            return None
        raise StaleIndexError(
            f"the files changed while they were read: {place.file!r}",
            hint="make the request again",
            file=place.file,
        ) from error

    def _ask(self) -> dict[str, RemoteOutput]:
        try:
            first = self._output(None)
        except RequestError as error:
            names = error.context.get("outputs")
            if not names:
                raise
            return {name: self._output(name) for name in names}
        return {first.name: first}

    def _output(self, name: str | None) -> RemoteOutput:
        info = self._remote.info(self._command(output=name))
        facts = json.loads(info.app_metadata)
        partitions = [
            RemotePartition(
                output=facts["output"],
                ticket=endpoint.ticket.ticket,
                **json.loads(endpoint.app_metadata),
            )
            for endpoint in info.endpoints
        ]
        rows = None if info.total_records < 0 else int(info.total_records)
        return RemoteOutput(facts["output"], info.schema, rows, tuple(partitions), facts)

    def _command(self, **more: Any) -> bytes:
        values = self._values | {key: value for key, value in more.items() if value is not None}
        try:
            return json.dumps(values).encode()
        except (TypeError, ValueError):
            raise RequestError(
                "the selection holds what cannot be sent to a server",
                hint="give the request as text, or as what JSON can say",
            ) from None

    def _by_name(self, found: dict[str, Any]) -> Any:
        return found if len(found) > 1 else next(iter(found.values()))

    def __repr__(self) -> str:
        language, dataset = self._values["language"], self._values.get("dataset")
        return f"<RemoteQuery {language!r} over {dataset!r} at {self._remote.url}>"[:300]


def _read_all(reader: Any, over: threading.Event) -> pa.Table:
    import pyarrow as pa

    batches = []
    while True:
        if over.is_set():
            reader.cancel()
        try:
            chunk = reader.read_chunk()
        except StopIteration:
            break
        batches.append(chunk.data)
    return pa.Table.from_batches(batches, schema=reader.schema)
