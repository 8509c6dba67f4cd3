"""Lookups of datasets: threads that find files and hand them to the store as they come.

A finder talks to catalogues and storage far away, which may hang, fail for a
moment, or know of a file twice. So each lookup has a thread of its own, and a
watcher that ends one from which nothing was heard for too long: its thread is
left to itself, and whatever it may still find is dropped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    MissingExtraError,
    RequestError,
    RequestTooLargeError,
    SxdaskError,
    SystemFaultError,
)
from sxdask.core.settings import load_settings
from sxdask.datasets.address import Address, parse_address
from sxdask.datasets.finder import StreamingFinder, make_finder
from sxdask.datasets.resolve import finder_name
from sxdask.service.transforms.ports import DatasetFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sxdask.datasets.finder import Finder
    from sxdask.datasets.model import FileEntry
    from sxdask.service.transforms.ports import DatasetRecord, LookupStatus, TransformStore

_LOG: Final = logging.getLogger(__name__)
CHUNK: Final = 300
"""Most files that are handed on at once, as ServiceX's finders do."""
_CHUNK_SECONDS: Final = 2.0
_TRIES: Final = 4
_ENDING_SECONDS: Final = 5.0


class _AbandonedError(Exception):
    """Nobody waits for what this thread finds."""


@dataclass(eq=False)
class _Lookup:
    """One lookup at work. `lock` is held while the store is written for it."""

    record: DatasetRecord
    heard: float
    is_over: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)
    thread: threading.Thread | None = None


