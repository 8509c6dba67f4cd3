"""The HTTP server of the tests answers byte ranges as a real one does."""

from __future__ import annotations

from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest


@pytest.fixture
def server(tmp_path, range_http_server):
    (tmp_path / "a.bin").write_bytes(bytes(range(100)))
    return range_http_server(tmp_path)


@pytest.mark.parametrize(
    ("wanted", "expected", "answer"),
    [
        ("bytes=0-0", range(1), "bytes 0-0/100"),
        ("bytes=10-19", range(10, 20), "bytes 10-19/100"),
        ("bytes=90-", range(90, 100), "bytes 90-99/100"),
        ("bytes=-5", range(95, 100), "bytes 95-99/100"),
        ("bytes=90-500", range(90, 100), "bytes 90-99/100"),
    ],
)
def test_a_range_is_cut_out(server, wanted, expected, answer) -> None:
    request = Request(f"{server.url}/a.bin", headers={"Range": wanted})
    with urlopen(request) as response:
        assert response.status == 206
        assert response.read() == bytes(expected)
        assert response.headers["Content-Range"] == answer
    assert server.requests == [("GET", "/a.bin", wanted)]


def test_a_whole_file_and_its_head_have_the_same_marks(server) -> None:
    with urlopen(f"{server.url}/a.bin") as response:
        assert response.read() == bytes(range(100))
        marks = (response.headers["ETag"], response.headers["Last-Modified"])
    with urlopen(Request(f"{server.url}/a.bin", method="HEAD")) as response:
        assert response.read() == b""
        assert response.headers["Content-Length"] == "100"
        assert (response.headers["ETag"], response.headers["Last-Modified"]) == marks
    assert (server.num("GET"), server.num("HEAD")) == (1, 1)


def test_a_changed_file_has_another_mark(server, tmp_path) -> None:
    with urlopen(f"{server.url}/a.bin") as response:
        before = response.headers["ETag"]
    (tmp_path / "a.bin").write_bytes(b"changed")
    with urlopen(f"{server.url}/a.bin") as response:
        assert response.headers["ETag"] != before


@pytest.mark.parametrize(
    ("path", "wanted", "status"),
    [("none.bin", None, 404), ("../conftest.py", None, 404), ("a.bin", "bytes=100-", 416)],
)
def test_what_is_not_there_is_refused(server, path, wanted, status) -> None:
    headers = {"Range": wanted} if wanted else {}
    with pytest.raises(HTTPError) as caught:
        urlopen(Request(f"{server.url}/{path}", headers=headers))
    assert caught.value.code == status
    caught.value.close()
