"""Results of partitions in a folder of any storage, found by what they are.

An object is called ``<request>/<key>.arrow``: the request says what was
computed and with which versions, the key from which entries of which file.
Equal names mean equal rows, whoever computed them, so that objects are only
ever added and removed, never changed. Nothing here fails: a store that cannot
be written or read is one that holds nothing.
"""

from __future__ import annotations

import json
import os
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sxdask._version import __version__
from sxdask.core.errors import SxdaskError
from sxdask.deliver.local import LocalStore
from sxdask.deliver.part import content_key
from sxdask.deliver.store import open_store

if TYPE_CHECKING:
    from sxdask.core.settings import Settings
    from sxdask.deliver.store import Store
    from sxdask.rootio.model import Piece

FORMAT: Final = 1
"""Version of what objects look like and of how they are called."""

SEMANTICS: Final = 1
"""Version of what plans mean: one more when a fix changes rows between two releases."""

SUFFIX: Final = ".arrow"
FULL: Final = "full"
"""Object that says: nothing may be added until something is removed."""

_MOST_FAILURES: Final = 3  # of a folder; over a network one took long enough
_PAUSE_S: Final = 60.0
_SPARE_BYTES: Final = 256 * 1024 * 1024  # of the disk; others need it as well
_FULL_FOR_S: Final = 30.0

_lock = threading.Lock()
_failures: dict[str, tuple[int, float]] = {}
_full: dict[str, tuple[float, bool]] = {}


@dataclass(frozen=True)
class ResultCache:
    """Stored results; `limit` is the most bytes of them. It travels with tasks.

    A store that fails (a folder: several times in a row) is left alone for a minute.
    """

    store: Store
    limit: int

    @property
    def location(self) -> str:
        """Where it is, without credentials."""
        return self.store.location

    def load(self, name: str) -> bytes | None:
        """Return an object, or None if it is not there or cannot be had."""
        if self._is_resting():
            return None
        try:
            data = self.store.read(name)
        except (SxdaskError, OSError):
            self._failed()
            return None
        if data is not None and isinstance(self.store, LocalStore):
            with suppress(OSError):  # what was used last is removed last
                os.utime(self.store.root / name)
        return data

    def keep(self, name: str, data: bytes) -> bool:
        """Store an object, whole or not at all; return whether it is there now."""
        return self._has_room(len(data)) and self.keep_note(name, data)

    def keep_note(self, name: str, data: bytes) -> bool:
        """Store a small file of the cache's own, whatever room there is."""
        if self._is_resting():
            return False
        try:
            if isinstance(self.store, LocalStore):
                _replace(self.store.root / name, data)
            else:
                self.store.write(name, data)
        except (SxdaskError, OSError):
            self._failed()
            return False
        with _lock:
            _failures.pop(self.location, None)
        return True

    def drop(self, name: str) -> None:
        """Remove an object that is damaged."""
        with suppress(SxdaskError, OSError):
            self.store.remove(name)

    def set_full(self, full: bool) -> None:  # noqa: FBT001 - the only thing to say
        """Say to all processes, this one at once, whether anything may be added."""
        if full:
            self.keep_note(FULL, b"")
        else:
            self.drop(FULL)
        _full[self.location] = time.monotonic(), full

    def _has_room(self, size: int) -> bool:
        if isinstance(self.store, LocalStore):
            with suppress(OSError):
                if _free_bytes(self.store.root) < size + _SPARE_BYTES:
                    return False
            return size <= self.limit and not (self.store.root / FULL).exists()
        return size <= self.limit and not self._is_full()

    def _is_full(self) -> bool:
        asked, answer = _full.get(self.location, (0.0, False))
        if time.monotonic() - asked > _FULL_FOR_S or not asked:
            answer = False
            with suppress(SxdaskError, OSError):
                answer = self.store.size(FULL) is not None
            _full[self.location] = time.monotonic(), answer
        return answer

    def _is_resting(self) -> bool:
        count, until = _failures.get(self.location, (0, 0.0))
        most = _MOST_FAILURES if isinstance(self.store, LocalStore) else 1
        return count >= most and time.monotonic() < until

    def _failed(self) -> None:
        with _lock:
            count, _ = _failures.get(self.location, (0, 0.0))
            _failures[self.location] = count + 1, time.monotonic() + _PAUSE_S


def open_cache(settings: Settings) -> ResultCache | None:
    """Return the cache that the settings name, or None if there is to be none.

    Raises
    ------
    RequestError, MissingExtraError
        If no file system knows its URL.
    """
    return cache_of(settings) if settings.result_cache_bytes else None


def cache_of(settings: Settings) -> ResultCache:
    """Return the cache that the settings name, also where they say to keep nothing new.

    Raises
    ------
    RequestError, MissingExtraError
        If no file system knows its URL.
    """
    place = settings.result_cache
    if place == "auto":
        place = str(Path(settings.cache_dir) / "results")
    return ResultCache(open_store(place), settings.result_cache_bytes)


def request_name(*facts: str) -> str:
    """Return the name of the folder of a request: what is computed, and by which versions.

    A release may fix what a kernel gives, so results do not outlive it; results
    also depend on awkward and, for branches that only it reads, on uproot.
    """
    return content_key("results", str(FORMAT), str(SEMANTICS), *_versions(), *facts)


def result_key(piece: Piece) -> str | None:
    """Return the name of what a request makes of `piece`, or None if the file has no identity.

    It is made of the file's UUID and size, the tree, the entry range and the
    places of the baskets, not of the file's name: a copy is the same file.
    """
    if not piece.stamp.uuid.strip("0"):
        return None
    names = sorted(piece.baskets)
    baskets = [piece.baskets[name] for name in names]
    facts = (
        piece.stamp.uuid,
        piece.stamp.size,
        piece.tree,
        piece.kind,
        piece.entry_start,
        piece.entry_stop,
        piece.first_entry,
        [(name, len(found.seek)) for name, found in zip(names, baskets, strict=True)],
    )
    digest = blake2b(json.dumps(facts).encode(), digest_size=16)
    for found in baskets:
        arrays = (found.seek, found.num_bytes, found.entry_starts)
        digest.update(b"".join(array.tobytes() for array in arrays))
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _versions() -> tuple[str, ...]:
    return (__version__, version("awkward"), version("uproot"))


def _free_bytes(folder: Path) -> int:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _replace(path: Path, data: bytes) -> None:
    """Write a file beside and move it; not to the disk at once, as objects have checksums."""
    path.parent.mkdir(parents=True, exist_ok=True)
    other = path.with_name(f"{path.name}.{os.getpid()}-{os.urandom(4).hex()}.new")
    try:
        other.write_bytes(data)
        other.replace(path)
    except OSError:
        with suppress(OSError):
            other.unlink(missing_ok=True)
        raise