class Lookups:
    """Look datasets up, several at a time; every outcome goes to the store.

    Parameters
    ----------
    store
        Where datasets are.
    wake
        Called after the store was changed, from any thread.
    max_parallel
        Lookups at a time; others wait, the first first.
    seconds
        How long a finder may say nothing before its lookup fails. With
        ``?files=N`` it says nothing before all files are known.
    pause
        Seconds before a second try; each further one waits twice as long.
    check
        Called with the URL in a dataset's name, where there is one, before anything
        is asked; raises an error for what users may not read
        (`sxdask.service.auth.places.Places.require_open`).
    finder_of
        Gives the finder of a scheme; by default those that are registered, with
        the settings of the environment.
    """

    def __init__(
        self,
        *,
        store: TransformStore,
        wake: Callable[[], None],
        max_parallel: int = 4,
        seconds: float = 600,
        pause: float = 1.0,
        check: Callable[[str], None] | None = None,
        finder_of: Callable[[str], Finder] | None = None,
    ) -> None:
        self._store = store
        self._wake = wake
        self._max_parallel = max_parallel
        self._seconds = seconds
        self._pause = pause
        self._check = check
        self._finder_of = finder_of or _registered
        self._changed = threading.Condition()
        self._waiting: deque[DatasetRecord] = deque()
        self._running: dict[int, _Lookup] = {}
        self._watcher: threading.Thread | None = None
        self._stopping = threading.Event()

    def begin(self, record: DatasetRecord) -> None:
        """Look a dataset up, unless that is going on; return at once.

        A dataset that the store says is looked for, and that nobody here looks
        for, was left by a service that is gone: it begins anew.
        """
        with self._changed:
            known = record.id in self._running or any(
                record.id == item.id for item in self._waiting
            )
            if known or self._stopping.is_set():
                return
            self._waiting.append(record)
            if self._watcher is None:
                self._watcher = threading.Thread(
                    target=self._watch, name="sxdask-lookups", daemon=True
                )
                self._watcher.start()
            self._changed.notify_all()

    def stop(self) -> None:
        """End: nothing is written any more, and what was not finished can begin anew."""
        with self._changed:
            self._stopping.set()
            self._waiting.clear()
            running = list(self._running.values())
            self._changed.notify_all()
        for lookup in running:
            with lookup.lock:
                lookup.is_over = True
        if self._watcher is not None:
            self._watcher.join()
        end = time.monotonic() + _ENDING_SECONDS
        for lookup in running:
            if lookup.thread is not None:
                lookup.thread.join(max(0.0, end - time.monotonic()))

    def _watch(self) -> None:
        """Start what waits, and end what says nothing."""
        while not self._stopping.is_set():
            for lookup in self._silent():
                self._abandon(lookup)
            with self._changed:
                while self._waiting and len(self._running) < self._max_parallel:
                    self._start(self._waiting.popleft())
                if not self._stopping.is_set():
                    self._changed.wait(self._next_look())

    def _next_look(self) -> float | None:
        heard = [item.heard for item in self._running.values()]
        return max(0.01, min(heard) + self._seconds - time.monotonic()) if heard else None

    def _silent(self) -> list[_Lookup]:
        limit = time.monotonic() - self._seconds
        with self._changed:
            return [item for item in self._running.values() if item.heard <= limit]

    def _start(self, record: DatasetRecord) -> None:
        lookup = _Lookup(record, time.monotonic())
        self._running[record.id] = lookup
        lookup.thread = threading.Thread(
            target=self._run, args=(lookup,), name=f"sxdask-lookup-{record.id}", daemon=True
        )
        lookup.thread.start()

    def _abandon(self, lookup: _Lookup) -> None:
        with lookup.lock:
            # It may have said something while this waited for the lock.
            if lookup.is_over or lookup.heard > time.monotonic() - self._seconds:
                return
            lookup.is_over = True
        reason = (
            f"nothing was heard of {lookup.record.name!r} for {self._seconds:g} seconds;"
            " submit it again later, or ask the operator to look at the catalogue"
        )
        _LOG.error("lookup of %r abandoned: %s", lookup.record.name, reason)
        try:
            self._end(lookup.record, "internal_failure", reason)
        except SxdaskError:  # the store does not answer: what is left looking begins anew
            _LOG.exception("the end of the lookup of %r is not stored", lookup.record.name)
        self._forget(lookup)

    def _forget(self, lookup: _Lookup) -> None:
        with self._changed:
            if self._running.get(lookup.record.id) is lookup:
                del self._running[lookup.record.id]
            self._changed.notify_all()
        if not self._stopping.is_set():
            self._wake()

    def _run(self, lookup: _Lookup) -> None:
        try:
            status, reason = self._look(lookup)
            with lookup.lock:
                if not lookup.is_over:
                    lookup.is_over = True
                    self._end(lookup.record, status, reason)
        except _AbandonedError:
            _LOG.debug("nobody waits for the lookup of %r", lookup.record.name)
        except SxdaskError:  # the store does not answer: what is left looking begins anew
            _LOG.exception("the end of the lookup of %r is not stored", lookup.record.name)
            self._stopping.wait(self._pause)  # who asks again at once finds it busy
        finally:
            self._forget(lookup)

    def _end(self, record: DatasetRecord, status: LookupStatus, reason: str) -> None:
        try:
            self._store.end_lookup(record.id, status, reason)
        except RequestError:
            _LOG.info("dataset %r was removed while it was looked up", record.name)

    def _look(self, lookup: _Lookup) -> tuple[LookupStatus, str]:
        """Find the files of a dataset and return how that ended."""
        if not self._claim(lookup.record):
            raise _AbandonedError
        name = lookup.record.name
        for attempt in range(_TRIES):
            try:
                return self._find(lookup, parse_address(name))
            except _AbandonedError:
                raise
            except SxdaskError as error:
                if not _may_pass(error) or attempt == _TRIES - 1:
                    _LOG.warning("lookup of %r failed: %s", name, error.problem)
                    return _status(error), _one_line(error)
                _LOG.warning("lookup of %r is tried again: %s", name, error.problem)
            except Exception as error:  # noqa: BLE001  (a finder may be anybody's)
                _LOG.exception("lookup of %r failed", name)
                return "internal_failure", _one_line(error)
            lookup.heard = time.monotonic()
            if self._stopping.wait(self._pause * 2**attempt):
                raise _AbandonedError
        raise AssertionError  # the last try returns

    def _claim(self, record: DatasetRecord) -> bool:
        try:
            begun = self._store.begin_lookup(record.id)
        except RequestError:  # it was removed while it waited
            return False
        if begun:
            self._wake()
            return True
        now = self._store.dataset(record.id)
        return now is not None and now.lookup_status == "looking"

    def _find(self, lookup: _Lookup, address: Address) -> tuple[LookupStatus, str]:
        """Hand all files of a dataset to the store."""
        finder = self._finder(address)
        stored = self._store.dataset_files(lookup.record.id)
        seen = {path for file in stored for path in file.paths}
        try:
            if address.most is None and isinstance(finder, StreamingFinder):
                entries: Iterable[FileEntry] = finder.stream(address, storage_options={})
            else:
                entries = finder.find(address, storage_options={})
            found = self._distinct(lookup, entries, set() if address.most else seen)
            if address.most is None:
                count = sum(self._hand_on(lookup, chunk) for chunk in _chunks(found))
            elif stored:  # a service that is gone had come as far as this
                count = 0
            else:
                # In the finder's order, so that they are those that the native API reads.
                count = self._hand_on(lookup, list(islice(found, address.most)))
        except EmptyDatasetError as error:
            if not error.context.get("exists"):
                raise
            return "complete", _one_line(error)
        if not stored and not count:
            return "complete", f"dataset {lookup.record.name!r} has no files"
        return "complete", ""

    def _finder(self, address: Address) -> Finder:
        if address.scheme in {"", "file"}:
            raise RequestError("a dataset of the service is no local path")
        _require_no_tree(address.tree)
        if "://" in address.name:
            self._require_open(address.name)
        return self._finder_of(finder_name(address))

    def _require_open(self, url: str) -> None:
        if self._check is None:
            return
        try:
            self._check(url)
        except AccessDeniedError as error:  # of the name that was given, not of a catalogue
            raise RequestError(error.problem, hint=error.hint) from error

    def _distinct(
        self, lookup: _Lookup, entries: Iterable[FileEntry], seen: set[str]
    ) -> Iterator[FileEntry]:
        """Yield files of which no address was seen before."""
        most = load_settings().max_files
        is_catalog = lookup.record.did_finder == "catalog"
        for count, entry in enumerate(entries):
            lookup.heard = time.monotonic()
            if not is_catalog:  # which may name a tree for the native API
                _require_no_tree(entry.tree)
            if count >= most:
                raise RequestTooLargeError(
                    f"the dataset has more than {most} files", hint="add ?files=N"
                )
            if seen.isdisjoint(entry.places):
                yield entry
            seen.update(entry.places)

    def _hand_on(self, lookup: _Lookup, entries: list[FileEntry]) -> int:
        files = [
            DatasetFile(0, item.places, item.adler32, item.size, item.events) for item in entries
        ]
        with lookup.lock:
            if lookup.is_over:
                raise _AbandonedError
            try:
                self._store.add_files(lookup.record.id, files)
            except RequestError:
                if self._store.dataset(lookup.record.id) is None:  # it was removed meanwhile
                    raise _AbandonedError from None
                raise
            lookup.heard = time.monotonic()
        self._wake()
        return len(files)


