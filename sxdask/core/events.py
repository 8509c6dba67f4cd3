"""Frozen facts about a running request; every progress display is a reader of them.

A command-line bar, a REST status and a dashboard page fold the same events and
compute nothing of their own.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TypeAlias, assert_never


@dataclass(frozen=True, slots=True)
class ReadReport:
    """What reading one partition cost; the fields add up over partitions.

    Bytes are compressed bytes as they lie in the file. Seconds are wall time
    of one worker, by phase. `cached_baskets` came from the column cache and
    saved `cached_bytes` of reading; they count as read as well.
    `results_reused` partitions were stored results, of `bytes_reused`, and
    nothing of them was read or computed; `results_kept` were stored for later,
    in `bytes_kept`.
    """

    entries_in: int = 0
    entries_out: int = 0
    requests: int = 0
    bytes_read: int = 0
    baskets_read: int = 0
    baskets_skipped: int = 0
    bytes_decompressed: int = 0
    ttree_opens: int = 0
    seconds_fetch: float = 0.0
    seconds_decompress: float = 0.0
    seconds_decode: float = 0.0
    seconds_filter: float = 0.0
    cached_baskets: int = 0
    cached_bytes: int = 0
    results_reused: int = 0
    bytes_reused: int = 0
    results_kept: int = 0
    bytes_kept: int = 0

    def __add__(self, other: ReadReport) -> ReadReport:
        return ReadReport(
            *(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__)
        )


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins; totals are known before anything is read."""

    partitions: int
    files: int
    entries: int
    bytes_to_read: int


@dataclass(frozen=True, slots=True)
class PartitionDone:
    """One partition is computed (and, where there is a sink, stored)."""

    index: int
    file: str
    rows: int
    report: ReadReport
    last_of_file: bool = False


@dataclass(frozen=True, slots=True)
class PartitionFailed:
    """One partition failed for good."""

    index: int
    file: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RunFinished:
    """Nothing is left to do."""

    seconds: float


Event: TypeAlias = RunStarted | PartitionDone | PartitionFailed | RunFinished


@dataclass(frozen=True, slots=True)
class Progress:
    """The fold of all events so far: what a progress display shows."""

    partitions: int = 0
    files: int = 0
    entries: int = 0
    bytes_to_read: int = 0
    done: int = 0
    failed: int = 0
    files_done: int = 0
    rows: int = 0
    report: ReadReport = field(default_factory=ReadReport)
    seconds: float | None = None


def advance(state: Progress, event: Event) -> Progress:
    """Return `state` after `event`; no clock, no widget, no I/O."""
    match event:
        case RunStarted(partitions, files, entries, bytes_to_read):
            return replace(
                state,
                partitions=partitions,
                files=files,
                entries=entries,
                bytes_to_read=bytes_to_read,
            )
        case PartitionDone(rows=rows, report=report, last_of_file=last):
            return replace(
                state,
                done=state.done + 1,
                rows=state.rows + rows,
                files_done=state.files_done + last,
                report=state.report + report,
            )
        case PartitionFailed():
            return replace(state, failed=state.failed + 1)
        case RunFinished(seconds):
            return replace(state, seconds=seconds)
        case _:
            assert_never(event)
