"""The whole service under attack: all is refused and logged, and no output has a secret."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from sxdask.service.objects.seaweed import SeaweedServer
from tests.hostile import PASSWORD, REQUESTS
from tests.rest_parts import body
from tests.servers import serve_ranges
from tests.services.official_client import ServedX, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BASE = "/servicex/transformation"
_HARMLESS = {400, 401, 403, 404, 405, 413}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory, nanoaod: Path) -> Iterator[ServedX]:
    folder = tmp_path_factory.mktemp("service")
    root = str(nanoaod.parent)
    with served(folder / "data", "--port", "0", "--workers", "1", "--auth", "--root", root) as run:
        yield run


def user(service: ServedX, name: str) -> tuple[str, str]:
    """Return the refresh token and an access token of a new user."""
    made = [command(service, "create", name), command(service, "token", name)]
    refresh = made[1].strip()
    answer = httpx.post(
        f"{service.url}/token/refresh",
        headers={"Authorization": f"Bearer {refresh}"},
        timeout=60,
    )
    return refresh, str(answer.json()["access_token"])


def command(service: ServedX, *words: str) -> str:
    whole = [sys.executable, "-m", "sxdask.cli", "user", *words, "--data-dir", str(service.data)]
    return subprocess.run(whole, capture_output=True, text=True, check=True, timeout=120).stdout


def finished(client: httpx.Client, request_id: str) -> dict[str, Any]:
    end = time.monotonic() + 120
    while True:
        found: dict[str, Any] = client.get(f"{BASE}/{request_id}").json()
        if found["status"] in {"Complete", "Fatal"}:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.2)


def test_hostile_requests_change_nothing_and_no_output_has_a_secret(service, nanoaod, tmp_path):
    tokens = [*user(service, "alice"), *user(service, "mallory")]
    alice, mallory = (
        httpx.Client(
            base_url=service.url,
            headers={"Authorization": f"Bearer {tokens[number]}"},
            timeout=60,
        )
        for number in (1, 3)
    )
    with alice, mallory, serve_ranges(tmp_path) as private:
        good = body(file_list=[str(nanoaod)])
        other = alice.post(BASE, json=good).json()["request_id"]
        before = finished(alice, other)
        assert (before["status"], before["files-completed"]) == ("Complete", 1)
        for request in REQUESTS:
            hostile = request.filled(other=other, private=private.url)
            if "Content-Length" in hostile.headers:  # a library does not send a wrong one
                continue
            answer = sent(mallory, hostile)
            if answer is None:  # the server closed the connection at once
                continue
            assert answer.status_code in _HARMLESS, (hostile.name, hostile.path, answer.text)
            assert "x-evil" not in answer.headers
        assert private.requests == []
        assert mallory.get(BASE).json() == {"requests": []}
        after = alice.get(f"{BASE}/{other}").json()
        assert after == before
        assert alice.get("/readyz").status_code == 200
        for text in raw_requests():
            raw(service, text)
        assert alice.get("/readyz").status_code == 200
        assert service.process.poll() is None
    require_no_secrets(service, [*tokens, PASSWORD, before["minio-secret-key"]])


def sent(client: httpx.Client, hostile: Any) -> httpx.Response | None:
    headers = hostile.headers
    options = {"json": hostile.data} if hostile.content is None else {"content": hostile.content}
    if hostile.method == "GET":
        options = {}
    try:
        return client.request(hostile.method, hostile.path, headers=headers, **options)
    except (httpx.RemoteProtocolError, httpx.WriteError, httpx.ReadError, httpx.LocalProtocolError):
        return None


def raw_requests() -> list[bytes]:
    """Return what no library of HTTP would send."""
    head = b"POST /servicex/transformation HTTP/1.1\r\nHost: localhost\r\n"
    return [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"/a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: " + b"b" * 200_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 10_000 + b"\r\n",
        head + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
        head + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        head + b"Transfer-Encoding: chunked\r\n\r\n" + b"10000\r\n" + b"x" * 0x10000 + b"\r\n" * 2,
        head + b"Content-Length: 99999999999999999999\r\n\r\n",
        head + b"X-Request-Id: a\r\n b\r\n\r\n",
        b"GET /servicex HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET http://169.254.169.254/ HTTP/1.1\r\nHost: 169.254.169.254\r\n\r\n",
        b"CONNECT 127.0.0.1:22 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /servicex\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
    ]


def raw(service: ServedX, text: bytes) -> None:
    """Send bytes; the reply is an error, nothing, or of a route that is open to all."""
    host, _, port = service.url.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        try:
            connection.sendall(text)
            connection.shutdown(socket.SHUT_WR)
            reply = connection.recv(65_536)
        except (ConnectionError, TimeoutError):
            return
    assert not reply or reply.startswith(b"HTTP/1.1 4") or b'"capabilities"' in reply, reply


def require_no_secrets(service: ServedX, known: list[str]) -> None:
    """Search all that the service wrote for people: its output, and the logs that it keeps."""
    secrets = {
        *known,
        (service.data / "token-secret").read_text().strip(),
        SeaweedServer(service.data / "objects").keys.secret_key,
    }
    assert all(len(secret) > 8 for secret in secrets)
    written = service.errors.read_text() + service.welcome
    kept = [file.read_text() for file in (service.data / "logs").rglob("*") if file.is_file()]
    assert kept
    for text in (written, *kept):
        assert not [secret for secret in secrets if secret in text]
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    refused = [item for item in lines if item.get("status", 0) >= 400]
    assert len(refused) >= 100
    assert "Traceback" not in written
    assert "defect" not in written


def test_the_official_client_brings_its_token_in_three_ways(service, official_client, tmp_path):
    refresh, access = user(service, "carol")
    file = tmp_path / "token"
    file.write_text(f"{access}\n")
    code = """
import os
from servicex.servicex_adapter import ServiceXAdapter

async def ask(token, file):
    os.environ.pop("BEARER_TOKEN_FILE", None)
    if file:
        os.environ["BEARER_TOKEN_FILE"] = file
    try:
        return len(await ServiceXAdapter(VALUES["url"], token).get_transforms())
    except Exception as error:
        return type(error).__name__

async def main():
    ways = [(VALUES["refresh"], None), (None, VALUES["file"]), (None, None), ("no token", None)]
    tell([await ask(*way) for way in ways])

asyncio.run(main())
"""
    url = service.url
    assert official_client.run(code, url=url, refresh=refresh, file=file) == [
        0,
        0,
        "AuthorizationError",
        "AuthorizationError",
    ]
