"""The handlers of Flight's calls: who asks, what for, and the answer from the parts beside this."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pyarrow import flight

from sxdask._version import __version__
from sxdask.api.remote.protocol import ACTIONS
from sxdask.core.errors import RequestError, StaleIndexError
from sxdask.deliver.encode import no_rows
from sxdask.service.flight.answers import (
    fingerprint_of,
    flight_info,
    short_info,
    stream_schema,
)
from sxdask.service.flight.auth import MIDDLEWARE, Gate, OpenDoor
from sxdask.service.flight.engine import Engine
from sxdask.service.flight.faults import LOG, as_flight_error, told
from sxdask.service.flight.prepared import RequestBook
from sxdask.service.flight.recent import RecentRequests
from sxdask.service.flight.requests import FlightRequest, parse_command
from sxdask.service.flight.results import Results
from sxdask.service.flight.streams import Stream, Streams

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator

    import pyarrow as pa

    from sxdask.core.settings import Settings
    from sxdask.service.flight.auth import Tokens
    from sxdask.service.flight.prepared import Partition
    from sxdask.service.flight.roots import Roots
    from sxdask.service.flight.tickets import Signer
    from sxdask.service.flight.workers import Workers


@dataclass(frozen=True)
class Parts:
    """What a server is made of.

    `tls` is certificate and key in PEM form. Python functions of clients run
    on the workers as they are, so only where `allow_python` says so, whatever
    the settings are.
    """

    settings: Settings
    roots: Roots
    tokens: Tokens
    signer: Signer
    workers: Workers
    budget_bytes: int
    most_streams: int
    tls: tuple[bytes, bytes] | None = None
    allow_python: bool = False


class FlightServer(flight.FlightServerBase):  # type: ignore[misc]
    """Answers requests at `location` from the moment it is made."""

    def __init__(self, location: str, parts: Parts) -> None:
        self._signer = parts.signer
        self._workers = parts.workers
        settings = replace(parts.settings, allow_python=parts.allow_python)
        self._book = RequestBook(
            settings, parts.roots, parts.workers.runner, ttl_s=parts.signer.ttl_s
        )
        self._results = Results(parts.budget_bytes)
        self._engine = Engine(self._results, parts.workers.slots)
        self._streams = Streams(parts.most_streams)
        self._recent = RecentRequests(parts.signer.ttl_s)
        self._began = time.monotonic()
        certificates = [flight.CertKeyPair(*parts.tls)] if parts.tls else None
        super().__init__(
            location,
            auth_handler=OpenDoor(),
            tls_certificates=certificates,
            middleware={MIDDLEWARE: Gate(parts.tokens)},
        )

    def end_streams(self) -> None:
        """Tell the clients of all streams to come back later."""
        self._streams.stop()

    @told
    def get_flight_info(self, context: Any, descriptor: Any) -> flight.FlightInfo:
        """Plan a request; return its schema and a ticket for each partition."""
        began, owner = time.monotonic(), _owner(context)
        request = _request(descriptor)
        prepared = self._book.prepare(request)
        output = prepared.output(request.output)
        found = flight_info(prepared, output, self._signer, owner)
        infos = [short_info(prepared, item) for item in prepared.outputs.values()]
        self._recent.add(owner, request.digest, infos)
        LOG.info(
            "%s plans %s: %d partitions in %.2f s",
            owner or "anonymous",
            prepared.fingerprint[:16],
            len(output.partitions),
            time.monotonic() - began,
        )
        return found

    @told
    def get_schema(self, context: Any, descriptor: Any) -> flight.SchemaResult:  # noqa: ARG002
        """Return the columns of a request's result."""
        request = _request(descriptor)
        return flight.SchemaResult(self._book.prepare(request).output(request.output).schema)

    @told
    def do_get(self, context: Any, ticket: Any) -> flight.GeneratorStream:
        """Compute the partition of a ticket, or take the copy that is here, and stream it."""
        owner = _owner(context)
        found = self._signer.open(ticket.ticket, owner=owner)
        request = parse_command(found.request)
        partition = self._book.partition(request, found.place)
        schema = stream_schema(partition)
        stream = Stream(owner, context.peer(), request.digest, context.is_cancelled)
        return flight.GeneratorStream(schema, self._batches(stream, partition, schema))

    @told
    def list_flights(self, context: Any, criteria: bytes) -> Iterator[flight.FlightInfo]:
        """Return the caller's recent requests, newest first; criteria begin the fingerprint."""
        wanted = bytes(criteria or b"").decode(errors="replace")
        recent = self._recent.of(_owner(context))
        return iter([info for info in recent if fingerprint_of(info).startswith(wanted)])

    @told
    def list_actions(self, context: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        """Return the names of the actions with what they do."""
        return list(ACTIONS.items())

    @told
    def do_action(self, context: Any, action: Any) -> Iterator[bytes]:
        """Do one of `ACTIONS`."""
        owner, body = _owner(context), action.body.to_pybytes() if action.body else b""
        match action.type:
            case "health":
                answer = json.dumps(self._health()).encode()
            case "explain":
                answer = self._book.prepare(parse_command(body)).explained.encode()
            case "schema":
                request = parse_command(body)
                schema = self._book.prepare(request).output(request.output).schema
                answer = schema.serialize().to_pybytes()
            case "cancel":
                ended = self._streams.end(owner, parse_command(body).digest)
                answer = json.dumps({"ended": ended}).encode()
            case "drop":
                answer = json.dumps({"dropped": self._drop(owner, parse_command(body))}).encode()
            case _:
                raise RequestError(
                    f"there is no action {action.type!r}"[:200],
                    hint=f"there is {', '.join(ACTIONS)}",
                )
        return iter([answer])

    def _batches(self, stream: Stream, partition: Partition, schema: pa.Schema) -> Iterator[Any]:
        """Yield the batches of a partition; it is computed when the first one is asked for."""
        try:
            with self._streams.opened(stream), self._held(partition, stream) as table:
                yield from self._streams.batches_of(stream, table, schema)
        except Exception as error:  # noqa: BLE001 - the last place before the wire
            raise as_flight_error(self._streams.as_seen(error)) from None

    @contextmanager
    def _held(self, partition: Partition, stream: Stream) -> Iterator[pa.Table]:
        """Give the rows of a partition."""
        if partition.is_pruned:
            yield no_rows(partition.schema)
            return
        held = self._engine.get(
            partition.name,
            stream.client,
            lambda stop: self._compute(partition, stream, stop),
            stream.is_gone,
        )
        try:
            if not partition.is_repeatable:
                self._results.drop([partition.name])
            yield held.table
        finally:
            held.release()

    def _compute(self, partition: Partition, stream: Stream, stop: threading.Event) -> pa.Table:
        try:
            return partition.task.compute(partition.piece, self._workers.runner(), stop)
        except StaleIndexError:
            self._book.forget(stream.request)
            raise

    def _drop(self, owner: str, request: FlightRequest) -> bool:
        """Forget a request of `owner`; its results too, unless another one asked for them."""
        self._streams.end(owner, request.digest)
        known, shared = self._recent.remove(owner, request.digest)
        if known and not shared:
            self._results.drop(self._book.forget(request.digest))
        return known

    def _health(self) -> dict[str, Any]:
        return {
            "status": "ok",
            "version": __version__,
            "pid": os.getpid(),
            "uptime_s": round(time.monotonic() - self._began, 3),
            "workers": self._workers.state,
            **self._engine.state,
            **self._streams.state,
            **self._results.state,
        }


def _owner(context: Any) -> str:
    caller = context.get_middleware(MIDDLEWARE)
    return str(caller.name) if caller is not None else ""


def _request(descriptor: Any) -> FlightRequest:
    if descriptor.descriptor_type != flight.DescriptorType.CMD:
        raise RequestError("the descriptor is a path", hint="give a command: the request as JSON")
    return parse_command(bytes(descriptor.command))
