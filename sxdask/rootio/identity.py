"""Which file is this: its name, its stamp from one look at the storage, its header.

The header of a ROOT file is described in ROOT's ``TFile::Init`` and
``TFile::WriteHeader``; from version 1 000 000 on the seeks in it have 64 bits.
"""

from __future__ import annotations

import os
import stat
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import FileMissingError, NotRootFileError, ReadFailedError, SxdaskError
from sxdask.datasets.storage import connect
from sxdask.rootio.model import FileStamp
from sxdask.rootio.source import RANGE_NOT_SATISFIABLE, as_ours, local_path

if TYPE_CHECKING:
    from collections.abc import Mapping

HEADER_BYTES = 100  # ROOT's kBEGIN: everything before it is header

# version, fBEGIN, fEND, fSeekFree, fNbytesFree, nfree, fNbytesName, fUnits, fCompress,
# fSeekInfo, fNbytesInfo, version of the UUID, UUID
_SMALL = struct.Struct(">4xiiiiiiiBiiiH16s")
_BIG = struct.Struct(">4xiiqqiiiBiqiH16s")
_FIRST_BIG_VERSION = 1_000_000

# What storages call the thing that changes when a file does, best first.
_MARKS = ("ETag", "etag", "LastModified", "Last-Modified", "last_modified", "mtime", "updated")


@dataclass(frozen=True, slots=True)
class FileHeader:
    """What the first bytes of a ROOT file say: its length, compression code and UUID (hex)."""

    end: int
    compression: int
    uuid: str


def normalise_url(url: str | os.PathLike[str]) -> str:
    """Return the name that the index knows a file by.

    A local file is its absolute path (links are kept), whatever its spelling;
    a URL is as given, with its scheme in lower case.

    Examples
    --------
    >>> normalise_url("file:///data/./a.root")
    '/data/a.root'
    >>> normalise_url("ROOT://host//store/a.root")
    'root://host//store/a.root'
    """
    text = os.fspath(url)
    path = local_path(text)
    if path is not None:
        return os.path.abspath(path)  # noqa: PTH100 - Path.absolute keeps the dots
    scheme, separator, rest = text.partition("://")
    return f"{scheme.lower()}{separator}{rest}"


def file_stamp(url: str, storage_options: Mapping[str, Any] | None = None) -> FileStamp:
    """Return size and change mark of a file by one look at its storage; the UUID stays empty.

    Raises
    ------
    FileMissingError, AccessDeniedError, NotRootFileError, ReadFailedError
        If there is no such file, it may not be seen, it is a directory, or
        the storage does not answer.
    """
    path = local_path(url)
    if path is None:
        return _remote_stamp(url, storage_options or {})
    try:
        state = os.stat(path)  # noqa: PTH116 - half the time of Path.stat, for each of many files
    except (OSError, ValueError) as error:
        raise _local_problem(error, url) from None
    if stat.S_ISDIR(state.st_mode):
        raise _directory(url)
    return FileStamp(state.st_size, str(state.st_mtime_ns), "")


def file_identity(url: str, storage_options: Mapping[str, Any] | None = None) -> FileStamp:
    """Return the stamp of a file of any kind: its UUID, or its change mark if it is no ROOT file.

    Raises
    ------
    FileMissingError, AccessDeniedError, ReadFailedError
        If there is no such file or it cannot be read.
    """
    stamp = file_stamp(url, storage_options)
    try:
        return replace(stamp, uuid=read_header(url, storage_options).uuid)
    except NotRootFileError:
        return replace(stamp, uuid=stamp.mark)


def parse_header(head: bytes, url: str) -> FileHeader:
    """Return what the first bytes of the file `url` say.

    Raises
    ------
    NotRootFileError
        If they are not those of a ROOT file.
    """
    if not head:
        raise NotRootFileError(
            f"file {url!r} is empty", hint="copy the file again, or leave it out", file=url
        )
    if head[:4] != b"root" or len(head) < _BIG.size:
        raise NotRootFileError(
            f"file {url!r} is not a ROOT file: it begins with {head[:8]!r}",
            hint="give files that ROOT has written",
            file=url,
        )
    version = int.from_bytes(head[4:8], "big", signed=True)
    layout = _BIG if version >= _FIRST_BIG_VERSION else _SMALL
    fields = layout.unpack_from(head)
    return FileHeader(end=fields[2], compression=fields[8], uuid=fields[12].hex())


def read_header(url: str, storage_options: Mapping[str, Any] | None = None) -> FileHeader:
    """Read and return the header of the file `url`.

    Raises
    ------
    FileMissingError, AccessDeniedError, NotRootFileError, ReadFailedError
        If it cannot be read, or is not that of a ROOT file.
    """
    path = local_path(url)
    try:
        if path is not None:
            with open(path, "rb") as file:  # noqa: PTH123
                return parse_header(file.read(HEADER_BYTES), url)
        fs, place = _filesystem(url, storage_options or {})
        head = bytes(fs.cat_file(place, start=0, end=HEADER_BYTES))
    except SxdaskError:
        raise
    except Exception as error:  # noqa: BLE001 - each storage has exceptions of its own
        if getattr(error, "status", None) == RANGE_NOT_SATISFIABLE:
            return parse_header(b"", url)  # an empty file has no first bytes
        raise (_local_problem(error, url) if path is not None else as_ours(error, url)) from None
    if len(head) > HEADER_BYTES:
        raise ReadFailedError(
            f"the server of {url!r} sends whole files where ranges are asked for",
            hint="copy the file to a server that answers range requests",
            file=url,
        )
    return parse_header(head, url)


def _remote_stamp(url: str, storage_options: Mapping[str, Any]) -> FileStamp:
    fs, path = _filesystem(url, storage_options)
    try:
        for place in (path, path.rpartition("/")[0]):  # XRootD's listings are by folder
            fs.invalidate_cache(place)  # what one said earlier may no longer hold
        facts = fs.info(path)
    except Exception as error:  # noqa: BLE001 - each storage has exceptions of its own
        raise as_ours(error, url) from None
    if facts.get("type") == "directory":
        raise _directory(url)
    if facts.get("size") is None:
        raise ReadFailedError(
            f"the server of {url!r} does not tell its size",
            hint="copy the file to a server that answers range requests",
            file=url,
        )
    mark = next((facts[key] for key in _MARKS if facts.get(key)), "")
    return FileStamp(int(facts["size"]), str(mark), "")


def _filesystem(url: str, storage_options: Mapping[str, Any]) -> tuple[Any, str]:
    try:
        fs, path = connect(url, storage_options)
    except (ImportError, ValueError) as error:
        raise ReadFailedError(f"cannot open {url!r}: {error}", file=url) from error
    return fs, path


def _local_problem(error: Exception, url: str) -> SxdaskError:
    if isinstance(error, IsADirectoryError):
        return _directory(url)
    if isinstance(error, NotADirectoryError | ValueError):  # a file in the path; a null byte
        return FileMissingError(f"file {url!r} does not exist", hint="check the path", file=url)
    return as_ours(error, url)


def _directory(url: str) -> NotRootFileError:
    return NotRootFileError(
        f"{url!r} is a directory, not a ROOT file",
        hint=f"name the files in it: {url.rstrip('/')}/*.root",
        file=url,
    )
