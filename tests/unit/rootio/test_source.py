"""Bytes of one file: the right version of it, all of them, or a clear error."""

from __future__ import annotations

import os
import pickle
import shutil
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import uproot

from sxdask.core.errors import (
    AccessDeniedError,
    FileMissingError,
    ReadFailedError,
    StaleIndexError,
    SxdaskError,
    TruncatedFileError,
)
from sxdask.rootio.model import ReadOptions
from sxdask.rootio.read import read_columns
from sxdask.rootio.source import HEADER_BYTES, header_uuid, local_path, open_source
from tests.pieces import Tree, assert_same, describe, stamp_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.servers import RangeServer


def _write(path: Path, scale: int = 1) -> Path:
    with uproot.recreate(path) as file:
        tree = file.mktree("t", {"x": "int64", "y": "float32"})
        for start in range(0, 300, 100):
            values = np.arange(start, start + 100)
            tree.extend({"x": values * scale, "y": values.astype(np.float32)})
    return path


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return describe(_write(tmp_path / "a.root"), "t")


def test_ranges_come_back_in_the_order_asked_for(tree: Tree) -> None:
    data = tree.path.read_bytes()
    starts, sizes = np.array([500, 100, 300, 105]), np.array([20, 10, 1, 30])
    with open_source(str(tree.path), tree.stamp, ReadOptions()) as source:
        found = source.fetch(starts, sizes, threads=2)
        assert [bytes(part) for part in found] == [
            data[a : a + n] for a, n in zip(starts.tolist(), sizes.tolist(), strict=True)
        ]
        assert (source.requests, source.bytes_read) == (2, HEADER_BYTES + 420)


def test_the_uuid_is_found_in_headers_of_small_and_big_files(tree: Tree) -> None:
    head = tree.path.read_bytes()[:HEADER_BYTES]
    assert header_uuid(head) == tree.stamp.uuid
    uuid = bytes(range(16))
    big = b"root" + (1_062_000).to_bytes(4, "big") + bytes(51) + uuid + bytes(20)
    odd = b"root" + (-954_584).to_bytes(4, "big", signed=True) + bytes(39) + uuid + bytes(30)
    assert header_uuid(big) == header_uuid(odd) == uuid.hex()
    assert header_uuid(b"") == header_uuid(b"PK" + head[2:]) == ""


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("/data/a.root", "/data/a.root"),
        ("file:///data/a%20b.root", "/data/a b.root"),
        ("https://host/a.root", None),
        ("simplecache::s3://b/a.root", None),
    ],
)
def test_local_paths_are_told_from_urls(url: str, path: str | None) -> None:
    assert local_path(url) == path


def test_a_file_url_reads_like_its_path(tree: Tree) -> None:
    url = tree.path.as_uri()
    found = read_columns(tree.piece(url=url), tree.layouts, ["x"])
    assert found.arrays["x"].to_list() == list(range(300))


def test_a_file_that_was_replaced_is_stale(tree: Tree) -> None:
    piece = tree.piece()
    _write(tree.path, scale=7)
    with pytest.raises(StaleIndexError, match="changed after it was indexed") as caught:
        read_columns(piece, tree.layouts, ["x"])
    assert "index --refresh" in str(caught.value)
    assert caught.value.context["file"] == str(tree.path)