def _require_no_tree(tree: str | None) -> None:
    if tree is not None:
        raise RequestError(
            f"the dataset's name holds the tree {tree!r}", hint="name the tree in the selection"
        )


def _registered(name: str) -> Finder:
    return make_finder(name, load_settings())


def _chunks(entries: Iterable[FileEntry]) -> Iterator[list[FileEntry]]:
    """Yield files in lists that are neither long nor late."""
    chunk: list[FileEntry] = []
    begin = time.monotonic()
    for entry in entries:
        chunk.append(entry)
        if len(chunk) >= CHUNK or time.monotonic() - begin > _CHUNK_SECONDS:
            yield chunk
            chunk, begin = [], time.monotonic()
    if chunk:
        yield chunk


def _may_pass(error: SxdaskError) -> bool:
    """Tell whether the same lookup may well succeed a little later."""
    return isinstance(error, SystemFaultError) and not isinstance(error, MissingExtraError)


def _status(error: SxdaskError) -> LookupStatus:
    """Return the word of ServiceX for why a lookup failed."""
    if isinstance(error, FileMissingError | EmptyDatasetError):
        return "does_not_exist"
    if isinstance(error, RequestError) and not isinstance(error, RequestTooLargeError):
        return "bad_name"
    return "internal_failure"


def _one_line(error: Exception) -> str:
    """Return what people read of `error`."""
    if isinstance(error, SxdaskError):
        text = f"{error.problem}; {error.hint}" if error.hint else error.problem
    else:
        text = f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:1000]
