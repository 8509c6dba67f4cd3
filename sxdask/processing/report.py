"""What a run of a processor cost, as coffea's ``savemetrics`` says it, and what was left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sxdask.core.events import ReadReport
from sxdask.deliver.part import public_url

if TYPE_CHECKING:
    from sxdask.core.errors import SxdaskError
    from sxdask.processing.task import ChunkFacts


@dataclass(slots=True)
class Report:
    """Sums over the chunks of a run."""

    chunks: int = 0
    events: int = 0
    seconds: float = 0.0
    read: ReadReport = field(default_factory=ReadReport)
    columns: set[str] = field(default_factory=set)
    branches: set[str] = field(default_factory=set)
    skipped: list[dict[str, Any]] = field(default_factory=list)

    def add(self, facts: ChunkFacts) -> None:
        """Count a chunk that was processed."""
        self.chunks += 1
        self.events += facts.events
        self.seconds += facts.seconds
        self.read += facts.report
        self.columns |= facts.columns
        self.branches.update(facts.touched)

    def skip(
        self, dataset: str, file: str, span: tuple[int, int] | None, error: SxdaskError
    ) -> None:
        """Note a chunk, or a whole file, that was left out and why."""
        self.skipped.append(
            {
                "dataset": dataset,
                "file": public_url(file),
                "entries": span,
                "code": error.code,
                "problem": error.problem,
            }
        )

    def as_dict(self) -> dict[str, Any]:
        """Return the names that coffea's Runner gives, and more.

        ``bytesread`` (compressed), ``columns``, ``entries``, ``processtime``
        (seconds, with reading) and ``chunks`` are coffea's. ``entries_read``
        counts the events before a condition, ``requests`` those to the
        storage, ``ttree_opens`` trees that had to be opened after all;
        ``branches`` are those that were read, ``skipped`` what was left out.
        """
        return {
            "bytesread": self.read.bytes_read,
            "columns": sorted(self.columns),
            "entries": self.events,
            "processtime": self.seconds,
            "chunks": self.chunks,
            "entries_read": self.read.entries_in,
            "requests": self.read.requests,
            "ttree_opens": self.read.ttree_opens,
            "branches": sorted(self.branches),
            "skipped": list(self.skipped),
        }
