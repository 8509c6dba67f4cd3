"""What each client asked for lately: short, so that many of them cost little."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_OF_ONE: Final = 100
_MOST_OWNERS: Final = 10_000


class RecentRequests:
    """The last requests of each owner with what was said of them, for `ttl_s` seconds."""

    def __init__(self, ttl_s: float) -> None:
        self._ttl_s = ttl_s
        self._lock = threading.Lock()
        self._owners: OrderedDict[str, OrderedDict[str, tuple[float, Sequence[Any]]]]
        self._owners = OrderedDict()

    def add(self, owner: str, digest: str, infos: Sequence[Any]) -> None:
        """Note that `owner` asked for the request `digest`."""
        with self._lock:
            mine = self._owners.setdefault(owner, OrderedDict())
            mine[digest] = time.monotonic(), infos
            mine.move_to_end(digest)
            self._owners.move_to_end(owner)
            _cut(mine, _MOST_OF_ONE)
            _cut(self._owners, _MOST_OWNERS)

    def of(self, owner: str) -> list[Any]:
        """Return what was said of the requests of `owner`, newest first."""
        oldest = time.monotonic() - self._ttl_s
        with self._lock:
            mine = list(self._owners.get(owner, {}).values())
        return [info for moment, infos in reversed(mine) if moment > oldest for info in infos]

    def remove(self, owner: str, digest: str) -> tuple[bool, bool]:
        """Forget a request of `owner`; return whether it was known, and whether others know it."""
        with self._lock:
            known = self._owners.get(owner, OrderedDict()).pop(digest, None) is not None
            return known, any(digest in mine for mine in self._owners.values())


def _cut(items: OrderedDict[str, Any], most: int) -> None:
    while len(items) > most:
        items.popitem(last=False)
