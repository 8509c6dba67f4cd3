"""A TCP proxy in front of a real server that does what networks and servers do on bad days.

It knows just enough HTTP to tell where a request begins, so faults are per
request: a script says what happens to each, by its number, or a function
decides. What is not touched passes byte for byte.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Kind = Literal["pass", "refuse", "stall", "tear", "truncate", "lose", "status", "delay"]

_CHUNK = 64 * 1024
_IDLE_SECONDS = 30.0
_LENGTH = re.compile(rb"^content-length:\s*(\d+)", re.IGNORECASE | re.MULTILINE)
_CHUNKED = re.compile(rb"^transfer-encoding:\s*chunked", re.IGNORECASE | re.MULTILINE)
_EXPECT = re.compile(rb"^expect:\s*100-continue\r\n", re.IGNORECASE | re.MULTILINE)
_REASONS = {500: "InternalError", 503: "SlowDown"}


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request.

    ``refuse`` resets the connection at once; ``stall`` takes `after` bytes of
    the body and is silent for `seconds`; ``tear`` passes on `after` bytes of
    the body and resets both sides; ``truncate`` sends `after` bytes of the
    answer and closes; ``lose`` lets the server do it and loses the answer;
    ``status`` answers `code` itself; ``delay`` waits `seconds` first.
    """

    kind: Kind = "pass"
    after: int = 0
    seconds: float = 0.0
    code: int = 503


PASS = Fault()


@dataclass(frozen=True, slots=True)
class Seen:
    """The head of one request."""

    number: int
    method: str
    target: str
    length: int

    @property
    def operation(self) -> str:
        """The S3 operation, in the words of the API."""
        query = self.target.partition("?")[2]
        names = set(re.findall(r"(?:^|&)([\w-]+)", query))
        if self.method == "POST":
            return "CreateMultipartUpload" if "uploads" in names else "CompleteMultipartUpload"
        if "uploads" in names:
            return "ListMultipartUploads"
        if "uploadId" in names:
            return {"PUT": "UploadPart", "GET": "ListParts", "DELETE": "AbortMultipartUpload"}[
                self.method
            ]
        if "list-type" in names:
            return "ListObjects"
        return {"PUT": "Put", "GET": "Get", "HEAD": "Head", "DELETE": "Delete"}.get(
            self.method, self.method
        ) + "Object"


@dataclass(slots=True)
class Proxy:
    """A running proxy; `seen` has the requests in order, `done` the faults that happened."""

    url: str
    decide: Callable[[Seen], Fault]
    seen: list[Seen] = field(default_factory=list)
    done: list[tuple[Seen, Fault]] = field(default_factory=list)

    def operations(self) -> list[str]:
        """Return the S3 operations in the order of their arrival."""
        return [item.operation for item in self.seen]


class _BrokenError(Exception):
    """The connection is of no more use."""


class _Peer:
    """One side of a connection: read to a mark, read exactly, send."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._kept = b""
        connection.settimeout(_IDLE_SECONDS)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def head(self) -> bytes:
        """Return everything up to the empty line; nothing if the peer has gone."""
        while b"\r\n\r\n" not in self._kept:
            more = self._receive()
            if not more:
                return b""
            self._kept += more
        head, _, self._kept = self._kept.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n"

    def body(self, length: int | None) -> Iterator[bytes]:
        """Yield `length` bytes in pieces, or all until the peer closes."""
        while length is None or length > 0:
            piece, self._kept = self._kept or self._receive(), b""
            if not piece:
                if length is not None:
                    raise _BrokenError
                return
            if length is not None:
                piece, self._kept = piece[:length], piece[length:]
                length -= len(piece)
            yield piece

    def chunks(self) -> Iterator[bytes]:
        """Yield a chunked body as it is on the wire, to its last chunk."""
        while True:
            while b"\r\n" not in self._kept:
                self._more()
            line, _, self._kept = self._kept.partition(b"\r\n")
            size = int(line.partition(b";")[0], 16)
            yield line + b"\r\n" + b"".join(self.body(size + 2))
            if size == 0:
                return

    def send(self, data: bytes) -> None:
        """Send all of `data`."""
        self.connection.sendall(data)

    def reset(self) -> None:
        """Close so that the peer sees a reset and not an end."""
        with contextlib.suppress(OSError):
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.connection.close()

    def close(self) -> None:
        """Close; a thread that waits for it wakes up."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def _more(self) -> None:
        more = self._receive()
        if not more:
            raise _BrokenError
        self._kept += more

    def _receive(self) -> bytes:
        return self.connection.recv(_CHUNK)


