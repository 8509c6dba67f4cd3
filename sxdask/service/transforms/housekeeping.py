"""Results, datasets and logs go when nobody needs them any more.

Nothing that runs goes, and nothing that was given to somebody within the
shortest of times (`Lifetimes.least`). A transform is archived first, in one
transaction that looks again whether it may; then its objects go; its row is
forgotten last, when they have been removed and nothing can write them again.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from sxdask.core.errors import RequestError, SxdaskError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sxdask.service.transforms.ports import ObjectStore

_LOG: Final = logging.getLogger(__name__)
_BATCH: Final = 100


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things are kept; None keeps them for ever.

    Attributes
    ----------
    results
        Since a transform ended, or was last given to somebody.
    most_bytes
        Of all results together; the longest unused go first.
    least
        Transforms that were used within this time stay, whatever `most_bytes` says.
    lookups
        After this time the next submission looks a dataset up again.
    datasets
        Since somebody asked for a dataset that no transform is of.
    events
        Of the log of a transform that has ended.
    grace
        Between the removal of a transform's objects and of what is known of it.
    """

    results: timedelta | None = timedelta(days=30)
    most_bytes: int | None = None
    least: timedelta = timedelta(hours=1)
    lookups: timedelta | None = timedelta(hours=24)
    datasets: timedelta | None = timedelta(days=90)
    events: timedelta | None = timedelta(days=30)
    grace: timedelta = timedelta(hours=1)

    def __post_init__(self) -> None:
        """Refuse what would remove results while a client fetches them."""
        if self.results is not None and self.results < self.least:
            raise RequestError(
                f"results are kept for {self.results}, less than the least, {self.least}",
                hint="keep results longer, or make the least shorter",
            )
        if self.most_bytes is not None and self.most_bytes < 0:
            raise RequestError("the most bytes of results are at least 0")


@dataclass
class Removed:
    """What went in one round; `failures` are the objects that could not be removed, with why."""

    transforms: int = 0
    buckets: int = 0
    forgotten: int = 0
    stale: int = 0
    datasets: int = 0
    events: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(vars(self).values())


class Store(Protocol):
    """What housekeeping asks of the database; see `sxdask.service.database.lifecycle`."""

    def unused(self, before: datetime, most: int = 100) -> list[str]:
        """Return transforms that ended, and were last given to somebody, before a time."""
        ...

    def over_size(self, most_bytes: int, before: datetime) -> list[str]:
        """Return what to archive so that all results together have `most_bytes` again."""
        ...

    def archive_unused(self, request_id: str, before: datetime) -> bool:
        """Archive a transform; False if it runs, or was used after `before`."""
        ...

    def archived(self, after: int = 0, most: int = 100) -> list[tuple[int, str, str]]:
        """Return number, id and destination of archived transforms, by number."""
        ...

    def forget(self, request_id: str, before: datetime) -> bool:
        """Remove the row of a transform that was archived before a time, and its log."""
        ...

    def stale_datasets(self, before: datetime) -> int:
        """Let datasets that were looked up before a time be looked up anew."""
        ...

    def remove_dataset(self, before: datetime) -> bool:
        """Remove one dataset that nobody asked for since a time and no transform is of."""
        ...

    def trim_events(self, before: datetime, most: int = 1000) -> int:
        """Remove log entries of transforms that have ended, from before a time."""
        ...

    def compact(self) -> None:
        """Give room that is free back to the file system."""
        ...


class Housekeeping:
    """Tidies up now and then, in a thread of its own.

    Parameters
    ----------
    store
        The database.
    objects
        Where results lie, by destination.
    lifetimes
        How long things are kept.
    also
        Called with the id of each transform whose objects go, for what else is kept of it.
    every_seconds
        Between two rounds.
    now
        The clock.
    """

    def __init__(
        self,
        *,
        store: Store,
        objects: Mapping[str, ObjectStore],
        lifetimes: Lifetimes | None = None,
        also: Callable[[str], object] = lambda _: None,
        every_seconds: float = 600.0,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.store = store
        self.objects = objects
        self.lifetimes = lifetimes or Lifetimes()
        self.every_seconds = every_seconds
        self._also = also
        self._now = now
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin with the first round, in the background."""
        self._stopped.clear()
        self._thread = threading.Thread(target=self._run, name="sxdask-housekeeping", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End soon: a round that runs ends after what it does at the moment."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
            self._thread = None

    def tidy(self) -> Removed:
        """Do one round and return what went.

        Raises
        ------
        SystemFaultError
            If the database does not answer. Storage that fails is told in the
            result, and asked again in the next round.
        """
        done = Removed()
        for part in (self._archive, self._remove_objects, self._datasets, self._events):
            if not self._stopped.is_set():
                part(done)
        if done:
            self.store.compact()
            _LOG.info("tidied up: %s", done)
        return done

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self.tidy()
            except SxdaskError as error:
                _LOG.warning("nothing is tidied up: %s", error)
            except Exception:  # noqa: BLE001  housekeeping must not end for one defect
                _LOG.exception("a defect in housekeeping")
            self._stopped.wait(self.every_seconds)

    def _archive(self, done: Removed) -> None:
        keep = self.lifetimes
        now = self._now()
        if keep.results is not None:
            before = now - keep.results
            while found := self.store.unused(before, _BATCH):
                gone = self._archive_each(found, before)
                done.transforms += gone
                if not gone or self._stopped.is_set():
                    break
        if keep.most_bytes is not None:
            before = now - keep.least
            done.transforms += self._archive_each(
                self.store.over_size(keep.most_bytes, before), before
            )

    def _archive_each(self, request_ids: list[str], before: datetime) -> int:
        return sum(
            self.store.archive_unused(request_id, before)
            for request_id in request_ids
            if not self._stopped.is_set()
        )

    def _remove_objects(self, done: Removed) -> None:
        """Remove the objects of all that is archived, by anybody, and what is known of it."""
        before = self._now() - self.lifetimes.grace
        after = 0
        while found := self.store.archived(after, _BATCH):
            for number, request_id, destination in found:
                after = number
                if self._stopped.is_set():
                    return
                try:
                    self.objects[destination].remove(request_id)
                    self._also(request_id)
                except Exception as error:  # noqa: BLE001  whatever a storage's client raises
                    done.failures[request_id] = f"{type(error).__name__}: {error}"
                    _LOG.warning("objects of %s stay for now: %s", request_id, error)
                    continue
                done.buckets += 1
                done.forgotten += self.store.forget(request_id, before)

    def _datasets(self, done: Removed) -> None:
        keep = self.lifetimes
        if keep.lookups is not None:
            done.stale += self.store.stale_datasets(self._now() - keep.lookups)
        if keep.datasets is not None:
            before = self._now() - keep.datasets
            while not self._stopped.is_set() and self.store.remove_dataset(before):
                done.datasets += 1

    def _events(self, done: Removed) -> None:
        if self.lifetimes.events is not None:
            before = self._now() - self.lifetimes.events
            while not self._stopped.is_set() and (count := self.store.trim_events(before)):
                done.events += count
