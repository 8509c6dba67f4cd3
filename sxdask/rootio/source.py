"""Bytes of one file: many ranges at once, checked against the index, counted.

A local file is opened once for a scan and read with ``pread`` (one descriptor
serves all threads); every other URL goes through fsspec's ``cat_ranges``, which
fetches the ranges concurrently. Each batch of ranges also fetches the start of
the file header, so that bytes of a file that was replaced after indexing are
never decoded. For a local file, size and modification time are looked at as
well, before and after.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote, urlsplit

from sxdask.core.errors import (
    AccessDeniedError,
    FileMissingError,
    ReadFailedError,
    StaleIndexError,
    SxdaskError,
    TruncatedFileError,
)
from sxdask.datasets.storage import connect
from sxdask.rootio.coalesce import coalesce
from sxdask.rootio.pool import run_all

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sxdask.rootio.model import FileStamp, Int64Array, ReadOptions

HEADER_BYTES = 80  # TFile's header with 64-bit seeks ends its UUID at byte 75

# The page cache makes small local reads nearly free, and a page is its unit.
_LOCAL_GAP_BYTES = 4096
_STORAGE_MODULES = {"aiohttp", "botocore", "aiobotocore", "XRootD"}
_HTTP_GONE = {404, 410}
RANGE_NOT_SATISFIABLE = 416  # HTTP: the file ends before the range
# kXR_NotFound of XProtocol.hh; XRootD's client tells the number in its text alone
_XROOTD_NOT_FOUND = "Server responded with an error: [3011]"
_ATTEMPTS = 4
_FIRST_PAUSE = 0.1  # seconds; doubles with every attempt


def header_uuid(head: bytes) -> str:
    """Return the UUID of a ROOT file from the first bytes of it, in hex; empty if there is none.

    Positions: ``TFile::Init``; from version 1000000 on seeks have 64 bits.
    """
    if head[:4] != b"root" or len(head) < HEADER_BYTES - 5:
        return ""
    version = int.from_bytes(head[4:8], "big", signed=True)
    at = 59 if version >= 1_000_000 else 47
    return head[at : at + 16].hex()


class _Transport(Protocol):
    """How ranges of one file are fetched; `check` raises if the file has changed."""

    gap_bytes: int

    def fetch(self, starts: Sequence[int], stops: Sequence[int], threads: int) -> list[bytes]: ...

    def check(self) -> None: ...


class ByteSource:
    """Ranges of one file, all of one version of it.

    `requests` and `bytes_read` count everything that was fetched: baskets
    with their key headers, holes that coalescing reads through, and the 80
    bytes of file header that come with each batch.
    """

    def __init__(
        self, url: str, stamp: FileStamp, transport: _Transport, options: ReadOptions
    ) -> None:
        self.url = url
        self.requests = 0
        self.bytes_read = 0
        self._stamp = stamp
        self._transport = transport
        self._options = options

    def fetch(self, starts: Int64Array, sizes: Int64Array, *, threads: int) -> list[memoryview]:
        """Return the bytes of each range, in the order asked for.

        Parameters
        ----------
        starts, sizes
            First byte and length of each range, shape ``(n_ranges,)``. With
            no ranges at all the file is still checked.
        threads
            Threads that may read at the same time.

        Raises
        ------
        StaleIndexError
            If the file is not the one that was indexed.
        TruncatedFileError, FileMissingError, AccessDeniedError, ReadFailedError
            If the bytes are not to be had.
        """
        if len(starts) and int((starts + sizes).max()) > self._stamp.size:
            end = int((starts + sizes).max())
            raise TruncatedFileError(
                f"file {self.url!r} has {self._stamp.size} bytes, its tree refers to byte {end}",
                hint="copy the file again, or leave it out",
                file=self.url,
            )
        wanted = coalesce(
            starts,
            sizes,
            gap_bytes=min(self._options.gap_bytes, self._transport.gap_bytes),
            request_bytes=self._options.request_bytes,
        )
        probe = min(HEADER_BYTES, self._stamp.size)
        begin, end_ = [0, *wanted.starts.tolist()], [probe, *wanted.stops.tolist()]
        parts = self._transport.fetch(begin, end_, threads)
        self.requests += len(parts)
        self.bytes_read += sum(map(len, parts))
        if header_uuid(parts[0]) != self._stamp.uuid:
            raise stale(self.url)
        views = [memoryview(part) for part in parts[1:]]
        places = zip(wanted.owner.tolist(), wanted.offset.tolist(), sizes.tolist(), strict=True)
        return [views[owner][offset : offset + size] for owner, offset, size in places]

    def check(self) -> None:
        """Raise `StaleIndexError` if the file has changed since it was opened."""
        self._transport.check()


def stale(url: str) -> StaleIndexError:
    """Return the error for a file that is not the one that was indexed."""
    return StaleIndexError(
        f"file {url!r} changed after it was indexed",
        hint="run again, or renew its index with `sxdask index --refresh`",
        file=url,
    )


def local_path(url: str) -> str | None:
    """Return the path of a local file, or None for a URL of another scheme."""
    if url[:7].lower() == "file://":
        return unquote(urlsplit(url).path)
    return None if "://" in url or "::" in url else url


@contextmanager
def open_source(url: str, stamp: FileStamp, options: ReadOptions) -> Iterator[ByteSource]:
    """Open `url` for reading ranges; the file must be the one that `stamp` describes.

    Raises
    ------
    FileMissingError, AccessDeniedError, StaleIndexError, ReadFailedError
        If it cannot be opened or has changed.
    """
    path = local_path(url)
    if path is None:
        yield ByteSource(url, stamp, _Remote(url, stamp, options), options)
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise as_ours(error, url) from error
    try:
        transport = _Local(url, stamp, descriptor)
        transport.check()
        yield ByteSource(url, stamp, transport, options)
    finally:
        os.close(descriptor)


class _Local:
    """A local file by its descriptor."""

    gap_bytes = _LOCAL_GAP_BYTES

    def __init__(self, url: str, stamp: FileStamp, descriptor: int) -> None:
        self._url = url
        self._stamp = stamp
        self._descriptor = descriptor

    def check(self) -> None:
        state = os.fstat(self._descriptor)
        marked = self._stamp.mark not in {"", str(state.st_mtime_ns)}
        if state.st_size != self._stamp.size or marked:
            raise stale(self._url)

    def fetch(self, starts: Sequence[int], stops: Sequence[int], threads: int) -> list[bytes]:
        return run_all(self._read, list(zip(starts, stops, strict=True)), threads)

    def _read(self, span: tuple[int, int]) -> bytes:
        start, stop = span
        parts = []
        while start < stop:  # the kernel returns at most 2 GiB at once
            try:
                part = os.pread(self._descriptor, stop - start, start)
            except OSError as error:
                raise as_ours(error, self._url, span) from error
            if not part:
                raise _truncated(self._url, span)
            parts.append(part)
            start += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class _Remote:
    """A file behind fsspec."""

    def __init__(self, url: str, stamp: FileStamp, options: ReadOptions) -> None:
        self.gap_bytes = options.gap_bytes
        self._url = url
        self._stamp = stamp
        try:
            self._fs, self._path = connect(url, dict(options.storage_options))
        except (ImportError, ValueError) as error:
            raise ReadFailedError(f"cannot open {url!r}: {error}", file=url) from error

    def check(self) -> None:
        """Nothing to do: every batch has fetched and compared the UUID."""

    def fetch(
        self,
        starts: Sequence[int],
        stops: Sequence[int],
        threads: int,  # noqa: ARG002 (fsspec has its own concurrency)
    ) -> list[bytes]:
        parts: dict[int, bytes] = {}
        todo = list(range(len(starts)))
        pause = _FIRST_PAUSE
        for attempt in range(1, _ATTEMPTS + 1):
            answers = self._ask([starts[i] for i in todo], [stops[i] for i in todo])
            if not (todo[0] or isinstance(answers[0], BaseException)):
                self._require_same(bytes(answers[0][:HEADER_BYTES]))
            failed: list[tuple[int, BaseException]] = []
            for index, answer in zip(todo, answers, strict=True):
                span = (starts[index], stops[index])
                if isinstance(answer, BaseException):
                    failed.append((index, answer))
                else:
                    parts[index] = self._exact(bytes(answer), span)
            for index, error in failed:
                if attempt == _ATTEMPTS or not _transient(error):
                    span = (starts[index], stops[index])
                    raise as_ours(error, self._url, span) from error
            if not failed:
                break
            todo = [index for index, _ in failed]
            time.sleep(pause)
            pause *= 2
        return [parts[index] for index in range(len(starts))]

    def _ask(self, starts: list[int], stops: list[int]) -> list[Any]:
        paths = [self._path] * len(starts)
        try:
            return list(self._fs.cat_ranges(paths, starts, stops, on_error="return"))
        except Exception as error:  # noqa: BLE001 (a backend may raise in place of returning)
            return [error] * len(starts)

    def _require_same(self, head: bytes) -> None:
        # Before anything is said of the other ranges: in another file they mean nothing.
        if header_uuid(head) != self._stamp.uuid:
            raise stale(self._url)

    def _exact(self, data: bytes, span: tuple[int, int]) -> bytes:
        start, stop = span
        if len(data) == stop - start:
            return data
        if len(data) == self._stamp.size:  # the server ignores ranges and sent everything
            return data[start:stop]
        if len(data) < stop - start:
            raise _truncated(self._url, span)
        raise ReadFailedError(
            f"the server of {self._url!r} sent {len(data)} bytes for a range of {stop - start}",
            file=self._url,
            bytes=span,
        )


def _truncated(url: str, span: tuple[int, int]) -> TruncatedFileError:
    return TruncatedFileError(
        f"file {url!r} ends before byte {span[1]}",
        hint="copy the file again, or leave it out",
        file=url,
        bytes=span,
    )


def _transient(error: BaseException) -> bool:
    """Say whether trying again may help: timeouts, lost connections, HTTP 429 and 5xx."""
    status = getattr(error, "status", None)
    if isinstance(status, int):
        return status == 429 or status >= 500
    if isinstance(error, (FileNotFoundError, PermissionError, IsADirectoryError)):
        return False
    if _XROOTD_NOT_FOUND in str(error):
        return False
    return from_storage(error)


def from_storage(error: BaseException) -> bool:
    """Say whether `error` comes from a file system, a network or a server."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in _STORAGE_MODULES