class _Relay:
    """Requests of one client connection, one after the other."""

    def __init__(self, proxy: Proxy, client: socket.socket, upstream: int) -> None:
        self._proxy = proxy
        self._client = _Peer(client)
        self._upstream = upstream
        self._server: _Peer | None = None
        self.stop = threading.Event()

    def run(self) -> None:
        """Relay until one side is gone."""
        try:
            while self._one():
                pass
        except (_BrokenError, OSError, ValueError):
            pass  # what a broken network looks like is what this is for
        finally:
            self.close()

    def close(self) -> None:
        """Close both sides."""
        self.stop.set()
        for peer in (self._client, self._server):
            if peer is not None:
                peer.close()

    def _one(self) -> bool:
        head = self._client.head()
        if not head:
            return False
        method, target, _ = head.split(b" ", 2)
        found = _LENGTH.search(head)
        length = int(found[1]) if found else 0
        number = len(self._proxy.seen)
        seen = Seen(number, method.decode(), target.decode(), length)
        self._proxy.seen.append(seen)
        fault = self._proxy.decide(seen)
        if fault.kind != "pass":
            self._proxy.done.append((seen, fault))
        if fault.kind == "refuse":
            self._client.reset()
            return False
        if fault.kind == "delay":
            self.stop.wait(fault.seconds)
        if _EXPECT.search(head):  # not a signed header
            self._client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            head = _EXPECT.sub(b"", head)
        if fault.kind == "status":
            return self._answer(seen, fault.code)
        return self._serve(seen, head, fault)

    def _serve(self, seen: Seen, head: bytes, fault: Fault) -> bool:
        if self._server is None:
            self._server = _Peer(socket.create_connection(("127.0.0.1", self._upstream), 10))
        self._server.send(head)
        if not self._upload(seen, fault):
            return False
        return self._download(seen, fault)

    def _upload(self, seen: Seen, fault: Fault) -> bool:
        """Pass the body on; False if the connection ended in it."""
        assert self._server is not None
        left = fault.after
        for piece in self._client.body(seen.length):
            if fault.kind in {"stall", "tear"} and len(piece) >= left:
                self._server.send(piece[:left])
                break
            left -= len(piece)
            self._server.send(piece)
        if fault.kind == "stall":
            self.stop.wait(fault.seconds)
        if fault.kind in {"stall", "tear"}:
            self._server.reset()
            self._client.reset()
            return False
        return True

    def _download(self, seen: Seen, fault: Fault) -> bool:
        """Pass the answer on; False if the connection ended in it."""
        assert self._server is not None
        head = self._server.head()
        if not head:
            raise _BrokenError
        found = _LENGTH.search(head)
        status = int(head.split(b" ", 2)[1])
        length: int | None = int(found[1]) if found else None
        if seen.method == "HEAD" or status in {204, 304}:
            length = 0
        body = self._server.chunks() if _CHUNKED.search(head) else self._server.body(length)
        if fault.kind == "lose":
            for _ in body:  # the server has done its work when all of it is here
                pass
            self._client.reset()
            return False
        if fault.kind == "truncate":
            self._client.send((head + b"".join(body))[: len(head) + fault.after])
            self._client.close()
            return False
        self._client.send(head)
        for piece in body:
            self._client.send(piece)
        return b"connection: close" not in head.lower()

    def _answer(self, seen: Seen, code: int) -> bool:
        for _ in self._client.body(seen.length):
            pass
        name = _REASONS[code]
        body = b"" if seen.method == "HEAD" else _xml(name)
        self._client.send(
            f"HTTP/1.1 {code} {name}\r\nContent-Type: application/xml\r\n"
            f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body
        )
        return True


def _xml(name: str) -> bytes:
    return f"<Error><Code>{name}</Code><Message>by the proxy</Message></Error>".encode()


def script(faults: dict[int, Fault]) -> Callable[[Seen], Fault]:
    """Return what decides by the number of a request."""
    return lambda seen: faults.get(seen.number, PASS)


@contextmanager
def proxy_to(port: int, decide: Callable[[Seen], Fault] = lambda _: PASS) -> Iterator[Proxy]:
    """Run a proxy to `port` of the loopback interface until the block ends."""
    relays: list[_Relay] = []
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listener:
        listener.settimeout(0.2)
        proxy = Proxy(f"http://127.0.0.1:{listener.getsockname()[1]}", decide)
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    client, _ = listener.accept()
                except TimeoutError:
                    continue
                relay = _Relay(proxy, client, port)
                relays.append(relay)
                thread = threading.Thread(target=relay.run, daemon=True)
                threads.append(thread)
                thread.start()

        acceptor = threading.Thread(target=accept, daemon=True)
        acceptor.start()
        try:
            yield proxy
        finally:
            stop.set()
            acceptor.join()
            for relay in relays:
                relay.close()
            end = time.monotonic() + 5
            for thread in threads:
                thread.join(max(0.0, end - time.monotonic()))
