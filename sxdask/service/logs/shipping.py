"""Lines sent to a collector over HTTP, in the background, with bounded memory.

A collector that is slow or gone costs lines and never requests: the oldest are
dropped, counted, and the count is sent with the next batch that goes through.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import httpx

MAX_WAITING: Final = 8 * 1024 * 1024
"""Bytes of lines that wait; behind that the oldest are dropped."""

_BATCH: Final = 1_000
_BATCH_BYTES: Final = 1024 * 1024
_PAUSES: Final = (0.5, 30.0)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where lines go. A URL that ends in ``/_bulk`` speaks Elasticsearch's bulk format.

    `authorization` is the whole header, such as ``ApiKey ...``; it is shown
    nowhere.
    """

    url: str
    authorization: str = field(default="", repr=False)
    seconds: float = 2.0

    @property
    def is_bulk(self) -> bool:
        """Whether each line is preceded by what to do with it."""
        return self.url.partition("?")[0].endswith("/_bulk")


class Shipper(logging.Handler):
    """Sends the lines of all records.

    Parameters
    ----------
    destination
        Where to.
    format_line
        Makes the line of a record.
    most_bytes
        What may wait to be sent.

    Raises
    ------
    RequestError
        If the URL is not one of HTTP.
    """

    def __init__(
        self,
        destination: Destination,
        format_line: Callable[[logging.LogRecord], str],
        most_bytes: int = MAX_WAITING,
    ) -> None:
        super().__init__()
        if not destination.url.startswith(("http://", "https://")):
            raise RequestError(
                "logs are sent to an http or https URL",
                hint="such as http://host:9200/sxdask/_bulk",
            )
        self.dropped = 0
        self.sent = 0
        self._to = destination
        self._line = format_line
        self._most = most_bytes
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._changed = threading.Condition()
        self._ending = False
        self._complained = 0.0
        self._told = 0
        self._thread = threading.Thread(target=self._run, name="sxdask-logs", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Let the line of `record` wait to be sent."""
        try:
            line = self._line(record).encode()
        except Exception:  # noqa: BLE001  a record that cannot be formatted
            self.handleError(record)
            return
        with self._changed:
            self._waiting.append(line)
            self._size += len(line)
            while self._size > self._most:
                self._size -= len(self._waiting.popleft())
                self.dropped += 1
            if self._size >= _BATCH_BYTES or len(self._waiting) >= _BATCH:
                self._changed.notify()

    def end(self, seconds: float = 5.0) -> None:
        """Send what waits, for at most `seconds`, and end the thread."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        self._thread.join(seconds)

    def _run(self) -> None:
        import httpx

        pause = _PAUSES[0]
        headers = {"content-type": "application/x-ndjson"}
        if self._to.authorization:
            headers["authorization"] = self._to.authorization
        with httpx.Client(headers=headers, timeout=10, trust_env=False) as client:
            while True:
                batch = self._next()
                if not batch:
                    if self._ending:
                        return
                    continue
                if self._send(client, batch):
                    pause = _PAUSES[0]
                    continue
                self._put_back(batch)
                if self._ending:
                    return
                with self._changed:
                    self._changed.wait_for(lambda: self._ending, pause)
                pause = min(2 * pause, _PAUSES[1])

    def _next(self) -> list[bytes]:
        """Wait for lines; return some of them."""
        with self._changed:
            if not self._ending and len(self._waiting) < _BATCH:
                self._changed.wait(self._to.seconds)
            batch, size = list[bytes](), 0
            while self._waiting and len(batch) < _BATCH and size < _BATCH_BYTES:
                batch.append(self._waiting.popleft())
                size += len(batch[-1])
            self._size -= size
            return batch

    def _put_back(self, batch: list[bytes]) -> None:
        with self._changed:
            self._waiting.extendleft(reversed(batch))
            self._size += sum(map(len, batch))
            while self._size > self._most:
                self._size -= len(self._waiting.popleft())
                self.dropped += 1

    def _send(self, client: httpx.Client, batch: list[bytes]) -> bool:
        import httpx

        lines, dropped = list(batch), self.dropped
        if dropped > self._told:
            lines.append(json.dumps({"level": "warning", "dropped_lines": dropped}).encode())
        action = b'{"create":{}}\n' if self._to.is_bulk else b""
        body = b"".join(action + line + b"\n" for line in lines)
        try:
            answer = client.post(self._to.url, content=body)
        except httpx.HTTPError as error:
            self._complain(type(error).__name__)
            return False
        if answer.status_code == 429 or answer.status_code >= 500:
            self._complain(f"status {answer.status_code}")
            return False
        if answer.status_code >= 400:  # sending the same again would not help
            self._complain(f"status {answer.status_code}; {len(batch)} lines are lost")
            with self._changed:
                self.dropped += len(batch)
            return True
        self._told = dropped
        refused = _refused(answer) if self._to.is_bulk else 0
        with self._changed:
            self.sent += len(batch) - refused
            self.dropped += refused
        return True

    def _complain(self, why: str) -> None:
        """Tell the operator now and then; a record would come back here."""
        now = time.monotonic()
        if not self._complained or now - self._complained > 60:
            self._complained = now
            sys.stderr.write(f"logs cannot be sent to the collector: {why}\n")


def _refused(answer: httpx.Response) -> int:
    """Return how many lines Elasticsearch did not take."""
    try:
        found: Mapping[str, Any] = answer.json()
    except ValueError:
        return 0
    if not isinstance(found, dict) or not found.get("errors"):
        return 0
    items = found.get("items")
    if not isinstance(items, list):
        return 0
    return sum(
        1
        for item in items
        if isinstance(item, dict) and any("error" in value for value in item.values())
    )
