"""One delivery from beginning to end: what is there, what is missing, commit or abort.

This is the order that makes deliveries exact: the sink and the ledger say
which partitions are stored already, only the others are computed, each
receipt is in the ledger before the next is waited for, and the manifest is
written when every partition has a receipt.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import SystemFaultError
from sxdask.core.events import PartitionDone, ReadReport, RunFinished, RunStarted
from sxdask.deliver.ledger import Ledger, ledger_path
from sxdask.deliver.manifest import Failure
from sxdask.deliver.sink import Delivery
from sxdask.deliver.stream import OnError, Outcome, run_tasks
from sxdask.deliver.tasks import OutputTask, StoreTask, StoreValue, partition_event

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from sxdask.core.events import Event
    from sxdask.deliver.manifest import Manifest
    from sxdask.deliver.part import Part
    from sxdask.deliver.runner import Runner
    from sxdask.deliver.sink import Receipt, Sink
    from sxdask.deliver.tasks import Labels, Reader
    from sxdask.rootio.model import ColumnZones, Piece


TOGETHER = 8
"""Entry ranges whose outputs are delivered one output after the other."""


@dataclass(frozen=True, slots=True)
class Source:
    """One tree of a request: its reader, its pieces, and what its tables say.

    Several sources may go to one output; their partitions follow each other.
    """

    reader: Reader
    pieces: Sequence[Piece]
    labels: Labels


@dataclass(frozen=True, slots=True)
class Options:
    """How a delivery runs; see `run_tasks` for the first four.

    `ledger_dir` is where receipts are kept until the delivery is complete;
    None keeps none, and a run that is cut off starts anew. With `keep` what a
    failed or interrupted run has stored stays hidden at the destination, for
    a later run of the same delivery to take up; without, it is removed.
    """

    runner: Runner | None = None
    window: int | None = None
    retries: int = 3
    on_error: OnError = "raise"
    cancel: threading.Event | None = None
    ledger_dir: Path | None = None
    keep: bool = False
    on_event: Callable[[Event], None] = field(default=lambda _: None)
    on_learned: Callable[[Piece, Mapping[str, ColumnZones]], None] = field(
        default=lambda _piece, _learned: None
    )


def deliver(
    sources: Sequence[Source], sink: Sink, options: Options = Options(), *, title: str = ""
) -> Manifest:
    """Read every piece, store it in `sink` from the workers, and publish all of it.

    Parameters
    ----------
    sources
        The outputs, at least one; all with one fingerprint and format.
    sink
        Where to; a fresh one for each delivery.
    title
        The request's title, for the manifest.

    Returns
    -------
    Manifest
        As it lies in the destination. With ``on_error="skip"`` it names the
        partitions that failed, and a later call computes those alone.

    Raises
    ------
    SxdaskError
        The first error; nothing is published then.
    """
    started = time.perf_counter()
    sources = _told_apart(sources)
    work = _work(sources)
    delivery = Delivery(
        sources[0].labels.fingerprint,
        sources[0].labels.format,
        tuple(job.part for job in work),
        title,
        {source.labels.output: source.labels.schema(source.reader) for source in sources},
    )
    path = None
    if options.ledger_dir is not None:
        path = ledger_path(options.ledger_dir, sink.location, delivery)
    ledger = None if path is None else Ledger(path, delivery)
    stored = sink.begin(delivery, ledger.receipts() if ledger else ())
    run = _Run(sources, sink, options, ledger, {item.part: item for item in stored})
    options.on_event(_announcement(work))
    try:
        run.compute(work)
        manifest = sink.commit(run.receipts.values(), run.failed)
    except BaseException:  # KeyboardInterrupt as well: nothing half done is left
        if not options.keep:
            sink.abort()
            run.forget()
        raise
    finally:
        run.close()
    if not run.failed:
        run.forget()
    options.on_event(RunFinished(time.perf_counter() - started))
    return manifest


@dataclass(frozen=True, slots=True)
class _Job:
    source: str
    part: Part
    piece: Piece


@dataclass(slots=True)
class _Run:
    sources: Sequence[Source]
    sink: Sink
    options: Options
    ledger: Ledger | None
    receipts: dict[Part, Receipt]
    failed: list[Failure] = field(default_factory=list)

    def compute(self, work: list[_Job]) -> None:
        """Compute and store the parts without a receipt."""
        missing = [job for job in work if job.part not in self.receipts]
        left = Counter(job.piece.url for job in work)
        for job in work:
            receipt = self.receipts.get(job.part)
            if receipt is not None:
                left[job.piece.url] -= 1
                last = not left[job.piece.url]
                self.options.on_event(
                    PartitionDone(job.part.index, job.part.file, receipt.rows, ReadReport(), last)
                )
        if not missing:
            return
        tasks = {
            str(number): StoreTask(source.reader, self.sink, source.labels)
            for number, source in enumerate(self.sources)
        }
        outcomes = run_tasks(
            OutputTask(tasks),
            [(job.source, job.piece) for job in missing],
            runner=self.options.runner,
            window=self.options.window,
            retries=self.options.retries,
            on_error=self.options.on_error,
            cancel=self.options.cancel,
        )
        with closing(outcomes):
            for outcome in outcomes:
                job = missing[outcome.position]
                left[job.piece.url] -= 1
                self.note(job, outcome)
                last = not left[job.piece.url]
                self.options.on_event(partition_event(job.piece, outcome, last_of_file=last))

    def note(self, job: _Job, outcome: Outcome[Any]) -> None:
        """Keep the receipt, or the reason why there is none."""
        if outcome.error is not None:
            self.failed.append(Failure.of(job.part, outcome.error))
            return
        value = outcome.value
        if not isinstance(value, StoreValue):
            raise SystemFaultError(f"a worker answered with {type(value).__name__}")
        self.receipts[job.part] = value.receipt
        if self.ledger is not None:
            self.ledger.append(value.receipt)
        self.options.on_learned(job.piece, value.learned)

    def forget(self) -> None:
        """Remove the ledger."""
        if self.ledger is not None:
            self.ledger.remove()

    def close(self) -> None:
        """Close the ledger."""
        if self.ledger is not None:
            self.ledger.close()


def _told_apart(sources: Sequence[Source]) -> list[Source]:
    found = []
    so_far: Counter[str] = Counter()
    for source in sources:
        output = source.labels.output
        labels = replace(source.labels, ordinal=so_far[output])
        found.append(replace(source, labels=labels))
        so_far[output] += 1
    return found


def _work(sources: Sequence[Source]) -> list[_Job]:
    """Return the jobs of all sources, numbered within their output, a few entry ranges at a time.

    Several outputs of the same entries come soon after each other, so that a
    worker still has what they share, and not at once, so that none waits for
    another to have it.
    """
    found = []
    so_far: Counter[str] = Counter()
    for number, source in enumerate(sources):
        output = source.labels.output
        for piece in source.pieces:
            numbered = replace(piece, index=so_far[output])
            so_far[output] += 1
            found.append(_Job(str(number), source.labels.part(numbered), numbered))
    files = {url: place for place, url in enumerate(dict.fromkeys(job.piece.url for job in found))}
    places = [(files[job.piece.url], job.piece.entry_start) for job in found]
    ranks = {place: rank for rank, place in enumerate(sorted(set(places)))}
    order = sorted(
        range(len(found)),
        key=lambda n: (ranks[places[n]] // TOGETHER, int(found[n].source), ranks[places[n]]),
    )
    return [found[n] for n in order]


def _announcement(work: list[_Job]) -> RunStarted:
    pieces = [job.piece for job in work]
    return RunStarted(
        len(pieces),
        len({piece.url for piece in pieces}),
        sum(piece.num_entries for piece in pieces),
        sum(int(found.num_bytes.sum()) for piece in pieces for found in piece.baskets.values()),
    )
