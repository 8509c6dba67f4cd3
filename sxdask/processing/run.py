"""One run of a processor: first chunks to see what it reads, then all others, merged."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from sxdask.core.errors import EmptyDatasetError, StaleIndexError
from sxdask.core.events import (
    Event,
    PartitionDone,
    PartitionFailed,
    Progress,
    RunFinished,
    RunStarted,
    advance,
)
from sxdask.deliver.part import public_url
from sxdask.pipeline.shown import shown
from sxdask.processing.chunks import MOST_ENTRIES, even_chunks, first_chunk, sized_chunks
from sxdask.processing.merge import MergeTree
from sxdask.processing.places import place_of
from sxdask.processing.report import Report
from sxdask.processing.task import Chunk, ProcessTask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from sxdask.core.settings import Settings
    from sxdask.deliver.stream import Outcome
    from sxdask.processing.inputs import Bound, BoundDataset, BoundFile, CanSkip
    from sxdask.processing.places import Place
    from sxdask.processing.processor import Shipped

    OnEvent = Callable[[Event], None]


@dataclass(frozen=True, slots=True)
class Policy:
    """How a run cuts and what it bears. `can_skip` says which errors cost only their chunk."""

    chunksize: int | None = None
    maxchunks: int | None = None
    retries: int = 3
    can_skip: CanSkip = lambda _: False


@dataclass(frozen=True, slots=True)
class _Slot:
    """An entry range of a file, by the places of dataset and file."""

    dataset: int
    file: int
    start: int
    stop: int

    @property
    def span(self) -> tuple[int, int]:
        return self.start, self.stop


@dataclass(slots=True)
class _Ended:
    """What became of chunks, by slot: what is held of them, None where a chunk was left out."""

    held: dict[_Slot, Any] = field(default_factory=dict)
    done: list[tuple[_Slot, Event]] = field(default_factory=list)


class ProcessorRun:
    """Drive a processor over bound datasets; `progress` and `report` say how it went."""

    def __init__(
        self,
        shipped: Shipped,
        bound: Bound,
        settings: Settings,
        policy: Policy,
        *,
        show: Literal[True] | OnEvent | None = None,
    ) -> None:
        self.progress = Progress()
        self.report = Report()
        self._bound = bound
        self._settings = settings
        self._policy = policy
        self._show = show
        self._task = ProcessTask(shipped.payload, shipped.name, shipped.schema, bound.kinds)
        self._expected: dict[int, dict[str, None]] = {
            number: {} for number in range(len(bound.kinds))
        }
        for dataset, file, error in bound.skipped:
            self.report.skip(dataset, file, None, error)

    def result(self, client: Any = None, scheduler: Any = None) -> Any:
        """Process all chunks and return the merged accumulator, None if none was left.

        Raises
        ------
        SxdaskError
            Of the first chunk that failed and may not be left out.
        """
        from sxdask.deliver.runner import choose_runner

        began = time.perf_counter()
        with (
            closing(place_of(choose_runner(client, scheduler))) as place,
            shown(self._show) as show,
        ):
            first, early = self._first(), _Ended()
            for slot, held, event in self._outcomes(first, place, traced=True):
                early.held[slot] = held
                early.done.append((slot, event))
            slots = self._all(first)
            left = Counter((slot.dataset, slot.file) for slot in slots)
            self._emit(self._started(slots), show)
            tree: MergeTree[Any] = MergeTree(place.merge)
            places = {slot: place for place, slot in enumerate(slots)}
            for slot, event in early.done:
                tree.add(places[slot], early.held.pop(slot))
                self._emit(_ended(event, left, slot), show)
            known = set(first)
            rest = [slot for slot in slots if slot not in known]
            for slot, held, event in self._outcomes(rest, place):
                tree.add(places[slot], held)
                self._emit(_ended(event, left, slot), show)
            whole = tree.result()
            found = None if whole is None else place.take(whole)
            self._emit(RunFinished(time.perf_counter() - began), show)
        return found

    def _outcomes(
        self, slots: Sequence[_Slot], place: Place, *, traced: bool = False
    ) -> Iterator[tuple[_Slot, Any, Event]]:
        """Yield each slot with what is held of it and its event, as chunks end."""
        from sxdask.deliver.stream import run_tasks

        chunks = (self._chunk(number, slot, traced=traced) for number, slot in enumerate(slots))
        outcomes: Any = run_tasks(
            self._task,
            chunks,
            runner=place.runner,
            retries=self._policy.retries,
            on_error="skip",
        )
        with closing(outcomes):
            for outcome in outcomes:
                slot = slots[outcome.position]
                yield slot, *self._settled(slot, outcome, place)

    def _settled(self, slot: _Slot, outcome: Outcome[Any], place: Place) -> tuple[Any, Event]:
        dataset, file = self._place(slot)
        url = public_url(file.index.url)
        error = outcome.error
        if error is not None:
            if isinstance(error, StaleIndexError):
                dataset.source.renew(file.index.url, file.index.tree)
            if not self._policy.can_skip(error):
                raise error
            self.report.skip(dataset.name, file.file.name, slot.span, error)
            return None, PartitionFailed(outcome.position, url, error.code, error.problem)
        facts = outcome.value.facts
        self.report.add(facts)
        self._expected[file.kind] |= dict.fromkeys(facts.touched)
        if facts.learned:
            piece = dataset.piece(0, file, slot.span, facts.touched)
            dataset.source.learn(piece, facts.learned)
        done = PartitionDone(outcome.position, url, facts.events, facts.report)
        return place.held(outcome.value), done

    def _chunk(self, number: int, slot: _Slot, *, traced: bool) -> Chunk:
        dataset, file = self._place(slot)
        expected = tuple(self._expected[file.kind])
        # Whatever the processor may touch first has its baskets with it, so nothing is opened.
        names = tuple(file.index.layout.columns) if traced else expected
        return Chunk(
            kind=file.kind,
            piece=dataset.piece(number, file, slot.span, names),
            expected=expected,
            filename=file.file.name,
            treename=file.file.tree or file.index.tree,
        )

    def _place(self, slot: _Slot) -> tuple[BoundDataset, BoundFile]:
        dataset = self._bound.datasets[slot.dataset]
        return dataset, dataset.files[slot.file]

    def _first(self) -> list[_Slot]:
        """Return the first chunk of each kind of file."""
        found: dict[int, _Slot] = {}
        for number, dataset in enumerate(self._bound.datasets):
            taken = 0
            for place, file in enumerate(dataset.files):
                spans = self._given(file)
                if file.kind not in found and not self._full(taken):
                    span = spans[0] if spans else first_chunk(file.index)
                    found[file.kind] = _Slot(number, place, *span)
                taken += len(spans or ())
        if not found:
            raise EmptyDatasetError(
                "no chunk is left to process", hint="look at the files that were skipped"
            )
        return list(found.values())

    def _all(self, first: Sequence[_Slot]) -> list[_Slot]:
        """Return all chunks in order; those that cannot hold a passing event are left out."""
        known = {(slot.dataset, slot.file): slot for slot in first}
        slots: list[_Slot] = []
        for number, dataset in enumerate(self._bound.datasets):
            taken = 0
            for place, file in enumerate(dataset.files):
                spans = self._given(file)
                if spans is None:
                    spans = self._sized(dataset, file, known.get((number, place)))
                for span in spans:
                    if self._full(taken):
                        break
                    taken += 1
                    slot = _Slot(number, place, *span)
                    if slot == known.get((number, place)) or dataset.can_match(file, span):
                        slots.append(slot)
        return slots

    def _full(self, taken: int) -> bool:
        return self._policy.maxchunks is not None and taken >= self._policy.maxchunks

    def _given(self, file: BoundFile) -> list[tuple[int, int]] | None:
        """Return the ranges that are known before anything is read."""
        if file.file.steps is not None:
            return list(file.file.steps)
        size = self._policy.chunksize
        if size is None and self._policy.maxchunks is not None:
            size = MOST_ENTRIES
        return None if size is None else even_chunks(file.index.num_entries, size)

    def _sized(
        self, dataset: BoundDataset, file: BoundFile, first: _Slot | None
    ) -> list[tuple[int, int]]:
        names = dict.fromkeys((*dataset.needed, *self._expected[file.kind]))
        if first is None:
            return sized_chunks(file.index, names, self._settings)
        rest = sized_chunks(file.index, names, self._settings, start=first.stop)
        return [first.span, *(rest if first.stop else ())]

    def _started(self, slots: Sequence[_Slot]) -> RunStarted:
        entries = bytes_to_read = 0
        for slot in slots:
            dataset, file = self._place(slot)
            number = slot.stop - slot.start
            names = dict.fromkeys((*dataset.needed, *self._expected[file.kind]))
            share = number / max(file.index.num_entries, 1)
            entries += number
            bytes_to_read += round(float(file.index.compressed_bytes(names).sum()) * share)
        files = len({(slot.dataset, slot.file) for slot in slots})
        return RunStarted(len(slots), files, entries, bytes_to_read)

    def _emit(self, event: Event, show: OnEvent | None) -> None:
        self.progress = advance(self.progress, event)
        if show is not None:
            show(event)


def _ended(event: Event, left: Counter[tuple[int, int]], slot: _Slot) -> Event:
    """Return the event of a chunk, which knows whether it was the last of its file."""
    place = (slot.dataset, slot.file)
    left[place] -= 1
    if isinstance(event, PartitionDone) and not left[place]:
        return PartitionDone(event.index, event.file, event.rows, event.report, last_of_file=True)
    return event
