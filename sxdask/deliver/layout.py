"""Which partitions become one object: each its own, all of a file, or as many as fill a size.

An object that joins partitions covers whole entry ranges, those included that
statistics rule out: what it is called does not depend on what is known of the
files, and a dataset that grows changes only the last object of a size.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

from sxdask.deliver.encode import schema_from_text
from sxdask.deliver.format import format_name, open_format
from sxdask.deliver.part import Member, content_key, part_of_members, public_url
from sxdask.deliver.root.copies import Copies
from sxdask.deliver.sink import Delivery
from sxdask.deliver.work import Item, Job, jobs_of, numbered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sxdask.deliver.work import Source
    from sxdask.rootio.model import FileStamp, Piece


@dataclass(frozen=True, slots=True)
class Layout:
    """How partitions become objects.

    Attributes
    ----------
    merge
        ``"file"`` for one object a file, or the bytes that an object should
        have; None for one object a partition.
    files
        Every file of the dataset, in order, with its identity; files that
        nothing is read of have an object too.
    copies
        Name filters of ROOT objects that go from the files into the objects.
    storage_options
        To open the files with.
    format, request
        Text of the format and fingerprint of the plan, for a delivery without
        any source: of copies alone.
    """

    merge: Literal["file"] | int | None = None
    files: tuple[tuple[str, FileStamp], ...] = ()
    copies: tuple[str, ...] = ()
    storage_options: tuple[tuple[str, Any], ...] = ()
    format: str = "arrow"
    request: str = ""

    @property
    def joins(self) -> bool:
        """Whether an object may hold several partitions."""
        return self.merge is not None or bool(self.copies)


def jobs_in(sources: Sequence[Source], layout: Layout) -> list[Job]:
    """Return the jobs of a delivery.

    A layout that copies objects joins the partitions of a file at least, so
    that no object is in two places.
    """
    return joined_jobs(sources, layout) if layout.joins else jobs_of(sources)


def delivery_of(
    sources: Sequence[Source], layout: Layout, work: Sequence[Job], title: str
) -> Delivery:
    """Return what is about to be delivered.

    Raises
    ------
    RequestError
        If an object of the format cannot hold what goes into it.
    """
    schemas = {item.labels.output: item.labels.schema(item.reader) for item in sources}
    text = sources[0].labels.format if sources else layout.format
    made = open_format(text)
    together = [list(schemas)] if layout.merge == "file" else [[name] for name in schemas]
    for names in together:
        if names:
            made.require([schema_from_text(schemas[name]) for name in names])
    request = sources[0].labels.fingerprint if sources else layout.request
    parts = tuple(job.part for job in work)
    pruned = tuple(
        source.labels.part(piece).stem
        for _, source, piece, is_read in numbered(() if layout.joins else sources)
        if not is_read
    )
    return Delivery(request, format_name(text), parts, title, schemas, pruned)


def joined_jobs(sources: Sequence[Source], layout: Layout) -> list[Job]:
    """Return the jobs of a layout that joins partitions, in the order of the dataset.

    Parameters
    ----------
    sources
        Told apart; their pieces are numbered anew within each output.
    layout
        Of a file or of a size.
    """
    ranges = _numbered(sources, layout)
    if isinstance(layout.merge, int) and sources:
        return _with_copies(list(_of_size(sources, ranges, layout.merge)), layout)
    of_file: defaultdict[str, list[_Range]] = defaultdict(list)
    for item in chain.from_iterable(ranges):
        of_file[item.piece.url].append(item)
    return [
        _of_file(number, sources, layout, of_file[url])
        for number, (url, _) in enumerate(layout.files)
    ]


@dataclass(frozen=True, slots=True)
class _Range:
    """One partition of a source; `read` unless it is ruled out."""

    source: int
    piece: Piece
    read: bool = True


def _numbered(sources: Sequence[Source], layout: Layout) -> list[list[_Range]]:
    """Return the ranges of each source in order; pieces have their number in the output."""
    files = {url: number for number, (url, _) in enumerate(layout.files)}

    def place(item: _Range) -> tuple[int, int]:
        return files.get(item.piece.url, len(files)), item.piece.entry_start

    so_far: Counter[str] = Counter()
    found = []
    for number, source in enumerate(sources):
        kept = []
        for piece in source.pieces:
            kept.append(_Range(number, replace(piece, index=so_far[source.labels.output])))
            so_far[source.labels.output] += 1
        if kept == sorted(kept, key=place):
            kept += [_Range(number, piece, read=False) for piece in source.pruned]
            kept.sort(key=place)
        # Else several sub-queries fill the output, and their rows follow each other.
        found.append(kept)
    return found


def _of_file(number: int, sources: Sequence[Source], layout: Layout, own: list[_Range]) -> Job:
    """Return the job of one file; `own` are its ranges."""
    url, stamp = layout.files[number]
    members = []
    for at, source in enumerate(sources):
        pieces = [item.piece for item in own if item.source == at]
        tree = pieces[0].tree if pieces else source.tree
        stop = max((piece.entry_stop for piece in pieces), default=0)
        members.append(source.labels.member(url, stamp, tree, (0, stop)))
    if not sources:
        key = content_key(layout.request, stamp.uuid, str(stamp.size), layout.format)
        members.append(Member("", public_url(url), "", 0, 0, key))
    copies = Copies(layout.copies, (url,), layout.storage_options) if layout.copies else None
    names = tuple(str(at) for at in range(len(sources)))
    items = tuple(Item(str(item.source), item.piece, item.source) for item in own if item.read)
    return Job(part_of_members(number, members), items, names, copies)


def _of_size(
    sources: Sequence[Source], ranges: Sequence[Sequence[_Range]], size: int
) -> Iterator[Job]:
    outputs = dict.fromkeys(source.labels.output for source in sources)
    for output in outputs:
        number, filled = 0, 0.0
        group: list[_Range] = []
        for own in ranges:
            for item in own:
                source = sources[item.source]
                if source.labels.output != output:
                    continue
                group.append(item)
                filled += source.bytes_of(item.piece)
                if filled >= size:
                    yield _of_ranges(number, sources, group)
                    number, filled, group = number + 1, 0.0, []
        if group:
            yield _of_ranges(number, sources, group)


def _of_ranges(number: int, sources: Sequence[Source], group: Sequence[_Range]) -> Job:
    """Return the job of ranges of one output; what follows each other in a file is one member."""
    spans: list[tuple[_Range, int]] = []
    items = []
    for item in group:
        last, stop = spans[-1] if spans else (None, -1)
        follows = last is not None and (last.source, last.piece.url, stop) == (
            item.source,
            item.piece.url,
            item.piece.entry_start,
        )
        if last is not None and follows:
            spans[-1] = last, item.piece.entry_stop
        else:
            spans.append((item, item.piece.entry_stop))
        if item.read:
            items.append(Item(str(item.source), item.piece, len(spans) - 1))
    members = [
        sources[first.source].labels.member(
            first.piece.url, first.piece.stamp, first.piece.tree, (first.piece.entry_start, stop)
        )
        for first, stop in spans
    ]
    names = tuple(dict.fromkeys(str(item.source) for item in group))
    return Job(part_of_members(number, members), tuple(items), names)


def _with_copies(jobs: Sequence[Job], layout: Layout) -> list[Job]:
    """Give each file's objects to the first job that has entries of it, else to the first job."""
    if not layout.copies:
        return list(jobs)
    owner: dict[str, int] = {}
    for number, job in enumerate(jobs):
        for member in job.part.members:
            owner.setdefault(member.file, number)
    files: defaultdict[int, list[str]] = defaultdict(list)
    for url, _ in layout.files:
        files[owner.get(public_url(url), 0)].append(url)
    return [
        replace(job, copies=Copies(layout.copies, tuple(files[number]), layout.storage_options))
        for number, job in enumerate(jobs)
    ]
