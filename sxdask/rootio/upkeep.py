"""What an index store holds, and removing what is not wanted any more."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sxdask.core.errors import SxdaskError
from sxdask.rootio.identity import file_stamp
from sxdask.rootio.index import INDEX_SUFFIX, open_index
from sxdask.rootio.source import local_path
from sxdask.rootio.zonestore import ZONES_SUFFIX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sxdask.rootio.index import FileIndex


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One stored index.

    `index_bytes` and `zone_bytes` are sizes on disk, `age_s` the seconds since
    it was built. `stale` says that the file has changed or is gone; None for
    a remote file, which is not looked at.
    """

    path: Path
    url: str
    tree: str
    num_entries: int
    num_branches: int
    index_bytes: int
    zone_bytes: int
    build_seconds: float
    age_s: float
    stale: bool | None


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was removed: number of entries and their bytes, statistics included."""

    entries: int = 0
    bytes: int = 0


def list_entries(root: Path) -> list[IndexEntry]:
    """Return the stored indexes below `root`, the newest first; damaged ones are left out."""
    now = time.time()
    found = []
    for path in _index_files(root):
        with suppress(OSError, ValueError):
            index, state = open_index(path), path.stat()
            found.append(
                IndexEntry(
                    path=path,
                    url=index.url,
                    tree=index.tree,
                    num_entries=index.num_entries,
                    num_branches=len(index.layout.names),
                    index_bytes=state.st_size,
                    zone_bytes=_size(path.with_suffix(ZONES_SUFFIX)),
                    build_seconds=index.build_seconds,
                    age_s=max(0.0, now - state.st_mtime),
                    stale=_is_stale(index),
                )
            )
    return sorted(found, key=lambda entry: entry.age_s)


def prune_entries(
    root: Path,
    *,
    older_than_s: float | None = None,
    stale: bool = False,
    everything: bool = False,
    max_bytes: int | None = None,
) -> Pruned:
    """Remove entries: all, stale ones, those older than an age, the oldest beyond a size.

    Damaged entries and links that lead nowhere go in any case.
    """
    kept = list_entries(root)
    known = {entry.path for entry in kept}
    doomed = {path for path in _index_files(root) if path not in known}
    if everything:
        doomed |= known
    if stale:
        doomed |= {entry.path for entry in kept if entry.stale}
    if older_than_s is not None:
        doomed |= {entry.path for entry in kept if entry.age_s > older_than_s}
    if max_bytes is not None:
        total = 0
        for entry in kept:  # the newest first
            if entry.path not in doomed:
                total += entry.index_bytes + entry.zone_bytes
                if total > max_bytes:
                    doomed.add(entry.path)
    freed = sum(_remove(path) for path in doomed)
    for link in root.glob(f"??/*{INDEX_SUFFIX}"):
        if link.is_symlink() and not link.exists():
            link.unlink(missing_ok=True)
    return Pruned(len(doomed), freed)


def _index_files(root: Path) -> Iterator[Path]:
    for path in root.glob(f"??/*{INDEX_SUFFIX}"):
        if not path.is_symlink() and not path.name.startswith("."):
            yield path


def _remove(path: Path) -> int:
    freed = 0
    for item in (path, path.with_suffix(ZONES_SUFFIX)):
        freed += _size(item)
        item.unlink(missing_ok=True)
    return freed


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _is_stale(index: FileIndex) -> bool | None:
    if local_path(index.url) is None:
        return None
    try:
        now = file_stamp(index.url)
    except SxdaskError:
        return True
    return (now.size, now.mark) != (index.stamp.size, index.stamp.mark)
