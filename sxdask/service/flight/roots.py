"""Which files a server reads for others: those below directories and URLs that it was given.

A name is checked before anything is listed or opened, and every file that it
leads to is checked again, links followed. Names with a password, a query, an
escape or dots are refused as they are: what they mean depends on who reads them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from sxdask.core.errors import AccessDeniedError, RequestError
from sxdask.datasets.address import parse_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sxdask.service.flight.requests import Files

_URL: Final = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/]*)(?P<path>.*)", re.DOTALL
)
_MAGIC: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class _Site:
    """URLs below `path` on `host`, which may be a pattern (``*.cern.ch``)."""

    scheme: str
    host: str
    path: str

    def holds(self, scheme: str, host: str, path: str) -> bool:
        """Tell whether a URL lies here."""
        whole = self.path.rstrip("/") + "/"
        return (
            scheme == self.scheme
            and fnmatchcase(host, self.host)
            and (path.startswith(whole) or path == self.path)
        )


class Roots:
    """Directories and URLs whose files may be read.

    Parameters
    ----------
    places
        Directories, and URLs that others begin with (``s3://bucket/store/``);
        the host of a URL may be a pattern. Relative names of files start at
        the first directory.

    Raises
    ------
    RequestError
        If a place is no directory and no URL.
    """

    def __init__(self, places: Iterable[str]) -> None:
        self.folders: list[Path] = []
        self.sites: list[_Site] = []
        for text in places:
            if url := _URL.fullmatch(text):
                self.sites.append(_Site(url["scheme"].lower(), url["host"].lower(), url["path"]))
                continue
            folder = Path(text).expanduser().resolve()
            if not folder.is_dir():
                raise RequestError(
                    f"--root {text!r} is no directory", hint="name one that exists, or a URL"
                )
            self.folders.append(folder)

    def __str__(self) -> str:
        sites = [f"{site.scheme}://{site.host}{site.path}" for site in self.sites]
        return ", ".join([*map(str, self.folders), *sites]) or "nothing"

    def placed(self, dataset: Files) -> Files:
        """Return a dataset with local names made absolute.

        Raises
        ------
        AccessDeniedError
            If a name leads elsewhere.
        """
        match dataset:
            case str():
                return self._placed(dataset)
            case list():
                return [self._placed(name) for name in dataset]
            case dict():
                return {self._placed(name): tree for name, tree in dataset.items()}

    def require(self, url: str) -> None:
        """Check one file that was found, where its links lead.

        Raises
        ------
        AccessDeniedError
            If it is none that may be read.
        """
        found = _URL.fullmatch(url)
        if found is None and self._inside(Path(url)):
            return
        if found is not None and self._on_site(found):
            return
        raise _denied(url)

    def _placed(self, name: str) -> str:
        if "\0" in name or "::" in name:  # fsspec chains filesystems with ::
            raise _denied(name)
        address = parse_address(name)
        if address.scheme == "file":
            name = unquote(name.partition("://")[2].removeprefix("localhost"))
            address = parse_address(name)
        if address.scheme:
            self._require_url(address.path)
            return name
        if name.startswith("~") or ".." in Path(name).parts:
            raise _denied(name)
        if not name.startswith("/") and self.folders:
            name = f"{self.folders[0]}/{name}"
        # The part without signs of a pattern is where listing would begin.
        place = Path(parse_address(name).path)
        parts = place.parts
        fixed = next((n for n, part in enumerate(parts) if _MAGIC.search(part)), len(parts))
        if not place.is_absolute() or not self._inside(Path(*parts[:fixed])):
            raise _denied(name)
        return name

    def _require_url(self, url: str) -> None:
        found = _URL.fullmatch(url)
        if found is None or "?" in url or "#" in url:
            raise RequestError(
                f"the URL {_shown(url)!r} has a query, which may be a secret",
                hint="leave it out; the server has its own credentials",
            )
        if not self._on_site(found):
            raise _denied(url)

    def _on_site(self, url: re.Match[str]) -> bool:
        scheme, host, path = url["scheme"].lower(), url["host"].lower(), url["path"]
        plain = unquote(unquote(path))
        if "@" in host or "\\" in plain or {".", ".."} & set(plain.split("/")):
            return False
        return any(site.holds(scheme, host, path) for site in self.sites)

    def _inside(self, place: Path) -> bool:
        try:
            real = place.resolve()
        except (OSError, RuntimeError):  # a loop of links
            return False
        return any(real.is_relative_to(folder) for folder in self.folders)


def _denied(name: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"this server may not read {_shown(name)!r}",
        hint="ask for files below its roots; whoever runs it adds them with --root",
    )


def _shown(name: str) -> str:
    """Return a name without what may be a secret in it."""
    return re.sub(r"(?<=://)[^/@]*@", "", name).partition("?")[0][:200]
