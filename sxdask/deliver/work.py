"""What there is to deliver, as jobs: the pieces that become one object, in a good order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sxdask.core.events import PartitionDone, ReadReport, RunStarted
from sxdask.deliver.part import public_url
from sxdask.deliver.tasks import partition_event

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sxdask.core.events import Event
    from sxdask.deliver.part import Part
    from sxdask.deliver.sink import Receipt
    from sxdask.deliver.stream import Outcome
    from sxdask.deliver.tasks import Labels, Reader
    from sxdask.rootio.model import Piece


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
class Job:
    """One object and what it is made of: pairs of a source's number and a piece of it."""

    part: Part
    items: tuple[tuple[str, Piece], ...]

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces, in the order in which they are read."""
        return tuple(piece for _, piece in self.items)


def told_apart(sources: Sequence[Source]) -> list[Source]:
    """Return `sources` with those of one output numbered in their labels."""
    found = []
    so_far: Counter[str] = Counter()
    for source in sources:
        output = source.labels.output
        labels = replace(source.labels, ordinal=so_far[output])
        found.append(replace(source, labels=labels))
        so_far[output] += 1
    return found


def jobs_of(sources: Sequence[Source]) -> list[Job]:
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
            found.append((number, numbered, source.labels.part(numbered)))
    files = {url: place for place, url in enumerate(dict.fromkeys(item[1].url for item in found))}
    places = [(files[piece.url], piece.entry_start) for _, piece, _ in found]
    ranks = {place: rank for rank, place in enumerate(sorted(set(places)))}
    order = sorted(
        range(len(found)),
        key=lambda n: (ranks[places[n]] // TOGETHER, found[n][0], ranks[places[n]]),
    )
    return [
        Job(part, ((str(number), piece),)) for number, piece, part in map(found.__getitem__, order)
    ]


def announcement(work: Sequence[Job]) -> RunStarted:
    """Return the event that tells how much there is to do."""
    pieces = [piece for job in work for piece in job.pieces]
    return RunStarted(
        len(pieces),
        len({piece.url for piece in pieces}),
        sum(piece.num_entries for piece in pieces),
        sum(int(found.num_bytes.sum()) for piece in pieces for found in piece.baskets.values()),
    )


class Countdown:
    """Makes the events of jobs that end, and knows which piece is the last of its file."""

    def __init__(self, work: Sequence[Job]) -> None:
        self._left = Counter(piece.url for job in work for piece in job.pieces)

    def found(self, job: Job, receipt: Receipt) -> Iterator[Event]:
        """Yield the events of a job that an earlier run did: nothing was read for it."""
        for piece in job.pieces:
            file = public_url(piece.url)
            yield PartitionDone(piece.index, file, receipt.rows, ReadReport(), self._is_last(piece))

    def ended(self, job: Job, outcome: Outcome[Any]) -> Iterator[Event]:
        """Yield the events of a job that ended now, well or not."""
        for piece in job.pieces:
            yield partition_event(piece, outcome, last_of_file=self._is_last(piece))

    def _is_last(self, piece: Piece) -> bool:
        self._left[piece.url] -= 1
        return not self._left[piece.url]
