"""Baskets that were read before, on this machine's disk, found by file, tree and place.

A request that shares columns with an earlier one, whatever its conditions and
entry ranges, fetches only the baskets that are new. There is a folder for each
tree of each file, named after what the file is (UUID and size) and not after
where it is; each batch of baskets that was read together is one file in it.
Nothing here fails: what cannot be kept is fetched again.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

from sxdask.rootio.columnpack import (
    SUFFIX,
    DamagedPackError,
    Directory,
    Packed,
    pack_bytes,
    read_baskets,
    read_directory,
)
from sxdask.rootio.filelock import file_lock
from sxdask.rootio.source import local_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sxdask.rootio.model import Int64Array, Piece, ReadOptions

_SPARE_BYTES: Final = 256 * 1024 * 1024  # of the disk; others need it as well
_LOOK_AFTER: Final = 20  # looks at the size once a twentieth of the limit was added
_LOW_WATER: Final = 0.9
_SHARE_OF_DISK: Final = 10
_PAUSE_S: Final = 60.0
_MOST_DIRECTORIES: Final = 4096
_UNFINISHED_S: Final = 3600.0

_lock = threading.Lock()
_directories: OrderedDict[str, Directory] = OrderedDict()
_unlooked: dict[str, int] = {}  # bytes added to a store since this process looked at its size
_resting: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class PackEntry:
    """A file of baskets: `used` is when it was last read, in seconds since 1970."""

    path: Path
    bytes: int
    used: float


@dataclass(frozen=True, slots=True)
class ColumnStore:
    """The baskets of one tree of one file, below `root`, which has at most `limit` bytes."""

    root: Path
    limit: int
    folder: Path
    url: str
    tree: str

    @classmethod
    def of(cls, piece: Piece, options: ReadOptions) -> ColumnStore | None:
        """Return where baskets of the piece's tree are kept; None if they are not to be."""
        if not (options.column_cache and options.column_cache_bytes and piece.stamp.uuid):
            return None
        if not options.cache_local and local_path(piece.url) is not None:
            return None
        root = Path(options.column_cache)
        folder = root / tree_name(piece.stamp.uuid, piece.stamp.size, piece.tree)
        return cls(root, options.column_cache_bytes, folder, _public(piece.url), piece.tree)

    def find(self, seeks: Int64Array, sizes: Int64Array) -> list[memoryview | None]:
        """Return the basket at each place of the file, or None where it is not kept."""
        found: list[memoryview | None] = [None] * len(seeks)
        wanted = dict(zip(seeks.tolist(), enumerate(sizes.tolist()), strict=True))
        low, high = (int(seeks.min()), int(seeks.max())) if len(seeks) else (0, -1)
        for path, first, last in _packs(self.folder):
            if last < low or first > high or not wanted:
                continue
            directory = _directory(path)
            if directory is None:
                continue
            rows = directory.rows
            here = [seek for seek in rows.keys() & wanted if rows[seek][0] == wanted[seek][1]]
            if not here:
                continue
            try:
                baskets = read_baskets(path, [rows[seek][1:] for seek in here])
            except DamagedPackError:
                _remove(path)
                continue
            except OSError:
                continue
            for seek, basket in zip(here, baskets, strict=True):
                found[wanted.pop(seek)[0]] = basket
        return found

    def keep(self, baskets: Sequence[Packed]) -> None:
        """Write baskets that were read together, whole or not at all."""
        if not baskets or time.monotonic() < _resting.get(str(self.root), 0.0):
            return
        parts = pack_bytes(baskets, url=self.url, tree=self.tree)
        size = sum(map(len, parts))
        seeks = [basket.seek for basket in baskets]
        name = f"{min(seeks):x}-{max(seeks):x}-{os.urandom(6).hex()}"
        path = self.folder / f"{name}{SUFFIX}"
        other = self.folder / f"{name}.new"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if size > self.limit or shutil.disk_usage(self.folder).free < size + _SPARE_BYTES:
                return
            with other.open("wb") as file:
                file.writelines(parts)
            other.replace(path)
        except OSError:
            with suppress(OSError):
                other.unlink(missing_ok=True)
            _resting[str(self.root)] = time.monotonic() + _PAUSE_S
            return
        self._grown(size)

    def places(self) -> dict[int, int]:
        """Return where in the file the baskets lie that are kept, with their sizes there."""
        found: dict[int, int] = {}
        for path, _, _ in _packs(self.folder):
            directory = _directory(path)
            if directory is not None:
                found |= {seek: row[0] for seek, row in directory.rows.items()}
        return found

    def _grown(self, size: int) -> None:
        root = str(self.root)
        with _lock:
            seen = root in _unlooked
            _unlooked[root] = _unlooked.get(root, 0) + size
            if seen and _unlooked[root] * _LOOK_AFTER < self.limit:
                return
            _unlooked[root] = 0
        with file_lock(self.root / "lock", timeout_s=0.0) as held:
            if held:
                trim(self.root, self.limit)


