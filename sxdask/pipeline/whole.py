"""The result of a whole run, kept beside those of its partitions.

An identical request would otherwise open one object for each partition and
join them. One that has anything new in it, a file or a column, does not find
it and goes by partitions.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.events import PartitionDone, ReadReport, RunFinished, RunStarted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sxdask.core.events import Event
    from sxdask.deliver.cache_reader import CachedReader
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.reuse import Reuse

MOST_BYTES: Final = 16 * 1024 * 1024
"""Of a result that is kept whole: beyond, moving it takes the time that it could save."""

_LEAST_PIECES: Final = 2
_MOST_REMOTE: Final = 16  # files that the driver looks at; workers look at more than that


@dataclass(frozen=True)
class _Table:
    """The only table of a run whose results are kept, and where its whole result lies."""

    table: Lowered
    reader: CachedReader
    name: str


def whole_result(
    reuse: Reuse, compute: Callable[[], Any], tell: Callable[[Iterable[Event]], None]
) -> Any:
    """Return what is kept of an identical run, else what `compute` returns, and keep that.

    Parameters
    ----------
    reuse
        The run's dealings with the cache.
    compute
        Runs the partitions.
    tell
        Takes the events of a run that need not run.
    """
    began = time.perf_counter()
    place = _place(reuse)
    if place is None:
        return compute()
    found = _recalled(place)
    if found is not None:
        value, rows, report = found
        tell(_events(place.table, rows, report, began))
        return value
    value = compute()
    if reuse.taken_or_kept == len(place.table.pieces):
        _keep(place, value, reuse)
    return value


def _place(reuse: Reuse) -> _Table | None:
    from sxdask.deliver.cache_reader import CachedReader
    from sxdask.deliver.part import content_key
    from sxdask.rootio.source import local_path

    tables = reuse.compiled.tables
    if reuse.cache is None or len(tables) != 1 or reuse.compiled.plan.by_file:
        return None
    (table,) = tables
    reader: Any = table.reader
    if not isinstance(reader, CachedReader) or len(table.pieces) < _LEAST_PIECES:
        return None
    remote = {piece.url for piece in table.pieces if local_path(piece.url) is None}
    names = [reader.name_of(piece) for piece in table.pieces]
    if len(remote) > _MOST_REMOTE or None in names:
        return None
    name = f"{reader.request}/{content_key('whole', *map(str, names))}.whole"
    return _Table(table, reader, name)


def _recalled(place: _Table) -> tuple[Any, list[int], ReadReport] | None:
    """Return the kept result, the rows of each partition and what looking at the files took."""
    from sxdask.deliver.cache_object import DamagedObjectError, open_array, state_from_object
    from sxdask.deliver.cache_reader import same_file
    from sxdask.graph.fold import fold_of

    cache, reader = place.reader.cache, place.reader
    data = cache.load(place.name)
    if data is None:
        return None
    looks = [
        same_file(piece, reader.reader, reader.run)
        for piece in {piece.url: piece for piece in place.table.pieces}.values()
    ]
    if None in looks:
        return None  # reading says what is wrong
    try:
        reduction = place.table.output.reduction
        if reduction is None:
            head, value = open_array(data)
        else:
            fold = fold_of(reduction)
            head, state = state_from_object(data, fold.rows(reader.mock_empty()))
            value = fold.result(state)
    except DamagedObjectError:
        cache.drop(place.name)
        return None
    requests, num_bytes = (sum(part) for part in zip(*filter(None, looks), strict=True))
    report = ReadReport(requests=requests, bytes_read=num_bytes, bytes_reused=len(data))
    return value, head["rows"], report


def _events(table: Lowered, rows: list[int], report: ReadReport, began: float) -> Iterator[Event]:
    """Yield what a run that takes every partition from the store would say."""
    from sxdask.deliver.part import public_url

    pieces = table.pieces
    last = {piece.url: place for place, piece in enumerate(pieces)}
    entries = sum(piece.num_entries for piece in pieces)
    yield RunStarted(len(pieces), len(last), entries, table.bytes_to_read)
    for place, (piece, count) in enumerate(zip(pieces, rows, strict=True)):
        own = ReadReport(entries_in=piece.num_entries, entries_out=count, results_reused=1)
        if not place:
            own += report
        yield PartitionDone(
            piece.index, public_url(piece.url), count, own, last[piece.url] == place
        )
    yield RunFinished(time.perf_counter() - began)


def _keep(place: _Table, value: Any, reuse: Reuse) -> None:
    import awkward as ak

    from sxdask.deliver.cache_object import array_to_object, state_to_object
    from sxdask.deliver.local import LocalStore

    rows = [reuse.rows.get(piece.index, 0) for piece in place.table.pieces]
    data: bytes | None = None
    reduction = place.table.output.reduction
    if reduction is not None:
        if isinstance(reduction, tuple) and len(reduction) == 1:
            value = {reduction[0].name: value}  # its state has a name
        data = state_to_object(value, rows=rows)
    elif isinstance(value, ak.Array) and value.nbytes <= MOST_BYTES:
        # on a disk what is read back at once is worth more than its room
        packed = not isinstance(place.reader.cache.store, LocalStore)
        data = array_to_object(value, compressed=packed, rows=rows)
    if data is not None and place.reader.cache.keep(place.name, data):
        reuse.added(len(data))
