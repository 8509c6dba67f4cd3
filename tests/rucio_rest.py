"""An HTTP server that speaks the part of Rucio's REST interface that finders use, and its faults.

Replies have the form that a Rucio 41.5.1 server was recorded to give; the tests
of `tests/services` ask a real one.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOKEN = "root-ada-unknown-4711"  # noqa: S105
PASSWORD = "the-password-of-ada"  # noqa: S105


@dataclass
class RucioServer:
    """What the server knows, and what goes wrong with its next answers.

    `children` are the members of datasets and containers, `kinds` says what
    each name is, `places` are the replicas of files: site, kind of storage, URL.
    A fault is a status, ``hang``, ``page`` (of a proxy) or ``cut``.
    """

    url: str = ""
    scope: str = "user.ada"
    kinds: dict[str, str] = field(default_factory=dict)
    children: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)
    faults: list[Any] = field(default_factory=list)
    asked: list[tuple[str, Any]] = field(default_factory=list)

    def file(self, name: str, *places: str, tape: bool = False) -> str:
        """Add a file with replicas at ``SITE=url``; return its name."""
        self.kinds[name] = "FILE"
        kind = "TAPE" if tape else "DISK"
        split = [text.partition("=") for text in places]
        self.places[name] = [(site, kind, url) for site, _, url in split]
        return name

    def group(self, name: str, members: list[str], kind: str = "DATASET") -> str:
        """Add a dataset or a container; return its name."""
        self.kinds[name] = kind
        self.children[name] = members
        return name

    def config(self, folder: Path) -> Path:
        """Write a ``rucio.cfg`` for this server and return it."""
        path = folder / "rucio.cfg"
        path.write_text(
            f"[client]\nrucio_host = {self.url}\nauth_host = {self.url}\n"
            f"auth_type = userpass\nusername = ada\npassword = {PASSWORD}\naccount = root\n"
            f"auth_token_file_path = {folder}/rucio-token\n"
        )
        return path

    def files(self, name: str) -> list[str]:
        """Return the files below a name."""
        if self.kinds.get(name) == "FILE":
            return [name]
        return [file for child in self.children.get(name, ()) for file in self.files(child)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    rucio: RucioServer

    def do_GET(self) -> None:
        parts = [unquote_plus(part) for part in urlsplit(self.path).path.split("/")[1:]]
        if parts == ["auth", "userpass"]:
            good = self.headers.get("X-Rucio-Password") == PASSWORD
            headers = {"X-Rucio-Auth-Token": TOKEN} if good else _fault("CannotAuthenticate")
            self._send(200 if good else 401, "", headers)
        elif self._may_answer(None):
            known = {"ping": {"version": "41.5.1"}, "accounts": {"account": "root"}}
            if parts[0] in known:
                self._send(200, json.dumps(known[parts[0]]), {"Content-Type": "application/json"})
            else:
                self._did(parts)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self._may_answer(body):
            return
        names = [did["name"] for did in body["dids"]]
        lines = self._replicas if self.path == "/replicas/list" else self._content
        self._stream([line for name in names for line in lines(name, body)])

    def log_message(self, *args: object) -> None:
        """Stay silent."""

    def _may_answer(self, body: Any) -> bool:
        self.rucio.asked.append((self.path, body))
        fault = self.rucio.faults.pop(0) if self.rucio.faults else None
        if self.headers.get("X-Rucio-Auth-Token") != TOKEN:
            self._send(401, "", _fault("CannotAuthenticate"))
        elif isinstance(fault, int):
            self._send(fault, "", {})
        elif isinstance(fault, tuple):
            self._send(fault[0], "", _fault(fault[1]))
        elif fault == "hang":
            time.sleep(5)
        elif fault == "page":
            self._send(200, "<html>please log in</html>", {"Content-Type": "text/html"})
        elif fault == "cut":
            self.send_response(200)
            self.send_header("Content-Type", "application/x-json-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            self.close_connection = True
        else:
            return True
        return False

    def _did(self, parts: list[str]) -> None:
        rucio, (scope, name) = self.rucio, parts[1:3]
        kind = rucio.kinds.get(name) if scope == rucio.scope else None
        if kind is None:
            self._send(404, "", _fault("DataIdentifierNotFound"))
        elif parts[3:] == ["dids"]:
            self._stream(
                [
                    {"scope": scope, "name": child, "type": rucio.kinds[child], "bytes": None}
                    for child in rucio.children[name]
                ]
            )
        else:
            facts = {"scope": scope, "name": name, "type": kind, "open": True, "length": None}
            self._send(200, json.dumps(facts), {"Content-Type": "application/json"})

    def _content(self, name: str, _: Any) -> list[dict[str, Any]]:
        return [
            {"scope": self.rucio.scope, "name": file, "bytes": 1000, "adler32": "0cc737eb"}
            | {"guid": None, "events": 100, "parent_name": name}
            for file in self.rucio.files(name)
        ]

    def _replicas(self, name: str, body: Any) -> list[dict[str, Any]]:
        """Return a line for each file that has replicas, as for collections."""
        found = []
        for file in self.rucio.files(name):
            pfns = {
                url: {"rse_id": site.lower(), "rse": site, "type": kind, "volatile": False}
                | {"domain": "wan", "priority": rank, "client_extract": False}
                for rank, (site, kind, url) in enumerate(self.rucio.places[file], 1)
                if url.partition("://")[0] in body["schemes"]
            }
            states = {facts["rse"]: "AVAILABLE" for facts in pfns.values()}
            if pfns:
                found.append(
                    {"scope": self.rucio.scope, "name": file, "pfns": pfns, "states": states}
                )
        return found

    def _stream(self, lines: list[dict[str, Any]]) -> None:
        text = "".join(json.dumps(line) + "\n" for line in lines)
        self._send(200, text, {"Content-Type": "application/x-json-stream"})

    def _send(self, status: int, text: str, headers: dict[str, str]) -> None:
        body = text.encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _fault(kind: str) -> dict[str, str]:
    return {
        "Content-Type": "application/octet-stream",
        "ExceptionClass": kind,
        "ExceptionMessage": "the server's own words",
    }


@contextmanager
def serve_rucio() -> Iterator[RucioServer]:
    """Run the server on a free port until the block ends."""
    rucio = RucioServer()
    handler = type("Handler", (_Handler,), {"rucio": rucio})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        rucio.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield rucio
        finally:
            server.shutdown()
            thread.join()