def tree_name(uuid: str, size: int, tree: str) -> str:
    """Return the name of the folder for a tree of a file."""
    return blake2b(f"{uuid}\0{size}\0{tree}".encode(), digest_size=16).hexdigest()


def pack_entries(root: Path) -> list[PackEntry]:
    """Return all files of baskets below `root`, the last used first."""
    found = [
        PackEntry(Path(entry.path), state.st_size, state.st_mtime)
        for entry, state in _files(root)
        if entry.name.endswith(SUFFIX)
    ]
    return sorted(found, key=lambda entry: -entry.used)


def trim(root: Path, limit: int) -> int:
    """Remove what was not used for longest if there is more than `limit`; return the bytes left.

    The limit is never more than a tenth of the disk that is free. What a
    killed process left half written goes as well.
    """
    for entry, state in _files(root):
        if entry.name.endswith(".new") and time.time() - state.st_mtime > _UNFINISHED_S:
            _remove(entry.path)
    entries = pack_entries(root)
    total = sum(entry.bytes for entry in entries)
    with suppress(OSError):
        limit = min(limit, (shutil.disk_usage(root).free + total) // _SHARE_OF_DISK)
    if total <= limit:
        return total
    for pack in reversed(entries):
        if total <= limit * _LOW_WATER:
            break
        remove_pack(pack)
        total -= pack.bytes
    return total


def prune_packs(
    root: Path,
    *,
    max_bytes: int | None = None,
    older_than_s: float | None = None,
    everything: bool = False,
    dry_run: bool = False,
) -> tuple[int, int]:
    """Remove files of baskets: all, those unused for a time, or the oldest beyond a size.

    Returns their number and bytes; with `dry_run` they stay.
    """
    now, total = time.time(), 0
    doomed = []
    for entry in pack_entries(root):  # the last used first
        old = older_than_s is not None and now - entry.used > older_than_s
        beyond = max_bytes is not None and total + entry.bytes > max_bytes
        if everything or old or beyond:
            doomed.append(entry)
        else:
            total += entry.bytes
    if not dry_run:
        for entry in doomed:
            remove_pack(entry)
    return len(doomed), sum(entry.bytes for entry in doomed)


def remove_pack(entry: PackEntry) -> None:
    """Remove a file of baskets, and its folder with the last one."""
    _remove(str(entry.path))
    with suppress(OSError):
        entry.path.parent.rmdir()


def describe_pack(entry: PackEntry) -> Directory | None:
    """Return what a file of baskets has; None if it is damaged or gone."""
    return _directory(str(entry.path))


def _packs(folder: Path) -> list[tuple[str, int, int]]:
    """Return path, first and last seek of the files of baskets in `folder`."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                name, _, suffix = entry.name.partition(".")
                first, _, rest = name.partition("-")
                with suppress(ValueError):
                    if f".{suffix}" == SUFFIX:
                        found.append((entry.path, int(first, 16), int(rest.partition("-")[0], 16)))
    except OSError:
        return []
    return found


def _files(root: Path) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    try:
        folders = [entry.path for entry in os.scandir(root) if entry.is_dir()]
    except OSError:
        return
    for folder in folders:
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # another process removes things, too
                    yield entry, entry.stat()


def _directory(path: str) -> Directory | None:
    with _lock:
        known = _directories.get(path)
        if known is not None:
            _directories.move_to_end(path)
            return known
    try:
        directory = read_directory(path)
    except (DamagedPackError, ValueError, KeyError):
        _remove(path)
        return None
    except OSError:
        return None
    with _lock:
        _directories[path] = directory
        while len(_directories) > _MOST_DIRECTORIES:
            _directories.popitem(last=False)
    return directory


def _remove(path: str) -> None:
    with _lock:
        _directories.pop(path, None)
    with suppress(OSError):
        os.unlink(path)  # noqa: PTH108 - one call for each of many files


def _public(url: str) -> str:
    """Return `url` without user, password, query and fragment: those may be secrets."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
