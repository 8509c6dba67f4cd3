"""What a result cache holds, who needs it, and removing what was not used for longest.

Beside the objects a store has a few small files: ``<request>/request.json``
says what a request is and how often it was asked; ``leases/<id>.json`` names
the requests whose objects a delivery counts on; ``usage.json`` is the size at
the last look; ``full`` stops additions.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import AccessDeniedError, DeliveryError, SxdaskError
from sxdask.datasets.storage import connect
from sxdask.deliver.cache import SUFFIX
from sxdask.deliver.local import LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sxdask.deliver.cache import ResultCache

FACTS: Final = "request.json"
USAGE: Final = "usage.json"
LEASES: Final = "leases"
RUNNING_S: Final = 3600.0
"""How long a lease holds if its delivery is not heard of; renewed while it runs."""
RESUMABLE_S: Final = 7 * 86400.0
"""How long what an interrupted delivery may take up again is safe."""

_OBJECT = re.compile(r"[0-9a-f]{32}/[0-9a-f]{32}\.(arrow|whole)")
_UNFINISHED = re.compile(r"[0-9a-f]{32}/.*\.new")
_UNFINISHED_S: Final = 3600.0
_LOW_WATER: Final = 0.9
_LOOK_AGAIN_S: Final = 86400.0
_SHARE_OF_DISK: Final = 10


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One result: its name, its bytes, and when it was last used, in seconds since 1970."""

    name: str
    bytes: int
    used: float

    @property
    def request(self) -> str:
        """The folder of its request."""
        return self.name.partition("/")[0]


@dataclass(frozen=True, slots=True)
class RequestEntry:
    """The stored results of one request: `objects` partitions.

    `bytes` has results of whole runs as well; `age_s` are the seconds since one was used.
    """

    request: str
    title: str
    fingerprint: str
    objects: int
    bytes: int
    reused: int
    age_s: float
    leased: bool


@dataclass(frozen=True, slots=True)
class Removed:
    """What was removed, or would be; `leased` objects had to stay."""

    objects: int = 0
    bytes: int = 0
    leased: int = 0


def objects_of(cache: ResultCache, request: str = "") -> list[StoredObject]:
    """Return what is stored, of one request if it is named; one listing in all.

    Raises
    ------
    DeliveryError, AccessDeniedError
        If the store cannot be listed.
    """
    return [
        StoredObject(name, size, used)
        for name, size, used in _listed(cache, request)
        if _OBJECT.fullmatch(name)
    ]


def requests_of(cache: ResultCache) -> list[RequestEntry]:
    """Return what is stored by request, the last used first."""
    groups: dict[str, list[StoredObject]] = {}
    for item in objects_of(cache):
        groups.setdefault(item.request, []).append(item)
    leased = leased_requests(cache)
    now = time.time()
    found = []
    for request, items in groups.items():
        facts = read_json(cache, f"{request}/{FACTS}")
        last = max(*(item.used for item in items), float(facts.get("used", 0.0)))
        found.append(
            RequestEntry(
                request=request,
                title=str(facts.get("title", "")),
                fingerprint=str(facts.get("fingerprint", "")),
                objects=sum(item.name.endswith(SUFFIX) for item in items),
                bytes=sum(item.bytes for item in items),
                reused=int(facts.get("reused", 0)),
                age_s=max(0.0, now - last),
                leased=request in leased,
            )
        )
    return sorted(found, key=lambda entry: entry.age_s)


def leased_requests(cache: ResultCache) -> set[str]:
    """Return the requests whose objects a running or resumable delivery counts on."""
    now = time.time()
    found: set[str] = set()
    for name, _, _ in _listed(cache, LEASES):
        lease = read_json(cache, name)
        if float(lease.get("until", 0.0)) > now:
            found.update(map(str, lease.get("requests", ())))
        else:
            cache.drop(name)
    return found


def write_lease(
    cache: ResultCache,
    lease: str,
    requests: Iterable[str],
    seconds: float,
    *,
    waiting: bool = False,
) -> None:
    """Keep the objects of `requests` from being removed for the next `seconds`.

    `waiting` says that the delivery was interrupted and is to be taken up again.
    """
    facts = {"requests": sorted(requests), "until": time.time() + seconds, "waiting": waiting}
    write_json(cache, f"{LEASES}/{lease}.json", facts)


def end_lease(cache: ResultCache, lease: str, requests: Iterable[str] = ()) -> None:
    """Take a lease back, and with it those of interrupted deliveries of the same requests."""
    cache.drop(f"{LEASES}/{lease}.json")
    done = sorted(requests)
    with suppress(SxdaskError):
        for name, _, _ in _listed(cache, LEASES):
            other = read_json(cache, name)
            if done and other.get("waiting") and other.get("requests") == done:
                cache.drop(name)


def prune(
    cache: ResultCache,
    *,
    max_bytes: int | None = None,
    older_than_s: float | None = None,
    request: str | None = None,
    everything: bool = False,
    dry_run: bool = False,
) -> Removed:
    """Remove objects: all, those unused for a time, of a request, or the oldest beyond a size.

    Objects of leased requests stay in any case. With `dry_run` nothing is removed.

    Parameters
    ----------
    request
        The beginning of the fingerprint or name of requests.
    """
    now = time.time()
    items = sorted(_with_request_use(cache, objects_of(cache)), key=lambda item: -item.used)
    total, doomed = 0, []
    chosen = {} if request is None else _chosen(cache, items, request)
    for item in items:  # the last used first
        old = older_than_s is not None and now - item.used > older_than_s
        beyond = max_bytes is not None and total + item.bytes > max_bytes
        if everything or old or beyond or item.request in chosen:
            doomed.append(item)
        else:
            total += item.bytes
    leased = leased_requests(cache) if doomed else set()
    gone = [item for item in doomed if item.request not in leased]
    if not dry_run:
        for item in gone:
            cache.drop(item.name)
        _tidy(cache, {item.request for item in gone})
        left = sum(item.bytes for item in items) - sum(item.bytes for item in gone)
        write_json(cache, USAGE, {"bytes": left, "looked": now})
        if left <= limit_of(cache, left):
            cache.set_full(False)
    freed = sum(item.bytes for item in gone)
    return Removed(len(gone), freed, len(doomed) - len(gone))


