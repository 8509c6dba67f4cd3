"""Columns that uproot itself reads: nested types, unflushed baskets, every RNTuple.

Opening a tree deserialises all its branches (a tenth of a second and more), so
a few opened trees are kept for the process and closed when others take their
place. One thread at a time reads from one of them.
"""

from __future__ import annotations

import atexit
import os
import threading
from collections import OrderedDict
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import (
    CorruptBasketError,
    SxdaskError,
    UnknownTreeError,
    UnreadableBranchError,
)
from sxdask.datasets.storage import connection_options
from sxdask.rootio.source import as_ours, from_storage, local_path, stale

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import awkward as ak

    from sxdask.rootio.model import ColumnLayout, Piece, ReadOptions

_MOST_OPEN = 4


@dataclass(slots=True)
class Traffic:
    """What uproot cost: trees opened, requests, bytes."""

    opens: int = 0
    requests: int = 0
    bytes_read: int = 0


@dataclass(slots=True)
class _OpenTree:
    """A tree and its file; closed when dropped from the cache and used by nobody."""

    file: Any
    tree: Any
    lock: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0
    dropped: bool = False

    def counters(self) -> tuple[int, int]:
        source = self.file.file.source
        return source.num_requests, source.num_requested_bytes


_lock = threading.Lock()
_open: OrderedDict[tuple[object, ...], _OpenTree] = OrderedDict()


def close_trees() -> None:
    """Close every opened tree that nobody is using, and the others when they are done."""
    with _lock:
        gone = [_drop(key) for key in list(_open)]
    _close(gone)


def _forget_trees() -> None:
    """Leave the parent's files to the parent: a read position is shared after a fork."""
    global _lock  # noqa: PLW0603 (it may have been held by a thread that is not here)
    _lock = threading.Lock()
    _open.clear()


atexit.register(close_trees)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_trees)


def _drop(key: tuple[object, ...]) -> _OpenTree:
    entry = _open.pop(key)
    entry.dropped = True
    return entry


def _close(entries: Sequence[_OpenTree]) -> None:
    for entry in entries:
        if entry.users == 0:
            entry.file.close()


@contextmanager
def _borrowed(piece: Piece, options: ReadOptions, traffic: Traffic) -> Iterator[_OpenTree]:
    key = (piece.url, piece.tree, piece.stamp, repr(options.storage_options))
    with _lock:
        entry = _open.get(key)
        if entry is not None:
            entry.users += 1
            _open.move_to_end(key)
    gone: list[_OpenTree] = []
    if entry is None:
        entry = _open_tree(piece, options)
        traffic.opens += 1
        requests, read = entry.counters()
        traffic.requests += requests
        traffic.bytes_read += read
        with _lock:
            entry.users += 1
            if key in _open:  # another thread opened it meanwhile; keep the newest
                gone.append(_drop(key))
            _open[key] = entry
            while len(_open) > _MOST_OPEN:
                gone.append(_drop(next(iter(_open))))
            gone = [old for old in gone if old.users == 0]
    _close(gone)
    try:
        yield entry
    finally:
        with _lock:
            entry.users -= 1
            last = entry.dropped and entry.users == 0
        if last:
            entry.file.close()


def _open_tree(piece: Piece, options: ReadOptions) -> _OpenTree:
    import uproot

    path = local_path(piece.url)
    settings = (
        {} if path is not None else connection_options(piece.url, dict(options.storage_options))
    )
    try:
        # What is read is handed on at once; a cache would only hold its memory.
        file = uproot.open({path or piece.url: None}, array_cache=None, **settings)
    except Exception as error:
        raise _problem(error, piece, None) from error
    try:
        return _OpenTree(file, _tree_of(file, piece))
    except SxdaskError:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise _problem(error, piece, None) from error


def _tree_of(file: Any, piece: Piece) -> Any:
    if file.file.uuid.hex != piece.stamp.uuid:
        raise stale(piece.url)
    if piece.tree not in file:
        raise UnknownTreeError.among(piece.tree, file.keys(cycle=False), file=piece.url)
    return file[piece.tree]


def read_with_uproot(
    piece: Piece,
    layouts: Sequence[ColumnLayout],
    ranges: Sequence[tuple[int, int]],
    options: ReadOptions,
    traffic: Traffic,
) -> list[list[ak.Array]]:
    """Return for each column its arrays, one for each entry range.

    Parameters
    ----------
    layouts
        The columns, found by their `path`.
    ranges
        Half-open entry ranges of the tree.
    traffic
        What it costs is added here.

    Raises
    ------
    StaleIndexError
        If the file is not the one that was indexed.
    UnreadableBranchError, CorruptBasketError, ReadFailedError
        If uproot cannot read a column.
    """
    with _borrowed(piece, options, traffic) as entry, entry.lock:
        before = entry.counters()
        arrays = [[_array(entry.tree, piece, item, span) for span in ranges] for item in layouts]
        after = entry.counters()
    traffic.requests += after[0] - before[0]
    traffic.bytes_read += after[1] - before[1]
    return arrays


def _array(tree: Any, piece: Piece, layout: ColumnLayout, span: tuple[int, int]) -> ak.Array:
    try:
        branch = tree[layout.path]
    except KeyError as error:
        # the index has the branch and the file is the same: its directory is damaged
        raise CorruptBasketError(
            f"tree {piece.tree!r} of {piece.url!r} cannot be opened as it was indexed: "
            f"there is no branch {layout.path!r}",
            hint="copy the file again",
            branch=layout.name,
        ) from error
    try:
        options = {} if piece.kind == "rntuple" else {"library": "ak"}
        return branch.array(entry_start=span[0], entry_stop=span[1], **options)
    except Exception as error:
        raise _problem(error, piece, layout, span) from error


def _problem(
    error: Exception,
    piece: Piece,
    layout: ColumnLayout | None,
    span: tuple[int, int] | None = None,
) -> SxdaskError:
    """Return the error of our tree that says what uproot's `error` means."""
    import uproot

    facts: dict[str, Any] = {"file": piece.url, "tree": piece.tree}
    if from_storage(error):
        return as_ours(error, piece.url).add(**facts)
    text = str(getattr(error, "message", error)).strip()  # DeserializationError has the core there
    reason = text.splitlines()[0] if text else type(error).__name__
    again = "copy the file again, or leave it out"
    if layout is None:
        problem = f"tree {piece.tree!r} in {piece.url!r} cannot be opened: {reason}"
        return CorruptBasketError(problem, hint=again, **facts)
    facts |= {"branch": layout.name, "entries": span}
    name = f"branch {layout.name!r} of tree {piece.tree!r} in {piece.url!r}"
    unreadable = (
        uproot.interpretation.objects.CannotBeAwkward,
        uproot.interpretation.identify.UnknownInterpretation,
        NotImplementedError,
    )
    if isinstance(error, unreadable):
        return UnreadableBranchError(f"{name} cannot become an array: {reason}", **facts)
    return CorruptBasketError(
        f"{name} is damaged, or of a kind that uproot does not read: {reason}",
        hint="leave out the branch, or copy the file again",
        **facts,
    )
