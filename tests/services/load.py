"""Many users at once, each with a client that submits and polls as ServiceX's does."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import repeat
from threading import Event, Lock, Thread
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import psutil
from urllib3 import PoolManager
from urllib3.exceptions import HTTPError

if TYPE_CHECKING:
    from collections.abc import Sequence

FIRST = "0001-01-01T00:00:00+00:00"
FINAL = {"Complete", "Canceled", "Fatal", "Bad Dataset"}


@dataclass
class Delivery:
    """One request as its client sees it. Times are seconds since the load began."""

    user: str
    body: dict[str, Any]
    request_id: str = ""
    status: str = ""
    counted: int = 0
    submitted: float = 0.0
    ended: float = 0.0
    later_than: str = FIRST
    objects: list[str] = field(default_factory=list)
    sizes: dict[str, int] = field(default_factory=dict)

    @property
    def is_over(self) -> bool:
        """Whether a client stops asking: it has ended, and all that is counted was seen."""
        return self.status in FINAL and self.counted == len(set(self.objects))


@dataclass
class Load:
    """Clients against the service at `url`; `tokens` are of users.

    `seconds` has how long each call took, by kind.
    """

    url: str
    tokens: dict[str, str]
    poll_seconds: float = 5.0
    give_up_seconds: float = 900.0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)
    _lock: Lock = field(default_factory=Lock)

    def run(self, clients: Sequence[Sequence[Delivery]]) -> None:
        """Let each client deliver what is its own, all in one span of `poll_seconds`.

        Users do not begin in the same millisecond, nor do their polls stay in step.
        """
        with ThreadPoolExecutor(len(clients)) as pool:
            later = [self.poll_seconds * place / len(clients) for place in range(len(clients))]
            for call in list(map(pool.submit, repeat(self.deliver), clients, later)):
                call.result()

    def deliver(self, own: Sequence[Delivery], later: float = 0.0) -> None:
        """Submit after `later` seconds all that a client wants, then poll each until it is over."""
        time.sleep(later)
        token = self.tokens[own[0].user]
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        # Not httpx: fifty of its clients would take as much of the machine as what they measure.
        with PoolManager(headers=headers, timeout=60, retries=False) as client:
            for item in own:
                made = self._call(client, "submit", "/servicex/transformation", item.body)
                item.request_id = made.get("request_id", "")
                item.submitted = time.monotonic() - self.began
            waiting = [item for item in own if item.request_id]
            end = time.monotonic() + self.give_up_seconds
            while waiting and time.monotonic() < end:
                next_round = time.monotonic() + self.poll_seconds
                for item in waiting:
                    self._poll(client, item)
                waiting = [item for item in waiting if not item.is_over]
                if waiting:
                    time.sleep(max(0.0, next_round - time.monotonic()))

    def _poll(self, client: PoolManager, item: Delivery) -> None:
        place = f"/servicex/transformation/{item.request_id}"
        now = self._call(client, "status", place)
        if not now:
            return
        item.status, item.counted = now["status"], now["files-completed"]
        if item.counted > len(set(item.objects)):
            later = f"{place}/results?later_than={quote(item.later_than, safe='')}"
            for row in self._call(client, "results", later).get("results", ()):
                item.later_than = max(item.later_than, f"{row['created_at']}+00:00")
                if row["transform_status"] == "success":
                    item.objects.append(row["s3-object-name"])
                    item.sizes[row["s3-object-name"]] = row["total-bytes"]
        if item.is_over:
            item.ended = time.monotonic() - self.began

    def _call(
        self, client: PoolManager, kind: str, place: str, body: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        begun = time.perf_counter()
        try:
            answer = client.request("POST" if body else "GET", f"{self.url}{place}", json=body)
        except HTTPError as error:
            self.failures.append(f"{kind}: {type(error).__name__}: {error}")
            return {}
        took = time.perf_counter() - begun
        with self._lock:
            self.seconds.setdefault(kind, []).append(took)
        if answer.status != 200:
            self.failures.append(f"{kind}: {answer.status} {answer.data[:200]!r}")
            return {}
        found: dict[str, Any] = answer.json()
        return found

    def percentile(self, kind: str, share: float) -> float:
        """Return the time in milliseconds that `share` of the calls of a kind took at most."""
        found = sorted(self.seconds[kind])
        return 1000 * found[min(len(found) - 1, int(share * len(found)))]


class Memory:
    """Samples the resident memory of a process, its children not counted, until the block ends."""

    def __init__(self, pid: int, every_seconds: float = 0.5) -> None:
        self._process = psutil.Process(pid)
        self._every = every_seconds
        self._over = Event()
        self._thread = Thread(target=self._sample, daemon=True)
        self.bytes: list[int] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.is_set():
            self.bytes.append(self._process.memory_info().rss)
            self._over.wait(self._every)

    @property
    def most(self) -> int:
        """The most there was, in bytes."""
        return max(self.bytes)


def told(load: Load, deliveries: Sequence[Delivery], memory: Memory) -> dict[str, Any]:
    """Return the figures of a load for people."""
    figures: dict[str, Any] = {
        kind: {
            "calls": len(load.seconds[kind]),
            **{f"p{share}": round(load.percentile(kind, share / 100), 1) for share in (50, 95, 99)},
        }
        for kind in sorted(load.seconds)
    }
    figures["status of requests"] = dict(Counter(item.status for item in deliveries))
    figures["seconds"] = round(max(item.ended for item in deliveries), 1)
    figures["memory_mb"] = [
        round(part / 1e6) for part in (memory.bytes[0], memory.most, memory.bytes[-1])
    ]
    return figures
