"""Where users may have files read: public hosts, and what the operator lists."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pytest

from sxdask.core.errors import AccessDeniedError, ReadFailedError, RequestError
from sxdask.service.auth import places as places_module
from sxdask.service.auth.guarded import http_options
from sxdask.service.auth.places import MAX_HOSTS, Places, is_public, plain


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("188.184.21.108", True),
        ("2001:1458:d00:35::100:1d", True),
        ("127.0.0.1", False),
        ("127.8.9.1", False),
        ("0.0.0.0", False),  # noqa: S104
        ("10.1.2.3", False),
        ("172.20.0.1", False),
        ("192.168.1.1", False),
        ("100.100.100.200", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::1", False),
        ("::", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:8.8.8.8", True),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::1", False),
        ("2001:0:4136:e378:8000:63bf:3fff:fdd2", False),
        ("ff02::1", False),
    ],
)
def test_an_address_is_public_or_not(address, expected):
    assert is_public(address) is expected


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
        "10.0.0.8:1094",
        "LOCALHOST.",
    ],
)
def test_names_and_numbers_of_this_machine_and_its_network_are_refused(host):
    for scheme in ("http", "https", "root"):
        with pytest.raises(AccessDeniedError, match="no public address"):
            Places().placed([f"{scheme}://{host}/x/f.root"])
        with pytest.raises(AccessDeniedError, match="no public address"):
            Places().require_open(f"{scheme}://{host}/x/f.root")


@pytest.mark.parametrize(
    "name",
    [
        "http://user:pass@8.8.8.8/f.root",
        "http://8.8.8.8\\@127.0.0.1/f.root",
        "http://8.8.8.8#@127.0.0.1/f.root",
        "http://8.8.8.8/a/../../b.root",
        "http://8.8.8.8/a/%2e%2e/b.root",
        "http://8.8.8.8/a/%252e%252e/b.root",
        "http:///f.root",
        "http://8.8.8.8:99999/f.root",
        "http://[::1/f.root",
        "http://exa mple.org/f.root",
        "http://ⓔxample.org/f.root",
        "http://8.8.8.8/a.root\r\nX-Header: 1",
        "http://8.8.8.8/\x00.root",
        "http://8.8.8.8/\u202etoor.f",
        "http://8.8.8.8/\ud800.root",
        "simplecache::file:///etc/passwd",
        "http://8.8.8.8/x.root::file:///etc/passwd",
        "file:///etc/passwd",
        "FILE:///etc/passwd",
        "file:/etc/passwd",
        "file://localhost/etc/passwd",
        "/etc/passwd",
        "~/x.root",
        "../../etc/passwd",
        "x.root",
        "",
        " ",
        "s3://bucket/f.root",
        "ftp://8.8.8.8/f.root",
        "gopher://127.0.0.1:6379/_FLUSHALL",
        "memory://f.root",
        "data:text/plain,x",
        "dict://127.0.0.1:11211/",
        "javascript:alert(1)",
        "http://" + "a" * 9_000,
    ],
)
def test_names_that_mean_something_else_are_refused(name):
    with pytest.raises((RequestError, AccessDeniedError)) as caught:
        Places().placed([name])
    assert "pass@" not in str(caught.value)
    assert all(sign.isprintable() or sign == "\n" for sign in str(caught.value))


def test_no_such_name_is_read_below_a_root_either(tmp_path):
    places = Places(roots=(str(tmp_path),))
    for name in ("file:/etc/passwd", "../../etc/passwd", "~/x", "x.root", "file:x.root", ""):
        with pytest.raises((RequestError, AccessDeniedError)):
            places.placed([name])


def test_public_hosts_are_read():
    names = ["http://8.8.8.8/f.root", "root://188.184.21.108:1094//eos/f.root?authz=x:y"]
    assert Places().placed(names) == names


def test_a_host_that_has_no_name_yet_is_for_the_worker_to_find():
    name = "http://no-such-host.invalid/f.root"
    assert Places().placed([name]) == [name]
    with pytest.raises(ReadFailedError, match="no address"):
        Places().require_open(name)


def test_the_operator_allows_hosts_by_name_pattern_and_port():
    places = Places(hosts=("localhost:8000", "*.local", "10.0.0.8", "[::1]"))
    good = ["http://localhost:8000/f", "http://a.local/f", "http://10.0.0.8:9/f", "http://[::1]/f"]
    assert places.placed(good) == good
    for name in ("http://localhost:8001/f", "http://10.0.0.9/f", "http://127.0.0.1:8000/f"):
        with pytest.raises(AccessDeniedError):
            places.placed([name])


def test_folders_and_prefixes_are_read_below_the_operators_roots(tmp_path):
    inside, outside = tmp_path / "open", tmp_path / "closed"
    for folder in (inside, outside):
        folder.mkdir()
        (folder / "f.root").touch()
    (inside / "link.root").symlink_to(outside / "f.root")
    places = Places(roots=(str(inside), "s3://bucket/open/"))
    assert places.placed([f"{inside}/f.root", f"file://{inside}/f.root"])
    assert places.placed(["s3://bucket/open/f.root"])
    places.require_open(f"{inside}/f.root")
    for name in (
        f"{outside}/f.root",
        f"{inside}/../closed/f.root",
        f"file://{inside}/%2e%2e/closed/f.root",
        f"{inside}/link.root",
        "s3://bucket/opened/f.root",
        "s3://bucket/open/../f.root",
    ):
        with pytest.raises(AccessDeniedError):
            places.placed([name])
        with pytest.raises(AccessDeniedError):
            places.require_open(name)


def test_files_of_one_request_are_on_a_bounded_number_of_hosts():
    names = [f"http://h{n}.invalid/f.root" for n in range(MAX_HOSTS + 1)]
    with pytest.raises(RequestError, match="hosts"):
        Places().placed(names)


def test_a_name_server_that_hangs_holds_no_request(monkeypatch):
    go = threading.Event()
    monkeypatch.setattr(places_module, "addresses_of", lambda _: [str(go.wait(10))])
    monkeypatch.setattr(places_module, "RESOLVE_SECONDS", 0.1)
    begin = time.monotonic()
    try:
        names = [f"http://h{n}.example/f.root" for n in range(100)]
        assert Places().placed(names) == names
        assert time.monotonic() - begin < 5
    finally:
        go.set()


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[31m", "\u200bx", "\u2066x", "\ud83d"])
def test_what_cannot_be_seen_is_refused(text):
    with pytest.raises(RequestError, match=r"U\+"):
        plain(text, "the title")


class _Server(BaseHTTPRequestHandler):
    """Sends requests for /away to another server, whose address is a class attribute."""

    elsewhere = ""

    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", self.elsewhere)
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Server)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read(url: str, *hosts: str) -> bytes:
    storage = fsspec.filesystem("http", skip_instance_cache=True, **http_options(Places((), hosts)))
    return bytes(storage.cat_file(url))


def test_a_redirect_to_a_private_address_is_not_followed():
    with serving() as first, serving() as second:
        _Server.elsewhere = f"http://127.0.0.1:{second}/secret"
        url = f"http://localhost:{first}"
        listed = f"localhost:{first}"
        assert read(f"{url}/here", listed) == b"ok"
        with pytest.raises(Exception, match=r"127\.0\.0\.1"):
            read(f"{url}/away", listed)
        assert read(f"{url}/away", listed, f"127.0.0.1:{second}") == b"ok"


def test_a_name_is_looked_at_again_when_it_is_connected_to():
    with serving() as port, pytest.raises(Exception, match="Cannot connect"):
        read(f"http://localhost:{port}/here")
