"""One delivery from beginning to end: what is there, what is missing, commit or abort.

This is the order that makes deliveries exact: the sink and the ledger say
which partitions are stored already, only the others are computed, each
receipt is in the ledger before the next is waited for, and the manifest is
written when every partition has a receipt.
"""

from __future__ import annotations

import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import SystemFaultError
from sxdask.core.events import RunFinished
from sxdask.deliver.ledger import Ledger, ledger_path
from sxdask.deliver.manifest import Failure
from sxdask.deliver.sink import Delivery
from sxdask.deliver.stream import OnError, Outcome, run_tasks
from sxdask.deliver.tasks import OutputTask, StoreTask, StoreValue
from sxdask.deliver.work import Countdown, announcement, jobs_of, told_apart

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from sxdask.core.events import Event
    from sxdask.deliver.manifest import Manifest
    from sxdask.deliver.part import Part
    from sxdask.deliver.runner import Runner
    from sxdask.deliver.sink import Receipt, Sink
    from sxdask.deliver.work import Job, Source
    from sxdask.rootio.model import ColumnZones, Piece


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
    sources = told_apart(sources)
    work = jobs_of(sources)
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
    options.on_event(announcement(work))
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


@dataclass(slots=True)
class _Run:
    sources: Sequence[Source]
    sink: Sink
    options: Options
    ledger: Ledger | None
    receipts: dict[Part, Receipt]
    failed: list[Failure] = field(default_factory=list)

    def compute(self, work: list[Job]) -> None:
        """Compute and store the parts without a receipt."""
        missing = [job for job in work if job.part not in self.receipts]
        countdown = Countdown(work)
        for job in work:
            receipt = self.receipts.get(job.part)
            if receipt is not None:
                self.tell(countdown.found(job, receipt))
        if not missing:
            return
        tasks = {
            str(number): StoreTask(source.reader, self.sink, source.labels)
            for number, source in enumerate(self.sources)
        }
        outcomes = run_tasks(
            OutputTask(tasks),
            [item for job in missing for item in job.items],
            runner=self.options.runner,
            window=self.options.window,
            retries=self.options.retries,
            on_error=self.options.on_error,
            cancel=self.options.cancel,
        )
        with closing(outcomes):
            for outcome in outcomes:
                job = missing[outcome.position]
                self.note(job, outcome)
                self.tell(countdown.ended(job, outcome))

    def tell(self, events: Iterable[Event]) -> None:
        """Hand events on."""
        for event in events:
            self.options.on_event(event)

    def note(self, job: Job, outcome: Outcome[Any]) -> None:
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
        self.options.on_learned(job.pieces[0], value.learned)

    def forget(self) -> None:
        """Remove the ledger."""
        if self.ledger is not None:
            self.ledger.remove()

    def close(self) -> None:
        """Close the ledger."""
        if self.ledger is not None:
            self.ledger.close()
