"""Bad tokens from one address: counted, and after some of them refused unread for a while."""

from __future__ import annotations

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from hashlib import blake2b
from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_ADDRESSES: Final = 10_000
_MOST_GOOD: Final = 10_000


@dataclass
class Attempts:
    """How often an address failed lately.

    Many users may share an address (a site behind one router), so a token that
    was good before is let through whatever others do; what is remembered of it
    is a digest. Memory is bounded: the addresses and tokens that were seen
    longest ago are forgotten.
    """

    most: int = 20
    seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    _failed: OrderedDict[str, tuple[float, int]] = field(default_factory=OrderedDict, repr=False)
    _good: OrderedDict[bytes, None] = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def wait(self, address: str, token: str) -> int:
        """Return the seconds that `address` has to wait before `token` is looked at, mostly 0."""
        with self._lock:
            begin, count = self._failed.get(address, (0.0, 0))
            left = begin + self.seconds - self.clock()
            if count < self.most or left <= 0 or _digest(token) in self._good:
                return 0
            return max(1, round(left))

    def failed(self, address: str) -> None:
        """Count a bad token."""
        with self._lock:
            now = self.clock()
            begin, count = self._failed.pop(address, (now, 0))
            if begin + self.seconds <= now:
                begin, count = now, 0
            self._failed[address] = (begin, count + 1)
            while len(self._failed) > _MOST_ADDRESSES:
                self._failed.popitem(last=False)

    def succeeded(self, token: str) -> None:
        """Remember a good token."""
        digest = _digest(token)
        with self._lock:
            self._good.pop(digest, None)
            self._good[digest] = None
            while len(self._good) > _MOST_GOOD:
                self._good.popitem(last=False)


def _digest(token: str) -> bytes:
    return blake2b(token.encode(errors="replace"), digest_size=16).digest()