def test_a_file_that_was_replaced_with_its_size_and_time_kept_is_stale(tree: Tree) -> None:
    piece, state = tree.piece(), tree.path.stat()
    _write(tree.path, scale=1)
    assert tree.path.stat().st_size == state.st_size
    os.utime(tree.path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with pytest.raises(StaleIndexError):
        read_columns(piece, tree.layouts, ["x"])


def test_a_file_that_grows_is_stale(tree: Tree) -> None:
    piece = tree.piece()
    with tree.path.open("ab") as file:
        file.write(b"more")
    with pytest.raises(StaleIndexError):
        read_columns(piece, tree.layouts, ["x"])


def test_a_file_that_changes_during_the_scan_is_stale(tree: Tree) -> None:
    from sxdask.rootio.model import Conjunct, ScanSpec
    from sxdask.rootio.scan import scan

    def mask(columns: Any) -> np.ndarray:
        with tree.path.open("ab") as file:
            file.write(b"more")
        return np.ones(len(columns["x"]), np.bool_)

    spec = ScanSpec(("y",), (Conjunct(("x",), mask, "x"),))
    with pytest.raises(StaleIndexError):
        scan(tree.piece(), tree.layouts, spec)


def test_a_file_that_was_removed_is_missing(tree: Tree) -> None:
    piece = tree.piece()
    tree.path.unlink()
    with pytest.raises(FileMissingError, match="does not exist") as caught:
        read_columns(piece, tree.layouts, ["x"])
    assert pickle.loads(pickle.dumps(caught.value)).context["tree"] == "t"


@contextmanager
def nobody() -> Iterator[None]:
    """Give up root's right to read everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def test_a_file_that_may_not_be_read_is_denied(tree: Tree) -> None:
    piece = tree.piece()
    tree.path.chmod(0)
    with nobody(), pytest.raises(AccessDeniedError):
        read_columns(piece, tree.layouts, ["x"])


def test_a_directory_in_place_of_a_file_cannot_be_read(tree: Tree) -> None:
    piece = tree.piece()
    tree.path.unlink()
    tree.path.mkdir()
    with pytest.raises(SxdaskError):
        read_columns(piece, tree.layouts, ["x"])


def test_a_file_cut_anywhere_is_an_error_and_never_fewer_rows(tree: Tree) -> None:
    data = tree.path.read_bytes()
    whole = tree.piece()
    for stop in range(0, len(data), 97):
        tree.path.write_bytes(data[:stop])
        with pytest.raises(StaleIndexError):
            read_columns(whole, tree.layouts, ["x", "y"])
        if stop < HEADER_BYTES:
            continue
        # the index was made of the cut file: its stamp fits and the bytes are not there
        cut = describe(_restore(tree.path, data), "t")
        tree.path.write_bytes(data[:stop])
        state = tree.path.stat()
        cut.stamp = type(cut.stamp)(state.st_size, str(state.st_mtime_ns), cut.stamp.uuid)
        beyond = max(int((b.seek + b.num_bytes).max()) for b in cut.baskets.values()) > stop
        if beyond:
            with pytest.raises(TruncatedFileError, match="refers to byte"):
                read_columns(cut.piece(), cut.layouts, ["x", "y"])
        else:
            found = read_columns(cut.piece(), cut.layouts, ["x", "y"])
            assert found.arrays["x"].to_list() == list(range(300))


def _restore(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_no_descriptor_stays_open(tree: Tree) -> None:
    def count() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    read_columns(tree.piece(), tree.layouts, ["x"])
    before = count()
    for _ in range(20):
        read_columns(tree.piece(), tree.layouts, ["x"])
    tree.path.write_bytes(b"")
    for _ in range(20):
        with pytest.raises(StaleIndexError):
            read_columns(tree.piece(), tree.layouts, ["x"])
    assert count() == before


# --- over HTTP ----------------------------------------------------------------


def test_a_remote_file_is_read_by_ranges(
    tree: Tree, range_http_server: Callable[[Path], RangeServer]
) -> None:
    server = range_http_server(tree.path.parent)
    piece = tree.piece(url=f"{server.url}/a.root")
    found = read_columns(piece, tree.layouts, ["x"], ReadOptions(gap_bytes=0))
    assert found.arrays["x"].to_list() == list(range(300))
    wanted = int(tree.baskets["x"].num_bytes.sum())
    assert found.report.bytes_read == wanted + HEADER_BYTES
    assert server.num("GET") == found.report.requests


def test_a_remote_file_that_was_replaced_is_stale(
    tree: Tree, range_http_server: Callable[[Path], RangeServer]
) -> None:
    server = range_http_server(tree.path.parent)
    piece = tree.piece(url=f"{server.url}/a.root")
    _write(tree.path)
    with pytest.raises(StaleIndexError):
        read_columns(piece, tree.layouts, ["x"])


def test_a_remote_file_that_was_removed_is_missing(
    tree: Tree, range_http_server: Callable[[Path], RangeServer]
) -> None:
    server = range_http_server(tree.path.parent)
    piece = tree.piece(url=f"{server.url}/a.root")
    tree.path.unlink()
    with pytest.raises(FileMissingError):
        read_columns(piece, tree.layouts, ["x"])


class _Moody(BaseHTTPRequestHandler):
    """A server that misbehaves in the way its class says."""

    protocol_version = "HTTP/1.1"
    data = b""
    failures = 0
    status = 503
    mode = "ranges"

    def do_GET(self) -> None:
        kind = type(self)
        if kind.failures > 0:
            kind.failures -= 1
            self._send(kind.status, b"")
        elif kind.mode == "whole":
            self._send(200, self.data)
        else:
            start, stop = map(int, self.headers["Range"].removeprefix("bytes=").split("-"))
            self._send(206, self.data[start : stop + (1 if kind.mode == "ranges" else 0)])

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Keep the test's output clean."""


@contextmanager
def _serve(**mood: Any) -> Iterator[tuple[str, type[_Moody]]]:
    handler = type("_Handler", (_Moody,), mood)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/a.root", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_server_that_fails_for_a_moment_is_asked_again(tree: Tree) -> None:
    with _serve(data=tree.path.read_bytes(), failures=3) as (url, _):
        found = read_columns(tree.piece(url=url), tree.layouts, ["x"])
    assert found.arrays["x"].to_list() == list(range(300))


def test_a_server_that_keeps_failing_is_an_error_with_the_range(tree: Tree) -> None:
    with (
        _serve(data=b"", failures=10**6) as (url, _),
        pytest.raises(ReadFailedError, match="bytes 0 to 80") as caught,
    ):
        read_columns(tree.piece(url=url), tree.layouts, ["x"])
    assert caught.value.context["file"] == url


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (403, AccessDeniedError),
        (404, FileMissingError),
        (416, TruncatedFileError),
    ],
)
def test_an_answer_that_will_not_change_is_not_asked_for_again(
    tree: Tree, status: int, error: type[Exception]
) -> None:
    with _serve(data=b"", failures=1000, status=status) as (url, handler):
        with pytest.raises(error):
            read_columns(tree.piece(url=url), tree.layouts, ["x"])
        assert 1000 - handler.failures <= 2


