"""Requests made ready: planned over their files once, for all the partitions that follow."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from sxdask.api.datasets import dataset as open_dataset
from sxdask.api.queries import Query
from sxdask.core.errors import EmptyDatasetError, RequestError, StaleIndexError
from sxdask.deliver.encode import schema_from_text
from sxdask.pipeline.compile import compile_plan, explain, require_tables
from sxdask.pipeline.labels import labels_of
from sxdask.pipeline.outputs import output_tables
from sxdask.service.flight.compute import PartTask
from sxdask.service.flight.tickets import Place

if TYPE_CHECKING:
    from collections.abc import Callable

    import pyarrow as pa

    from sxdask.core.settings import Settings
    from sxdask.deliver.part import Part
    from sxdask.deliver.runner import Runner
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.compile import Compiled
    from sxdask.rootio.model import Piece
    from sxdask.service.flight.requests import FlightRequest
    from sxdask.service.flight.roots import Roots

_MOST_PREPARED = 64


@dataclass(frozen=True, slots=True)
class Partition:
    """One partition of one output, and the task that computes it.

    `is_pruned` partitions have no row, by what is known of the file.
    """

    place: Place
    piece: Piece
    part: Part
    task: PartTask
    schema: pa.Schema
    is_pruned: bool = False

    @property
    def name(self) -> str:
        """What its rows are called, whoever asks for them: equal names, equal rows."""
        return f"{self.place.key}-{self.place.first_entry}"

    @property
    def is_repeatable(self) -> bool:
        """Whether a copy is as good; what a Python function gives may depend on anything."""
        return self.task.lowered.output.function is None

    @property
    def facts(self) -> dict[str, Any]:
        """What a client is told of it."""
        return {
            "index": self.place.index,
            "file": self.part.file,
            "entry_start": self.part.entry_start,
            "entry_stop": self.part.entry_stop,
            "key": self.place.key,
        }


@dataclass(frozen=True)
class OutputTables:
    """The partitions of one output, by content key and `first_entry`."""

    name: str
    schema: pa.Schema
    partitions: tuple[Partition, ...]
    pruned: tuple[Partition, ...]
    rows: int | None

    @cached_property
    def by_place(self) -> dict[tuple[str, int], Partition]:
        """All partitions, those without rows too: a ticket may be older than what is known."""
        return {
            (item.place.key, item.place.first_entry): item
            for item in (*self.pruned, *self.partitions)
        }


@dataclass(frozen=True)
class Prepared:
    """A request over the files that were there when it was made ready."""

    request: FlightRequest
    compiled: Compiled
    outputs: dict[str, OutputTables]

    @property
    def fingerprint(self) -> str:
        """Name of the plan."""
        return self.compiled.fingerprint

    @cached_property
    def explained(self) -> str:
        """What the request will do, as text."""
        return explain(self.compiled)

    @cached_property
    def explain_digest(self) -> str:
        """Hexadecimal digest of `explained`."""
        return blake2b(self.explained.encode(), digest_size=16).hexdigest()

    def output(self, name: str | None) -> OutputTables:
        """Return an output by its name; None stands for the only one.

        Raises
        ------
        RequestError
            If there are several and `name` is None, or there is none of that name.
        """
        names = list(self.outputs)
        if name is None and len(names) == 1:
            return self.outputs[names[0]]
        if name is None or name not in self.outputs:
            listed = ", ".join(map(repr, names[:20]))
            problem = f"no output {name!r}" if name is not None else f"{len(names)} output trees"
            raise RequestError(
                f"the request has {problem}",
                hint=f'name one of them as "output": {listed}',
                outputs=names,
            )
        return self.outputs[name]


class RequestBook:
    """Prepared requests, the most recently used ones kept.

    `runner` gives the place where the outputs of a Python function are learned.
    """

    def __init__(
        self, settings: Settings, roots: Roots, runner: Callable[[], Runner], *, ttl_s: float
    ) -> None:
        self._settings = settings
        self._roots = roots
        self._runner = runner
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._making: dict[str, threading.Lock] = {}
        self._kept: OrderedDict[str, tuple[float, Prepared]] = OrderedDict()

    def prepare(self, request: FlightRequest) -> Prepared:
        """Plan `request` over the files that there are now.

        Raises
        ------
        SxdaskError
            If it cannot be answered, or its files may not be read.
        """
        digest = request.digest
        with self._one_at_a_time(digest):
            found = self._made(request)
        with self._lock:
            self._kept[digest] = time.monotonic(), found
            self._kept.move_to_end(digest)
            while len(self._kept) > _MOST_PREPARED:
                self._kept.popitem(last=False)
        return found

    def partition(self, request: FlightRequest, place: Place) -> Partition:
        """Return the partition that a ticket means, planning anew where that is needed.

        Raises
        ------
        StaleIndexError
            If the files have no such partition any more.
        """
        with self._lock:
            made, prepared = self._kept.get(request.digest, (0.0, None))
        if prepared is not None and time.monotonic() - made < self._ttl_s:
            found = _look_up(prepared, place)
            if found is not None:
                self._roots.require(found.piece.url)
                return found
        found = _look_up(self.prepare(request), place)
        if found is None:
            raise StaleIndexError(
                "the files changed after the ticket was given",
                hint="ask for the flight's information again: it has fresh tickets",
                ticket="stale",
            )
        return found

    def forget(self, digest: str) -> list[str]:
        """Drop a prepared request; return the names of its partitions."""
        with self._lock:
            _, prepared = self._kept.pop(digest, (0.0, None))
        outputs = prepared.outputs.values() if prepared is not None else ()
        return [item.name for output in outputs for item in output.partitions]

    def _one_at_a_time(self, digest: str) -> threading.Lock:
        with self._lock:
            if len(self._making) > 16 * _MOST_PREPARED:
                self._making = {key: lock for key, lock in self._making.items() if lock.locked()}
            return self._making.setdefault(digest, threading.Lock())

    def _made(self, request: FlightRequest) -> Prepared:
        settings = self._settings
        if request.language == "python" and not settings.allow_python:
            raise RequestError(
                "requests that are Python functions are switched off here",
                hint="ask in another language; who runs the server may --allow-python",
            )
        if request.partition_bytes is not None:
            settings = replace(settings, partition_bytes=request.partition_bytes)
        placed = self._roots.placed(request.dataset)
        data = open_dataset(placed, request.tree, settings=settings)
        for url in data.files:
            self._roots.require(url)
        query = Query.parse(request.language, request.selection, data.source, title=request.title)
        _require_rows(query)
        compiled = compile_plan(query.plan, data.source)
        if not compiled.tables:  # also checks that what goes under one name fits together
            raise EmptyDatasetError(
                f"no file of {data.name!r} has a tree that the request names",
                hint=f"the first file has {', '.join(map(repr, data.trees))}",
            )
        parts = list(compiled.parts)
        if parts[0].output.function is not None:
            parts = list(output_tables(parts[0], self._runner())[0])
        facts = {"title": request.title, "language": request.language}
        facts = {key: value for key, value in facts.items() if value}
        outputs: dict[str, OutputTables] = {}
        for name in dict.fromkeys(part.output.name for part in parts):
            same = [part for part in parts if part.output.name == name]
            outputs[name] = _tables(compiled, name, same, facts)
        return Prepared(request, compiled, outputs)


def _look_up(prepared: Prepared, place: Place) -> Partition | None:
    output = prepared.outputs.get(place.output)
    found = output.by_place.get((place.key, place.first_entry)) if output else None
    return None if found is None else replace(found, place=place)


def _require_rows(query: Query) -> None:
    require_tables(query.plan)
    if any(output.reduction is not None for output in query.plan.outputs):
        raise RequestError(
            "the request reduces all rows to one result, and a Flight server gives rows",
            hint="ask for the rows, and reduce them where they arrive",
        )


def _tables(
    compiled: Compiled, name: str, tables: list[Lowered], facts: dict[str, str]
) -> OutputTables:
    """Return the partitions of the sub-queries that give the output `name`."""
    kept: list[Partition] = []
    pruned: list[Partition] = []
    schema: pa.Schema = None
    for ordinal, table in enumerate(tables):
        labels = replace(labels_of(compiled, table, facts), ordinal=ordinal)
        if schema is None:
            schema = schema_from_text(labels.schema(table.reader))
        task = PartTask(compiled, table, labels, facts)
        for piece, target in (
            *((piece, kept) for piece in table.pieces),
            *((piece, pruned) for piece in table.pruned),
        ):
            numbered = replace(piece, index=len(target))
            part = labels.part(numbered)
            place = Place(name, part.content_key, numbered.index, piece.first_entry)
            target.append(Partition(place, numbered, part, task, schema, target is pruned))
    exact = all(table.exact_rows for table in tables)
    rows = sum(item.piece.num_entries for item in kept) if exact else None
    return OutputTables(name, schema, tuple(kept), tuple(pruned), rows)