def _behind(error: BaseException) -> BaseException:
    """Return what happened where fsspec says "not found", which it does of any HTTP failure."""
    cause = error.__cause__
    if type(cause).__module__.partition(".")[0] != "aiohttp" or cause is None:
        return error
    return error if getattr(cause, "status", None) in _HTTP_GONE else cause


def as_ours(error: BaseException, url: str, span: tuple[int, int] | None = None) -> SxdaskError:
    """Return the error of our tree that says what `error` means to the user."""
    context: dict[str, Any] = {"file": url}
    if span is not None:
        context["bytes"] = span
    if isinstance(error, FileNotFoundError):
        error = _behind(error)
    if isinstance(error, SxdaskError):
        return error.add(**context)
    if isinstance(error, FileNotFoundError) or _XROOTD_NOT_FOUND in str(error):
        return FileMissingError(
            f"file {url!r} does not exist (any more)", hint="check the dataset", **context
        )
    if span is not None and getattr(error, "status", None) == RANGE_NOT_SATISFIABLE:
        return _truncated(url, span)
    if isinstance(error, PermissionError) or getattr(error, "status", None) in {401, 403}:
        return AccessDeniedError(f"file {url!r} may not be read", **context)
    where = f" (bytes {span[0]} to {span[1]})" if span else ""
    return ReadFailedError(
        f"reading {url!r}{where} failed: {str(error) or type(error).__name__}", **context
    )
