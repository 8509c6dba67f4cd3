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

from sxdask.core.errors import SxdaskError, SystemFaultError
from sxdask.core.events import RunFinished
from sxdask.deliver.budget import Budget
from sxdask.deliver.failures import Tally
from sxdask.deliver.layout import Layout, delivery_of, jobs_in
from sxdask.deliver.ledger import Ledger, ledger_path
from sxdask.deliver.manifest import Failure
from sxdask.deliver.stream import OnError, Outcome, run_tasks
from sxdask.deliver.tasks import StoreTask, StoreValue
from sxdask.deliver.work import Countdown, JobTask, announcement, told_apart

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
    """How a delivery runs; see `run_tasks` for the first three and `Tally` for the next two.

    `ledger_dir` is where receipts are kept until the delivery is complete;
    None keeps none, and a run that is cut off starts anew. With `keep` what a
    failed or interrupted run has stored stays hidden at the destination, for
    a later run of the same delivery to take up; without, it is removed.
    `on_failed` hears of each piece that failed for good, `on_tally` of what
    counts them. `memory` is the
    limit of a `Budget`, in bytes.
    """

    runner: Runner | None = None
    window: int | None = None
    retries: int = 3
    on_error: OnError = "raise"
    max_failed: float | None = None
    cancel: threading.Event | None = None
    ledger_dir: Path | None = None
    keep: bool = False
    memory: int = 0
    on_event: Callable[[Event], None] = field(default=lambda _: None)
    on_learned: Callable[[Piece, Mapping[str, ColumnZones]], None] = field(
        default=lambda _piece, _learned: None
    )
    on_failed: Callable[[Piece, SxdaskError], None] = field(default=lambda _piece, _error: None)
    on_tally: Callable[[Tally], None] = field(default=lambda _: None)


def deliver(
    sources: Sequence[Source],
    sink: Sink,
    options: Options = Options(),
    *,
    title: str = "",
    layout: Layout | None = None,
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
    layout
        Which partitions become one object; by default each its own.

    Returns
    -------
    Manifest
        As it lies in the destination. With ``on_error="skip"`` it names the
        partitions that failed, and a later call computes those alone.

    Raises
    ------
    SxdaskError
        The first error; nothing is published then. Its context has a
        `FailureReport` as ``report`` if a partition failed for good.
    PartitionFailedError
        If more partitions failed than may be skipped, or all did.
    """
    started = time.perf_counter()
    sources, layout = told_apart(sources), layout or Layout()
    work = jobs_in(sources, layout)
    delivery = delivery_of(sources, layout, work, title)
    tally = Tally(len(work), options.on_error, options.max_failed)
    options.on_tally(tally)
    path = None
    if options.ledger_dir is not None:
        path = ledger_path(options.ledger_dir, sink.location, delivery)
    ledger = None if path is None else Ledger(path, delivery)
    stored = sink.begin(delivery, ledger.receipts() if ledger else ())
    run = _Run(sources, sink, options, ledger, {item.part: item for item in stored}, tally)
    try:
        options.on_event(announcement(work))
        run.compute(work)
        tally.finish()
        manifest = sink.commit(run.receipts.values(), tally.failures)
    except BaseException as error:  # KeyboardInterrupt as well: nothing half done is left
        run.leave(error)
        raise
    finally:
        run.close()
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
    tally: Tally

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
            JobTask(tasks, self.sink),
            missing,
            runner=self.options.runner,
            window=self.options.window,
            retries=self.options.retries,
            on_error="skip",  # the tally knows what the run may bear
            cancel=self.options.cancel,
            budget=Budget(self.options.memory),
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
            for piece in job.pieces:
                self.options.on_failed(piece, outcome.error)
            failure = Failure.of(job.part, outcome.error, outcome.attempts)
            self.tally.add(failure, outcome.error)
            return
        value = outcome.value
        if not isinstance(value, StoreValue):
            raise SystemFaultError(f"a worker answered with {type(value).__name__}")
        self.receipts[job.part] = value.receipt
        if self.ledger is not None:
            self.ledger.append(value.receipt)
        if not job.part.members:
            self.options.on_learned(job.pieces[0], value.learned)
        for piece, done in zip(job.pieces, value.pieces, strict=False):
            self.options.on_learned(piece, done.learned)

    def leave(self, error: BaseException) -> None:
        """End without a manifest: keep what is stored for a later run, or remove it."""
        try:
            if self.options.keep:
                self.sink.suspend()
            else:
                self.sink.abort()
                self.forget()
        except SxdaskError as failed:
            # The first error is the one to tell. The ledger stays with what could not be
            # removed, so that the next run finds it.
            if isinstance(error, SxdaskError):
                error.add(left_behind=failed.problem)

    def forget(self) -> None:
        """Remove the ledger."""
        if self.ledger is not None:
            self.ledger.remove()

    def close(self) -> None:
        """Close the ledger."""
        if self.ledger is not None:
            self.ledger.close()
