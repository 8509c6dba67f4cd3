"""One run's dealings with the result cache: readers that look there first, and the account.

Workers take results from the store and add to it by themselves. The driver
only wraps the readers, says what the request is, keeps the size in bounds
while the run goes on, and holds a lease for a delivery.
"""

from __future__ import annotations

import time
import uuid
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sxdask.core.events import Event, PartitionDone, ReadReport

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sxdask.deliver.cache import ResultCache
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.compile import Compiled

_ACCOUNT_EVERY = 20  # parts of the limit
_RENEW_S = 300.0


def reuse(compiled: Compiled, facts: Mapping[str, str], *, enabled: bool) -> Reuse:
    """Return the plan with readers that reuse results, if the settings want it and `enabled`.

    Without, the column cache is left alone as well.
    """
    from sxdask.deliver.cache import open_cache

    if not enabled:
        return Reuse(replace(compiled, parts=tuple(map(_without_caches, compiled.parts))))
    cache = open_cache(compiled.source.settings)
    if cache is None:
        return Reuse(compiled)
    run = uuid.uuid4().hex
    parts = tuple(with_cache(part, cache, run) for part in compiled.parts)
    return Reuse(replace(compiled, parts=parts), cache, run, facts)


class Reuse:
    """The wrapped plan, and what is to be done around its run.

    `compiled` is the plan to run, `rows` are those of each partition so far,
    `taken_or_kept` the number of partitions that came from the store or are in
    it now. Without a cache everything here does nothing.
    """

    def __init__(
        self,
        compiled: Compiled,
        cache: ResultCache | None = None,
        run: str = "",
        facts: Mapping[str, str] | None = None,
    ) -> None:
        self.compiled = compiled
        self._cache = cache
        self.rows: dict[int, int] = {}
        self.taken_or_kept = 0
        self._run = run
        self._facts = dict(facts or {})
        self._requests = sorted(set(map(_request_of, compiled.parts)) - {""})
        self._added = 0
        self._reused = 0
        self._leased = 0.0

    @property
    def cache(self) -> ResultCache | None:
        """The store, if there is one."""
        return self._cache

    def added(self, num_bytes: int) -> None:
        """Count an object that came to the store after the run."""
        self._added += num_bytes
        self._account()

    @contextmanager
    def running(self, *, lease: bool = False, resumable: bool = False) -> Iterator[None]:
        """Keep account of the run in this block.

        With `lease` nothing that the requests have in the store is removed
        meanwhile, and with `resumable` not for a week if the block fails.
        """
        if self._cache is None or not self._requests:
            yield
            return
        if lease:
            self._renew()
        complete = False
        try:
            yield
            complete = True
        finally:
            self._finish(complete=complete, keep_lease=lease and resumable and not complete)

    def note(self, event: Event) -> None:
        """Count what a partition took from the store and added to it."""
        if self._cache is None or not isinstance(event, PartitionDone):
            return
        report: ReadReport = event.report
        self.rows[event.index] = event.rows
        self.taken_or_kept += report.results_reused + report.results_kept
        self._reused += report.results_reused
        self._added += report.bytes_kept
        if self._added * _ACCOUNT_EVERY > self._cache.limit:
            self._account()
        if self._leased and time.monotonic() - self._leased > _RENEW_S:
            self._renew()

    def _renew(self) -> None:
        from sxdask.deliver.cache_upkeep import RUNNING_S, write_lease

        assert self._cache is not None  # noqa: S101  narrows for the type checker
        write_lease(self._cache, self._run, self._requests, RUNNING_S)
        self._leased = time.monotonic()

    def _account(self) -> None:
        from sxdask.core.errors import SxdaskError
        from sxdask.deliver.cache_upkeep import account

        assert self._cache is not None  # noqa: S101  narrows for the type checker
        added, self._added = self._added, 0
        try:
            account(self._cache, added)
        except (SxdaskError, OSError):
            return  # it cannot be listed now; a later run looks again

    def _finish(self, *, complete: bool, keep_lease: bool) -> None:
        from sxdask.deliver.cache_upkeep import RESUMABLE_S, end_lease, write_lease

        assert self._cache is not None  # noqa: S101  narrows for the type checker
        if self._added or self._reused:
            self._describe()
        if self._added:
            self._account()
        if keep_lease:
            write_lease(self._cache, self._run, self._requests, RESUMABLE_S, waiting=True)
        elif self._leased:
            end_lease(self._cache, self._run, self._requests if complete else ())

    def _describe(self) -> None:
        """Write who asks for the objects, when last, and how many were reused."""
        from sxdask.deliver.cache_upkeep import FACTS, read_json, write_json

        assert self._cache is not None  # noqa: S101  narrows for the type checker
        for request in self._requests:
            known = read_json(self._cache, f"{request}/{FACTS}")
            facts = {
                "title": self._facts.get("title", "") or known.get("title", ""),
                "language": self._facts.get("language", ""),
                "fingerprint": self.compiled.fingerprint,
                "reused": int(known.get("reused", 0)) + self._reused,
                "used": time.time(),
            }
            write_json(self._cache, f"{request}/{FACTS}", facts)


def with_cache(part: Lowered, cache: ResultCache, run: str) -> Lowered:
    """Return `part` with a reader that reuses results; not that of a Python function.

    What a function gives may depend on anything: on the time, on other files,
    on modules that change while its text stays.
    """
    from sxdask.deliver.cache import request_name
    from sxdask.deliver.cache_reader import CachedReader
    from sxdask.graph.reader import PlanReader

    reader: Any = part.reader
    if part.output.function is not None or not isinstance(reader, PlanReader):
        return part
    request = request_name(reader.token, *(reader.wanted or ()))
    reader = CachedReader(reader, cache, request, run)  # does what the plan's own does
    return replace(part, reader=reader)


def _without_caches(part: Lowered) -> Lowered:
    reader: Any = part.reader
    events: Any = getattr(reader, "events", None)  # what a Python function gets
    if events is not None:
        return replace(part, reader=replace(reader, events=_uncached(events)))
    return replace(part, reader=_uncached(reader)) if hasattr(reader, "options") else part


def _uncached(reader: Any) -> Any:
    return replace(reader, options=replace(reader.options, column_cache=""))


def _request_of(part: Lowered) -> str:
    return str(getattr(part.reader, "request", ""))
