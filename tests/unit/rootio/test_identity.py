"""Names, stamps and headers of files."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest
import uproot

from sxdask.core.errors import FileMissingError, NotRootFileError, ReadFailedError
from sxdask.rootio.identity import (
    HEADER_BYTES,
    file_stamp,
    normalise_url,
    parse_header,
    read_header,
)
from sxdask.rootio.source import header_uuid

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import RangeServer

UUID = bytes(range(16))


def big_header() -> bytes:
    """Return the header of a file beyond 2 GiB, as TFile::WriteHeader lays it out."""
    numbers = struct.pack(
        ">iiqqiiiBiqiH", 1_063_200, 100, 3 << 31, 3 << 31, 9, 1, 9, 8, 505, 7, 8, 1
    )
    return (b"root" + numbers + UUID).ljust(HEADER_BYTES, b"\0")


def test_a_local_file_has_one_name_however_it_is_spelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    plain = str(tmp_path / "a b.root")
    for other in (
        "a b.root",
        "./x/../a b.root",
        f"file://{plain}",
        f"file://{tmp_path}/a%20b.root",
    ):
        assert normalise_url(other) == plain
    assert normalise_url(tmp_path / "a b.root") == plain


def test_a_url_keeps_its_spelling_but_for_the_scheme():
    assert normalise_url("ROOT://host:1094//Store/A.root") == "root://host:1094//Store/A.root"


def test_the_stamp_is_size_and_modification_time(tmp_path: Path):
    path = tmp_path / "a.root"
    path.write_bytes(b"root")
    first = file_stamp(str(path))
    assert (first.size, first.mark, first.uuid) == (4, str(path.stat().st_mtime_ns), "")
    assert file_stamp(f"file://{path}") == first
    os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
    assert file_stamp(str(path)).mark != first.mark


def test_a_web_server_gives_the_stamp_of_its_file(
    tmp_path: Path, range_http_server: Callable[[Path], RangeServer]
):
    (tmp_path / "a.root").write_bytes(b"root" * 10)
    server = range_http_server(tmp_path)
    first = file_stamp(f"{server.url}/a.root")
    assert first.size == 40
    assert first.mark
    (tmp_path / "a.root").write_bytes(b"ROOT" * 10)
    os.utime(tmp_path / "a.root", (1, 1))
    assert file_stamp(f"{server.url}/a.root").mark != first.mark


def test_what_is_no_file_is_named(tmp_path: Path, range_http_server: Callable[[Path], RangeServer]):
    (tmp_path / "f").write_bytes(b"")
    for place in (tmp_path / "none.root", tmp_path / "f" / "below.root"):
        with pytest.raises(FileMissingError, match=place.name):
            file_stamp(str(place))
    with pytest.raises(FileMissingError):
        file_stamp("a\0b")
    with pytest.raises(NotRootFileError, match="is a directory"):
        file_stamp(str(tmp_path))
    server = range_http_server(tmp_path)
    with pytest.raises(FileMissingError, match=r"none\.root"):
        file_stamp(f"{server.url}/none.root")
    with pytest.raises(FileMissingError, match=r"none\.root"):
        read_header(f"{server.url}/none.root")
    with pytest.raises(ReadFailedError, match="cannot open"):
        file_stamp("nosuchscheme://host/a.root")


def test_the_header_of_a_small_file_is_what_uproot_reads(nanoaod: Path):
    with uproot.open(nanoaod) as file:
        expected = (file.file.fEND, file.file.fCompress, file.file.uuid.hex)
    header = read_header(str(nanoaod))
    assert (header.end, header.compression, header.uuid) == expected
    assert header_uuid(nanoaod.read_bytes()[:HEADER_BYTES]) == expected[2]


def test_the_header_of_a_big_file_has_wide_numbers():
    header = parse_header(big_header(), "big.root")
    assert (header.end, header.compression, header.uuid) == (3 << 31, 505, UUID.hex())


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b"<!DOCTYPE html>" * 10, "not a ROOT file", id="html"),
        pytest.param(b"root", "not a ROOT file", id="cut inside the header"),
    ],
)
def test_other_content_is_not_a_root_file(tmp_path: Path, content: bytes, problem: str):
    path = tmp_path / "x.root"
    path.write_bytes(content)
    with pytest.raises(NotRootFileError, match=problem) as caught:
        read_header(str(path))
    assert caught.value.context["file"] == str(path)
    assert header_uuid(content) == ""