def test_a_server_that_ignores_ranges_still_gives_the_right_bytes(tree: Tree) -> None:
    with _serve(data=tree.path.read_bytes(), mode="whole") as (url, _):
        found = read_columns(tree.piece(url=url), tree.layouts, ["x"])
    assert found.arrays["x"].to_list() == list(range(300))


def test_an_answer_that_is_too_short_is_an_error(tree: Tree) -> None:
    with (
        _serve(data=tree.path.read_bytes(), mode="short") as (url, _),
        pytest.raises(TruncatedFileError),
    ):
        read_columns(tree.piece(url=url), tree.layouts, ["x"])


def test_a_server_that_is_not_there_is_an_error(tree: Tree) -> None:
    with _serve() as (url, _):
        pass
    with pytest.raises(ReadFailedError):
        read_columns(tree.piece(url=url), tree.layouts, ["x"])


def test_a_scheme_that_nobody_knows_is_an_error(tree: Tree) -> None:
    with pytest.raises(ReadFailedError, match="cannot open"):
        read_columns(tree.piece(url="nosuch://host/a.root"), tree.layouts, ["x"])


def test_baskets_beyond_four_gigabytes_are_read(tmp_path: Path) -> None:
    tree = describe(_write(tmp_path / "a.root"), "t")
    path = tmp_path / "big.root"
    shutil.copy(tree.path, path)
    far = 2**33 + 12345
    baskets = tree.baskets["x"]
    with path.open("r+b") as file:  # sparse: takes no more room than its baskets
        for start, size in zip(baskets.seek.tolist(), baskets.num_bytes.tolist(), strict=True):
            file.seek(start)
            basket = file.read(size)
            file.seek(far + start)
            file.write(basket)
    tree.baskets["x"] = type(baskets)(baskets.seek + far, baskets.num_bytes, baskets.entry_starts)
    tree.stamp = stamp_of(path)
    found = read_columns(tree.piece(50, 250, url=str(path)), tree.layouts, ["x"])
    with uproot.open(tree.path) as file:
        assert_same(found.arrays["x"], file["t"]["x"].array(entry_start=50, entry_stop=250))
