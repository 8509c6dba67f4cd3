"""Indexes on disk, found by file and tree, shared by all processes of a user.

One Arrow file for each tree of each file, in folders by the first two digits
of its digest, written under another name and moved into place. An index that
does not fit its file any more, or cannot be read, counts as absent.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
import warnings
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from sxdask.core.errors import SxdaskError
from sxdask.rootio.atomic import replace_bytes, replace_link
from sxdask.rootio.build import build_index
from sxdask.rootio.filelock import file_lock
from sxdask.rootio.identity import file_stamp, normalise_url
from sxdask.rootio.index import INDEX_SUFFIX, FileIndex, index_to_bytes, open_index
from sxdask.rootio.parallel import find_or_build
from sxdask.rootio.upkeep import IndexEntry, Pruned, list_entries, prune_entries
from sxdask.rootio.zonestore import ZONES_SUFFIX, ZoneSidecar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Literal, TypeAlias

    from sxdask.rootio.model import ColumnZones, FileStamp, Piece

    Wanted: TypeAlias = tuple[str, str | None]
    Options: TypeAlias = Mapping[str, Any] | None
    Progress: TypeAlias = Callable[[int, int, float], None]

_LOCK_TIMEOUT_S = 120.0
_LEARN_TIMEOUT_S = 10.0

# Mapped indexes held by a process; Linux allows 65 530 mappings (vm.max_map_count).
_MOST_OPEN = 32_768

# Device, inode and modification time of the index file -> the index; shared by all stores.
_opened: OrderedDict[tuple[int, int, int], FileIndex] = OrderedDict()
_opened_lock = threading.Lock()


class IndexStore:
    """The indexes below the folder `root`, which is made when first written to."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)
        self._memory: dict[str, FileIndex] = {}  # where the folder cannot be written to
        self._warned = False

    def path_of(self, url: str, tree: str | None = None) -> Path:
        """Return where the index of that tree lies, or would; None is the file's usual tree."""
        return Path(self._place(*_name(url, tree)))

    def get(
        self, url: str, tree: str | None = None, *, storage_options: Options = None
    ) -> FileIndex | None:
        """Return the stored index if it fits the file as it is now, else None.

        Raises
        ------
        FileMissingError, AccessDeniedError, NotRootFileError, ReadFailedError
            If the file itself is not to be had.
        """
        url, tree = _name(url, tree)
        stamp = file_stamp(url, storage_options)
        index = self._load(url, tree)
        return index if index is not None and _same(index.stamp, stamp) else None

    def put(self, index: FileIndex, *, usual: bool = False) -> FileIndex:
        """Store an index and return it as it is read back.

        With `usual` it is also found as the file's usual tree. Where
        the folder cannot be written to, it is kept in memory, with a warning.
        """
        path = self._place(index.url, index.tree)
        try:
            replace_bytes(Path(path), index_to_bytes(index))
            if usual:
                replace_link(Path(self._place(index.url, None)), Path(path))
        except OSError as error:
            self._warn(error)
            self._memory[path] = index
            if usual:
                self._memory[self._place(index.url, None)] = index
            return index
        return self._load(index.url, index.tree) or index

    def build(
        self, url: str, tree: str | None = None, *, storage_options: Options = None
    ) -> FileIndex:
        """Return the index of a tree, building and storing it unless it is there.

        Processes that ask for the same tree at once wait for one of them.

        Raises
        ------
        SxdaskError
            As `build_index` does.
        """
        url, tree = _name(url, tree)
        with self._lock(self._place(url, tree), _LOCK_TIMEOUT_S):
            index = self.get(url, tree, storage_options=storage_options)
            if index is None:
                made = build_index(url, tree, storage_options=storage_options)
                index = self.put(made, usual=tree is None)
            return index

    @overload
    def ensure(
        self,
        files: Sequence[Wanted],
        *,
        workers: int = 0,
        progress: Progress | None = None,
        storage_options: Options = None,
        on_error: Literal["raise"] = "raise",
    ) -> list[FileIndex]: ...

    @overload
    def ensure(
        self,
        files: Sequence[Wanted],
        *,
        workers: int = 0,
        progress: Progress | None = None,
        storage_options: Options = None,
        on_error: Literal["collect"],
    ) -> list[FileIndex | SxdaskError]: ...

    def ensure(
        self,
        files: Sequence[Wanted],
        *,
        workers: int = 0,
        progress: Progress | None = None,
        storage_options: Options = None,
        on_error: Literal["raise", "collect"] = "raise",
    ) -> list[FileIndex] | list[FileIndex | SxdaskError]:
        """Return the index of every file, building those that are missing in parallel.

        Parameters
        ----------
        files
            Pairs of URL and tree (None: the file's usual tree).
        workers
            Processes or threads that build; 0 is one for each core.
        progress
            Called with files done, files in all, and seconds so far.
        on_error
            Whether the first `SxdaskError` is raised or each takes its file's place.

        Returns
        -------
        list
            `FileIndex` for each of `files`, in their order; with ``collect``,
            `SxdaskError` where there is none.
        """
        wanted = [_name(url, tree) for url, tree in files]
        unique = list(dict.fromkeys(wanted))
        found: dict[Wanted, FileIndex | SxdaskError] = {}
        begin = time.perf_counter()
        for item, result in find_or_build(
            self, unique, workers=workers, storage_options=storage_options
        ):
            if isinstance(result, SxdaskError) and on_error == "raise":
                raise result
            found[item] = result
            if progress is not None:
                progress(len(found), len(unique), time.perf_counter() - begin)
        return [found[item] for item in wanted]

    def is_writable(self) -> bool:
        """Tell whether indexes can be stored."""
        with suppress(OSError):
            self.root.mkdir(parents=True, exist_ok=True)
        return os.access(self.root, os.W_OK | os.X_OK)

    def learn(self, piece: Piece, learned: Mapping[str, ColumnZones]) -> bool:
        """Keep the statistics of baskets that reading `piece` taught.

        Returns whether there was anything new. Never fails: what cannot be
        stored is learned again some day.
        """
        url, tree = _name(piece.url, piece.tree)
        index = self._load(url, tree)
        if index is None or index.stamp != piece.stamp or not learned:
            return False
        sidecar = index.zone_source
        if not isinstance(sidecar, ZoneSidecar) or not sidecar.news(index, piece, learned):
            return False
        try:
            with self._lock(self._place(url, tree), _LEARN_TIMEOUT_S) as held:
                return held and sidecar.merge(index, piece, learned)
        except OSError as error:
            self._warn(error)
            return False

    def discard(self, url: str, tree: str) -> None:
        """Remove the index of a tree whose file proved to be another than the one indexed.

        The stamp cannot tell where size and modification time are the same.
        """
        url, tree = normalise_url(url), tree.strip("/")
        usual = self._load(url, None)
        names = [tree, None] if usual is not None and usual.tree == tree else [tree]
        for name in names:
            path = self._place(url, name)
            self._memory.pop(path, None)
            Path(path).unlink(missing_ok=True)

    def entries(self) -> list[IndexEntry]:
        """Return what is stored, the newest first; remote files are not looked at."""
        return list_entries(self.root)

    def prune(
        self,
        *,
        older_than_s: float | None = None,
        stale: bool = False,
        everything: bool = False,
        max_bytes: int | None = None,
    ) -> Pruned:
        """Remove entries: all, stale ones, older ones, or the oldest beyond a size in bytes."""
        pruned = prune_entries(
            self.root,
            older_than_s=older_than_s,
            stale=stale,
            everything=everything,
            max_bytes=max_bytes,
        )
        if everything:
            self._memory.clear()
        return pruned

    def _place(self, url: str, tree: str | None, suffix: str = INDEX_SUFFIX) -> str:
        digest = hashlib.sha256(f"{url}\0{tree or ''}".encode()).hexdigest()[:32]
        return f"{self.root}/{digest[:2]}/{digest}{suffix}"

    def _zones(self, url: str, tree: str, stamp: FileStamp) -> ZoneSidecar:
        return ZoneSidecar(self._place(url, tree, ZONES_SUFFIX), stamp)

    def _lock(self, path: str, timeout_s: float) -> AbstractContextManager[bool]:
        # 4096 locks for all entries: they are never removed, and few meet by chance.
        return file_lock(self.root / "locks" / Path(path).name[:3], timeout_s=timeout_s)

    def _load(self, url: str, tree: str | None) -> FileIndex | None:
        path = self._place(url, tree)
        try:
            state = os.stat(path)  # noqa: PTH116 - once for each of many files
        except OSError:
            return self._memory.get(path)
        version = (state.st_dev, state.st_ino, state.st_mtime_ns)
        with _opened_lock:
            index = _opened.get(version)
            if index is not None and _is_of(index, url, tree):
                _opened.move_to_end(version)
                return index
        try:
            index = open_index(path, self._zones)
        except (OSError, ValueError):
            index = None
        if index is None or not _is_of(index, url, tree):
            return self._memory.get(path)
        with _opened_lock:
            _opened[version] = index
            while len(_opened) > _MOST_OPEN:
                _opened.popitem(last=False)
        return index

    def _warn(self, error: OSError) -> None:
        if self._warned:
            return
        self._warned = True
        warnings.warn(
            f"indexes cannot be kept in {str(self.root)!r} ({error.strerror or error}); "
            "they are built anew by each process: set SXDASK_CACHE_DIR to a folder of yours",
            stacklevel=4,
        )


def _name(url: str, tree: str | None) -> Wanted:
    return normalise_url(url), None if tree is None else tree.strip("/")


def _is_of(index: FileIndex, url: str, tree: str | None) -> bool:
    return index.url == url and tree in {None, index.tree}


def _same(stored: FileStamp, now: FileStamp) -> bool:
    """Compare what one look tells; the reader compares the UUID with the bytes that it gets."""
    return stored.size == now.size and stored.mark == now.mark
