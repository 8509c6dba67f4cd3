"""Real servers on loopback that tests talk to."""

from __future__ import annotations

import re
import socket
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(slots=True)
class RangeServer:
    """A running HTTP server; `requests` are (method, path, Range header) in order of arrival."""

    url: str
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)

    def num(self, method: str) -> int:
        """Return the number of requests of one method."""
        return sum(item[0] == method for item in self.requests)


class _Handler(BaseHTTPRequestHandler):
    """Files of a folder, with byte ranges, ETag and Last-Modified as object stores send them."""

    protocol_version = "HTTP/1.1"
    folder: Path
    log: list[tuple[str, str, str | None]]

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def log_message(self, *args: object) -> None:
        """Stay silent."""

    def _answer(self, *, with_body: bool) -> None:
        name = unquote(urlsplit(self.path).path).lstrip("/")
        wanted = self.headers.get("Range")
        self.log.append((self.command, f"/{name}", wanted))
        path = self.folder / name
        if ".." in name.split("/") or not path.is_file():
            self.send_error(404)
            return
        status = path.stat()
        size = status.st_size
        start, stop = 0, size
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", wanted or "")
        if found:
            first, last = found.groups()
            start = int(first) if first else max(size - int(last), 0)
            stop = min(int(last) + 1, size) if first and last else size
            if start >= size:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{size}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{size}")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(stop - start))
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("ETag", f'"{status.st_mtime_ns:x}-{status.st_size:x}"')
        self.send_header("Last-Modified", formatdate(status.st_mtime, usegmt=True))
        self.end_headers()
        if with_body:
            with path.open("rb") as file:
                file.seek(start)
                self.wfile.write(file.read(stop - start))


def free_ports(number: int) -> list[int]:
    """Return ports of this machine that nobody listens on, all held at once so that they differ."""
    with ExitStack() as stack:
        found = []
        for _ in range(number):
            holder = stack.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))
            found.append(int(holder.getsockname()[1]))
        return found


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    return free_ports(1)[0]


@contextmanager
def serve_ranges(folder: Path, host: str = "127.0.0.1") -> Iterator[RangeServer]:
    """Serve the files below `folder` over HTTP on a free port until the block ends."""
    log: list[tuple[str, str, str | None]] = []
    handler = type("Handler", (_Handler,), {"folder": folder, "log": log})
    with ThreadingHTTPServer((host, 0), handler) as server:
        server.daemon_threads = True
        server.socket.listen(128)  # five waiting connections are fewer than one batch of ranges
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield RangeServer(f"http://{host}:{server.server_port}", log)
        finally:
            server.shutdown()
            thread.join()