def account(cache: ResultCache, added: int) -> None:
    """Note that `added` bytes came to a store, and remove what is too much.

    The store is listed only if it may be too large by what is known of it, or
    was not looked at for a day. Where leases keep it too large, nothing is
    added any more.
    """
    usage = read_json(cache, USAGE)
    known = int(usage.get("bytes", 0)) + added
    fresh = time.time() - float(usage.get("looked", 0.0)) < _LOOK_AGAIN_S
    if fresh and known <= limit_of(cache, known):
        write_json(cache, USAGE, {**usage, "bytes": known})
        return
    real = sum(item.bytes for item in objects_of(cache))
    limit = limit_of(cache, real)
    if real > limit:
        real -= prune(cache, max_bytes=int(limit * _LOW_WATER)).bytes
    cache.set_full(real > limit)
    write_json(cache, USAGE, {"bytes": real, "looked": time.time()})


def limit_of(cache: ResultCache, used: int) -> int:
    """Return the most bytes the cache may have: on a disk never more than a tenth of what is free.

    What the cache itself has, `used` bytes, counts as free.
    """
    if not isinstance(cache.store, LocalStore):
        return cache.limit
    try:
        free = shutil.disk_usage(cache.store.root).free
    except OSError:
        return cache.limit
    return min(cache.limit, (free + used) // _SHARE_OF_DISK)


def read_json(cache: ResultCache, name: str) -> dict[str, Any]:
    """Return a small file of the store; empty if it is not there or damaged."""
    data = cache.load(name)
    with suppress(ValueError):
        found = json.loads(data or b"{}")
        if isinstance(found, dict):
            return found
    return {}


def write_json(cache: ResultCache, name: str, facts: dict[str, Any]) -> None:
    """Write a small file of the store, if it can be written."""
    cache.keep_note(name, json.dumps(facts).encode())


def _with_request_use(cache: ResultCache, items: list[StoredObject]) -> Iterator[StoredObject]:
    """Yield objects with the time of their request's last use, where reading leaves no trace."""
    if isinstance(cache.store, LocalStore):
        yield from items
        return
    used = {item.request: 0.0 for item in items}
    for request in used:
        used[request] = float(read_json(cache, f"{request}/{FACTS}").get("used", 0.0))
    for item in items:
        yield StoredObject(item.name, item.bytes, max(item.used, used[item.request]))


def _chosen(cache: ResultCache, items: list[StoredObject], request: str) -> set[str]:
    found = set()
    for name in {item.request for item in items}:
        fingerprint = str(read_json(cache, f"{name}/{FACTS}").get("fingerprint", ""))
        if name.startswith(request) or fingerprint.startswith(request):
            found.add(name)
    return found


def _tidy(cache: ResultCache, requests: set[str]) -> None:
    """Remove what a killed process left half written, and the facts of requests without results."""
    now = time.time()
    left: set[str] = set()
    for name, _, used in _listed(cache, ""):
        if _OBJECT.fullmatch(name):
            left.add(name.partition("/")[0])
        elif _UNFINISHED.fullmatch(name) and now - used > _UNFINISHED_S:
            cache.drop(name)
    for request in requests - left:
        cache.drop(f"{request}/{FACTS}")
        with suppress(SxdaskError, OSError):
            cache.store.remove_folder(request, only_empty=True)


def _listed(cache: ResultCache, folder: str) -> list[tuple[str, int, float]]:
    """Return name, bytes and time of what lies in `folder` and below it."""
    try:
        if isinstance(cache.store, LocalStore):
            return list(_scanned(str(cache.store.root / folder), f"{folder}/" if folder else ""))
        return _found(cache, folder)
    except PermissionError as error:
        raise AccessDeniedError(
            f"{cache.location!r} may not be listed",
            hint="check its owner and permissions, or the credentials in use",
            file=cache.location,
        ) from error
    except OSError as error:
        raise DeliveryError(
            f"{cache.location!r} cannot be listed: {error.strerror or error}", file=cache.location
        ) from error


def _found(cache: ResultCache, folder: str) -> list[tuple[str, int, float]]:
    store: Any = cache.store
    filesystem, root = connect(store.url, store.storage_options)
    root = str(root).rstrip("/")
    try:
        filesystem.invalidate_cache()
        found = filesystem.find(f"{root}/{folder}".rstrip("/"), detail=True)
    except FileNotFoundError:
        return []
    top = len(root) + 1
    return [(path[top:], int(facts["size"] or 0), _time(facts)) for path, facts in found.items()]


def _scanned(folder: str, prefix: str) -> Iterator[tuple[str, int, float]]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from _scanned(entry.path, f"{prefix}{entry.name}/")
                    continue
                with suppress(FileNotFoundError):  # another process removes things, too
                    state = entry.stat()
                    yield f"{prefix}{entry.name}", state.st_size, state.st_mtime
    except (FileNotFoundError, NotADirectoryError):
        return


def _time(facts: dict[str, Any]) -> float:
    for key in ("LastModified", "mtime", "last_modified", "updated", "created"):
        found = facts.get(key)
        if isinstance(found, datetime):
            return found.timestamp()
        if isinstance(found, int | float):
            return float(found)
    return 0.0
