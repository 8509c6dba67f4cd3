"""``xrootd://root://host//path/*.root``: files that a pattern matches on an XRootD server.

The directories are listed here, with XRootD's own client: its ``glob`` looks at
the local disk first and takes directories for files, and fsspec's passes over
directories that it may not read; a dataset that silently lacks files is wrong.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import (
    AccessDeniedError,
    DatasetError,
    EmptyDatasetError,
    FileMissingError,
    ReadFailedError,
    RequestError,
)
from sxdask.datasets.address import parse_address
from sxdask.datasets.local import ROOT_NAME
from sxdask.datasets.model import FileEntry
from sxdask.datasets.remote import require_storage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sxdask.datasets.address import Address

_URL: Final = re.compile(r"(?P<door>roots?://[^/?#]+)/(?P<path>.+)", re.DOTALL)
_MAGIC: Final = re.compile(r"[*?[]")
_SECONDS: Final = 60
"""How long the server may take for one directory."""

# Error numbers of the protocol, in its specification and in XProtocol.hh.
_NOT_FOUND: Final = {3011}
_DENIED: Final = {3010, 3030}


@dataclass(frozen=True, slots=True)
class _Item:
    """What lies in a directory. `size` is in bytes."""

    path: str
    is_directory: bool
    size: int

    @property
    def name(self) -> str:
        return self.path.rpartition("/")[2]


class XRootDFinder:
    """Find files by a pattern or a directory on a server or redirector."""

    def find(
        self, address: Address, *, storage_options: Mapping[str, Any]
    ) -> tuple[FileEntry, ...]:
        """Return the files, each once, sorted by path.

        Without a pattern the path is a file, or a directory whose ``*.root``
        files at any depth are meant.

        Raises
        ------
        RequestError
            If the name is not ``xrootd://root://host//path``.
        EmptyDatasetError, FileMissingError
            If no file matches, or there is nothing of that name.
        AccessDeniedError, ReadFailedError
            If a directory may not be listed, or the server does not answer.
        MissingExtraError
            If XRootD's client is not installed.
        """
        found = {
            entry.url: entry for entry in self.stream(address, storage_options=storage_options)
        }
        return tuple(found[url] for url in sorted(found))

    def check(self) -> str:
        """Return which client there is.

        Raises
        ------
        MissingExtraError
            If there is none.
        """
        require_storage("root")
        return f"XRootD's client {version('xrootd')} is installed"

    def stream(
        self, address: Address, *, storage_options: Mapping[str, Any]
    ) -> Iterator[FileEntry]:
        """Yield what `find` returns, directory after directory."""
        del storage_options
        door, path = _split(address)
        require_storage("root")
        server = _Server(door)
        parts = [part for part in path.split("/") if part]
        fixed = next((at for at, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
        start = server.look("/" + "/".join(parts[:fixed]))
        found: Iterable[_Item]
        if fixed < len(parts):
            found = _expand(server, start.path, parts[fixed:]) if start.is_directory else ()
            problem = f"no file matches {address.name!r}"
        elif start.is_directory:
            found = (item for item in _below(server, start.path) if ROOT_NAME.fullmatch(item.name))
            problem = f"{address.name!r} has no *.root file"
        else:
            found, problem = (start,), ""
        item = None
        for item in found:
            yield FileEntry(f"{door}/{item.path}", address.tree, size=item.size)
        if item is None:
            raise EmptyDatasetError(
                problem, hint="check the pattern; ** stands for any depth", file=address.name
            )


class _Server:
    """One server, through XRootD's client."""

    def __init__(self, door: str) -> None:
        from XRootD.client import FileSystem

        self._door = door
        self._client = FileSystem(door)

    def look(self, path: str) -> _Item:
        """Return what is at `path`."""
        status, facts = self._client.stat(path, timeout=_SECONDS)
        self._require(status, path)
        return _item(path, facts)

    def list(self, folder: str) -> list[_Item]:
        """Return what is in `folder`, hidden files included, sorted by name."""
        from XRootD.client.flags import DirListFlags

        status, found = self._client.dirlist(folder, DirListFlags.STAT, timeout=_SECONDS)
        self._require(status, folder)
        base = folder.rstrip("/")
        items = []
        for entry in found:
            path = f"{base}/{entry.name}"
            # Some servers do not tell more than names.
            items.append(_item(path, entry.statinfo) if entry.statinfo else self.look(path))
        return sorted(items, key=lambda item: item.path)

    def _require(self, status: Any, path: str) -> None:
        if not status.ok:
            raise _error(status, f"{self._door}/{path}")


def _error(status: Any, url: str) -> DatasetError | ReadFailedError:
    """Return the error for what the client says."""
    said = " ".join(str(status.message).split())
    if status.errno in _NOT_FOUND:
        return FileMissingError(
            f"there is nothing at {url!r}", hint="check host and path", file=url
        )
    if status.errno in _DENIED:
        return AccessDeniedError(
            f"{url!r} may not be listed: {said}",
            hint="check the proxy (X509_USER_PROXY) or the token (BEARER_TOKEN_FILE)",
            file=url,
        )
    return ReadFailedError(
        f"{url!r} cannot be listed: {said}",
        hint="check the host, and that the server answers",
        file=url,
    )


def _item(path: str, facts: Any) -> _Item:
    from XRootD.client.flags import StatInfoFlags

    return _Item(path, bool(facts.flags & StatInfoFlags.IS_DIR), int(facts.size))


def _expand(server: _Server, folder: str, parts: list[str]) -> Iterator[_Item]:
    """Yield the files below `folder` whose path matches `parts`, one pattern a level."""
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _expand(server, folder, rest) if rest else _below(server, folder)
        if rest:
            for item in server.list(folder):
                if item.is_directory and not item.name.startswith("."):
                    yield from _expand(server, item.path, parts)
        return
    for item in _named(server, folder, first):
        if rest and item.is_directory:
            yield from _expand(server, item.path, rest)
        elif not rest and not item.is_directory:
            yield item


def _named(server: _Server, folder: str, pattern: str) -> list[_Item]:
    """Return what in `folder` is called `pattern`."""
    if not _MAGIC.search(pattern):
        try:
            return [server.look(f"{folder.rstrip('/')}/{pattern}")]
        except FileMissingError:
            return []
    # As in the shell, a pattern does not mean hidden files unless it says so.
    return [
        item
        for item in server.list(folder)
        if fnmatchcase(item.name, pattern)
        and (not item.name.startswith(".") or pattern.startswith("."))
    ]


def _below(server: _Server, folder: str) -> Iterator[_Item]:
    """Yield all files at any depth below `folder`, hidden ones left out."""
    for item in server.list(folder):
        if item.name.startswith("."):
            continue
        if item.is_directory:
            yield from _below(server, item.path)
        else:
            yield item


def _split(address: Address) -> tuple[str, str]:
    """Return ``root://host`` and the path on it."""
    inner = parse_address(address.name or " ")  # refuses passwords
    found = _URL.fullmatch(inner.path)
    if found is None or "/../" in f"/{found['path']}/":
        raise RequestError(
            f"{address.path!r} is no pattern of an XRootD server",
            hint="write xrootd://root://host//path/*.root",
        )
    return found["door"], "/" + found["path"].lstrip("/")
