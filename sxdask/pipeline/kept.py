"""What of a request is kept already, looked up for `explain` without reading any of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sxdask.pipeline.reuse import with_cache
from sxdask.plan.explain import format_bytes

if TYPE_CHECKING:
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.source import Source
    from sxdask.rootio.model import Piece, ReadOptions

_MOST_PIECES: Final = 200_000
_MOST_FOLDERS: Final = 1_000
_MOST_NAMES: Final = 12


def stored_results(table: Lowered, source: Source) -> str:
    """Return how many partitions of `table` are stored results, as text; empty if none is.

    It takes one listing of what the request has in the store.
    """
    from sxdask.core.errors import SxdaskError
    from sxdask.deliver.cache import open_cache
    from sxdask.deliver.cache_reader import CachedReader
    from sxdask.deliver.cache_upkeep import objects_of

    try:
        cache = open_cache(source.settings)
        if cache is None:
            return ""
        reader: object = with_cache(table, cache, "").reader
        if not isinstance(reader, CachedReader) or len(table.pieces) > _MOST_PIECES:
            return ""
        there = {item.name: item.bytes for item in objects_of(cache, reader.request)}
    except (SxdaskError, OSError):
        return ""  # a run would compute everything as well
    names = {reader.name_of(piece) for piece in table.pieces} if there else set()
    found = [there[name] for name in names if name in there]
    if not found:
        return ""
    size = format_bytes(sum(found))
    return f"{len(found):,} of {len(table.pieces):,} partitions, {size}"


def cached_columns(table: Lowered, options: ReadOptions) -> str:
    """Return which columns of the pieces of `table` this machine keeps baskets of, as text.

    What other machines keep is not known here.
    """
    kept: dict[str, int] = {}
    wanted: dict[str, int] = {}
    places = _Places(options)
    for piece in table.pieces:
        there = places.of(piece)
        if there is None:
            return ""
        for name, baskets in piece.baskets.items():
            wanted[name] = wanted.get(name, 0) + int(baskets.num_bytes.sum())
            if there:
                pairs = zip(baskets.seek.tolist(), baskets.num_bytes.tolist(), strict=True)
                found = sum(size for seek, size in pairs if there.get(seek) == size)
                kept[name] = kept.get(name, 0) + found
    shares = {name: size / wanted[name] for name, size in kept.items() if size}
    names = [name if share == 1 else f"{name} ({share:.0%})" for name, share in shares.items()]
    more = [f"... {len(names) - _MOST_NAMES} more"] if len(names) > _MOST_NAMES else []
    return ", ".join([*names[:_MOST_NAMES], *more])


class _Places:
    """Where the baskets lie that are kept, by file; looks at a limited number of files."""

    def __init__(self, options: ReadOptions) -> None:
        self._options = options
        self._known: dict[str, dict[int, int]] = {}

    def of(self, piece: Piece) -> dict[int, int] | None:
        from sxdask.rootio.columnstore import ColumnStore

        store = ColumnStore.of(piece, self._options)
        if store is None:
            return {}
        folder = str(store.folder)
        if folder not in self._known:
            if len(self._known) == _MOST_FOLDERS:
                return None
            self._known[folder] = store.places()
        return self._known[folder]
