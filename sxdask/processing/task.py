"""What a worker does with a chunk: events from the index, one call of the processor."""

from __future__ import annotations

import threading
import time
import warnings
import zlib
from dataclasses import dataclass, field
from functools import cached_property
from traceback import format_exception
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from sxdask.core.errors import ReadFailedError, SxdaskError, UserFunctionError
from sxdask.deliver.attempt import is_transient
from sxdask.deliver.part import public_url
from sxdask.graph.columns import LazyColumns
from sxdask.processing.columns import Branches, ChunkColumns, Computed
from sxdask.processing.forms import limited, unpacked
from sxdask.rootio.layout import layout_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.core.events import ReadReport
    from sxdask.processing.nanoevents import Template
    from sxdask.rootio.model import ColumnZones, Conjunct, Piece, ReadOptions

_MOST_TRACEBACK: Final = 20_000


@dataclass(frozen=True)
class Kind:
    """What the files of one dataset with one layout have in common.

    `layout` is the digest and the packed JSON of the `TreeLayout`, `form`
    coffea's form of the tree, packed. `allowed` are the columns that the
    request leaves; None is all.
    """

    dataset: str
    metadata: Mapping[str, Any]
    layout: tuple[str, bytes]
    form: bytes
    conjuncts: tuple[Conjunct, ...]
    options: ReadOptions
    allowed: frozenset[str] | None = None
    computed: Computed = field(default_factory=Computed)

    @cached_property
    def branches(self) -> Branches:
        """The columns by coffea's names."""
        digest, packed = self.layout
        return Branches(layout_from_json(digest, lambda: zlib.decompress(packed).decode()))

    def base(self) -> dict[str, Any]:
        """Return coffea's form of what the request leaves of the tree."""
        form = unpacked(self.form)
        if self.allowed is None:
            return form
        branches, allowed = self.branches, self.allowed
        return limited(form, lambda path: not allowed.isdisjoint(branches.within(path)))

    def template(self, schema: Any, metadata: Mapping[str, Any]) -> Template:
        """Return the events of these files without their buffers."""
        from sxdask.processing.nanoevents import Template

        return Template(self.base(), schema, metadata)

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


@dataclass(frozen=True, slots=True)
class Chunk:
    """An entry range to process; `expected` are the columns that are read together.

    `filename` and `treename` are as the user wrote them.
    """

    kind: int
    piece: Piece
    expected: tuple[str, ...]
    filename: str
    treename: str


@dataclass(frozen=True, slots=True)
class ChunkFacts:
    """What processing one chunk cost. `columns` are as coffea's metrics spell them.

    `touched` are the columns of the file that were asked for, `seconds` the
    time of the processor with the reading that it caused.
    """

    events: int
    seconds: float
    columns: frozenset[str]
    touched: tuple[str, ...]
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ChunkValue:
    """The accumulator of a chunk, and what it cost."""

    out: Any
    facts: ChunkFacts


class ProcessTask:
    """Call the processor on a chunk.

    Each call gets a copy of its own, as in coffea: what a processor keeps in
    itself never reaches another chunk.

    Parameters
    ----------
    processor
        Pickled: something with ``process(events)``, or a function of events.
    name
        What it is called.
    schema
        The schema class.
    kinds
        By `Chunk.kind`.
    """

    def __init__(self, processor: bytes, name: str, schema: Any, kinds: tuple[Kind, ...]) -> None:
        self._state = (processor, name, schema, kinds)
        self._processor, self._name, self._schema, self._kinds = self._state
        self._templates: dict[int, Template] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return ProcessTask, self._state

    def __call__(self, chunk: Chunk) -> ChunkValue:
        """Process `chunk`.

        Raises
        ------
        SxdaskError
            With dataset, file, tree and entry range in its context.
        """
        piece, kind = chunk.piece, self._kinds[chunk.kind]
        try:
            return self._process(chunk, kind)
        except SxdaskError as error:
            raise error.add(
                dataset=kind.dataset,
                file=piece.url,
                tree=piece.tree,
                entry_start=piece.entry_start,
                entry_stop=piece.entry_stop,
            ) from error.__cause__

    def _process(self, chunk: Chunk, kind: Kind) -> ChunkValue:
        from sxdask.processing.nanoevents import ChunkFactory

        metadata = chunk_metadata(chunk, kind)
        template = self._template(chunk.kind, metadata)
        layouts = kind.branches.layout.columns
        lazy = LazyColumns(chunk.piece, layouts, chunk.expected, kind.conjuncts, kind.options)
        columns = ChunkColumns(kind.branches, lazy, kind.computed)
        factory = ChunkFactory(template, columns, lazy.num_rows, metadata)
        events = factory.events()
        begin = time.perf_counter()
        try:
            out = self._call(events, chunk)
        except SxdaskError:
            if lazy.failure is None:
                raise
            out = None
        lazy.finish()  # a failed read is what went wrong, whatever the processor made of it
        facts = ChunkFacts(
            events=lazy.num_rows,
            seconds=time.perf_counter() - begin,
            columns=frozenset(factory.touched),
            touched=tuple(columns.touched),
            report=lazy.report,
            learned=lazy.learned,
        )
        return ChunkValue(out, facts)

    def _template(self, number: int, metadata: Mapping[str, Any]) -> Template:
        with self._lock:
            found = self._templates.get(number)
            if found is None:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # the client has warned already
                    found = self._kinds[number].template(self._schema, metadata)
                self._templates[number] = found
            return found

    def _call(self, events: Any, chunk: Chunk) -> Any:
        import cloudpickle

        piece, file = chunk.piece, public_url(chunk.filename)
        place = f"entries {piece.entry_start} to {piece.entry_stop} of {file!r}"
        try:
            processor = cloudpickle.loads(self._processor)
            work = getattr(processor, "process", processor)
            out = work(events)
        except (SxdaskError, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever a user's code raises
            failed = self._failure(error, place)
        else:
            if out is not None:
                return out
            failed = UserFunctionError(
                f"processor {self._name} returns nothing (None) for {place}",
                hint="return the accumulator from process()",
            )
        raise failed  # out here: the user's exception, with all its frames, may not travel

    def _failure(self, error: BaseException, place: str) -> SxdaskError:
        # awkward says where something failed on one line and what it was on the next
        said = " ".join(line.strip() for line in str(error).strip().splitlines()[:2])[:200]
        cause = f"{type(error).__name__}: {said}" if said else type(error).__name__
        kind = ReadFailedError if is_transient(error) else UserFunctionError
        missing = isinstance(error, ModuleNotFoundError)
        return kind(
            f"processor {self._name} fails for {place}: {cause}",
            hint=f"install {error.name} on the workers" if missing else None,  # type: ignore[attr-defined]
            cause=type(error).__name__,
            traceback="".join(format_exception(error))[-_MOST_TRACEBACK:],
        )


def chunk_metadata(chunk: Chunk, kind: Kind) -> dict[str, Any]:
    """Return ``events.metadata`` as coffea's Runner gives it."""
    piece = chunk.piece
    return {
        "dataset": kind.dataset,
        "filename": chunk.filename,
        "treename": chunk.treename,
        "entrystart": piece.entry_start,
        "entrystop": piece.entry_stop,
        "fileuuid": str(UUID(hex=piece.stamp.uuid)),
        **kind.metadata,
    }
