"""What there is to deliver, as jobs: the pieces that become one object, in a good order."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sxdask.core.events import PartitionDone, ReadReport, RunStarted
from sxdask.deliver.format import Rows
from sxdask.deliver.part import public_url
from sxdask.deliver.tasks import PieceValue, StoreValue, partition_event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa

    from sxdask.core.events import Event
    from sxdask.deliver.part import Part
    from sxdask.deliver.root.copies import Copies
    from sxdask.deliver.sink import Receipt, Sink
    from sxdask.deliver.stream import Outcome
    from sxdask.deliver.tasks import Labels, Reader, StoreTask
    from sxdask.rootio.model import Piece


TOGETHER = 8
"""Entry ranges whose outputs are delivered one output after the other."""


@dataclass(frozen=True, slots=True)
class Source:
    """One tree of a request: its reader, its pieces, and what its tables say.

    Several sources may go to one output; their partitions follow each other.
    `pruned` are pieces without rows, by what is known of them. `entry_bytes`
    estimates the compressed bytes of an entry, where pieces do not say it.
    """

    reader: Reader
    pieces: Sequence[Piece]
    labels: Labels
    pruned: Sequence[Piece] = ()
    entry_bytes: float = 0.0

    @property
    def tree(self) -> str:
        """The tree, as the first piece has it."""
        return next((piece.tree for piece in (*self.pieces, *self.pruned)), "")

    def bytes_of(self, piece: Piece) -> float:
        """Return how many compressed bytes the rows of `piece` may be."""
        known = sum(int(found.num_bytes.sum()) for found in piece.baskets.values())
        return known or piece.num_entries * self.entry_bytes or piece.stamp.size


@dataclass(frozen=True, slots=True)
class Item:
    """One piece that is read for an object: its source's number, the object's member it is of."""

    source: str
    piece: Piece
    member: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One object and what it is made of.

    `sources` are the numbers of those whose outputs it has, also where it has
    no item of them; `copies` are ROOT objects that it has as well.
    """

    part: Part
    items: tuple[Item, ...]
    sources: tuple[str, ...]
    copies: Copies | None = None

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces, in the order in which they are read."""
        return tuple(item.piece for item in self.items)

    @property
    def decoded_bytes(self) -> int:
        """Memory that the job takes: its pieces are read one after the other."""
        return max((piece.decoded_bytes for piece in self.pieces), default=0)


@dataclass(frozen=True, slots=True)
class JobTask:
    """Read the pieces of a job, one after the other, into one object."""

    tasks: Mapping[str, StoreTask]
    sink: Sink

    def __call__(self, job: Job) -> StoreValue:
        """Read and store."""
        if not job.part.members:
            (item,) = job.items
            return self.tasks[item.source](item.piece)
        return self._joined(job)

    def _joined(self, job: Job) -> StoreValue:
        done: list[PieceValue] = []
        schemas: dict[str, pa.Schema] = {}
        for number in job.sources:
            task = self.tasks[number]
            empty = task.labels.table(task.reader.mock_empty(), job.part)
            schemas.setdefault(task.labels.output, empty.schema)

        def tables() -> Iterator[pa.Table]:
            for item in job.items:
                task = self.tasks[item.source]
                read = task.reader.read(item.piece)
                done.append(PieceValue(len(read.array), read.report, read.learned))
                yield task.labels.table(read.array, job.part)

        receipt = self.sink.write(job.part, Rows(tuple(schemas.values()), tables(), job.copies))
        rows = Counter[int]()
        for item, value in zip(job.items, done, strict=True):
            rows[item.member] += value.rows
        members = [
            replace(member, rows=rows[number]) for number, member in enumerate(job.part.members)
        ]
        receipt = replace(receipt, part=replace(job.part, members=tuple(members)))
        report = sum((value.report for value in done), ReadReport())
        return StoreValue(receipt, receipt.rows, report, pieces=tuple(done))


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


def numbered(sources: Sequence[Source]) -> Iterator[tuple[int, Source, Piece, bool]]:
    """Yield all pieces, numbered within their output, and whether they are read.

    Those that are ruled out have numbers too, so that the others keep theirs
    when more becomes known of the files.
    """
    so_far: Counter[str] = Counter()
    for number, source in enumerate(sources):
        places = [(place, True, piece) for place, piece in enumerate(source.pieces)]
        places += [(piece.index, False, piece) for piece in source.pruned]
        for _, is_read, piece in sorted(places, key=lambda item: item[:2]):
            yield number, source, replace(piece, index=so_far[source.labels.output]), is_read
            so_far[source.labels.output] += 1


def jobs_of(sources: Sequence[Source]) -> list[Job]:
    """Return the jobs of all sources, numbered within their output, a few entry ranges at a time.

    Several outputs of the same entries come soon after each other, so that a
    worker still has what they share, and not at once, so that none waits for
    another to have it.
    """
    found = []
    for number, source, piece, is_read in numbered(sources):
        if is_read:
            found.append((number, piece, source.labels.part(piece)))
    files = {url: place for place, url in enumerate(dict.fromkeys(item[1].url for item in found))}
    places = [(files[piece.url], piece.entry_start) for _, piece, _ in found]
    ranks = {place: rank for rank, place in enumerate(sorted(set(places)))}
    order = sorted(
        range(len(found)),
        key=lambda n: (ranks[places[n]] // TOGETHER, found[n][0], ranks[places[n]]),
    )
    return [
        Job(part, (Item(str(number), piece),), (str(number),))
        for number, piece, part in map(found.__getitem__, order)
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
        rows = receipt.rows
        for piece in job.pieces:
            file = public_url(piece.url)
            yield PartitionDone(piece.index, file, rows, ReadReport(), self._is_last(piece))
            rows = 0  # those of the object count once

    def ended(self, job: Job, outcome: Outcome[Any]) -> Iterator[Event]:
        """Yield the events of a job that ended now, well or not."""
        values = outcome.value.pieces if outcome.error is None else ()
        for number, piece in enumerate(job.pieces):
            own = replace(outcome, value=values[number]) if values else outcome
            yield partition_event(piece, own, last_of_file=self._is_last(piece))

    def _is_last(self, piece: Piece) -> bool:
        self._left[piece.url] -= 1
        return not self._left[piece.url]
