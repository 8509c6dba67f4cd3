"""The grammar of a dataset's name: ``[scheme://]path[:tree][?files=N][&get=available]``.

The tree is what follows ``.root:`` (or ``.root.1:``, ...), the same rule as
uproot's; a host's port and a Windows drive are not mistaken for one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from sxdask.core.errors import RequestError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_OPTION = re.compile(r"[?&](files|get)=([^&]*)$")
# Options that an address of the web or of this machine has itself.
_NOT_OURS = {"": {"get"}, "file": {"get"}, "http": {"get"}, "https": {"get"}}
_TREE = re.compile(r"(.+\.root(?:\.[0-9]+)?):(.*)", re.IGNORECASE | re.DOTALL)
_PASSWORD = re.compile(r"[^/@]*:[^/@]+@")


@dataclass(frozen=True, slots=True)
class Address:
    """A dataset's name, taken apart.

    `scheme` is in lower case and empty for a local path; `path` is the local
    path or the whole URL, without tree and ``?files=``; `most` is N. With
    `only_available` a catalogue leaves out files that lie nowhere where they
    can be read now, which are an error otherwise.
    """

    scheme: str
    path: str
    tree: str | None = None
    most: int | None = None
    only_available: bool = False

    @property
    def name(self) -> str:
        """What follows the scheme."""
        return self.path.partition("://")[2] if self.scheme else self.path


def parse_address(text: str) -> Address:
    """Take a dataset's name apart.

    Raises
    ------
    RequestError
        If it is empty, N is no whole number above zero, ``get`` is neither ``all``
        nor ``available``, or a URL carries a password.

    Examples
    --------
    >>> found = parse_address("root://host:1094//store/a.root:Events?files=3")
    >>> found.path, found.tree, found.most
    ('root://host:1094//store/a.root', 'Events', 3)
    """
    text = text.strip()
    if not text or "\0" in text:
        raise RequestError(
            f"{text!r} names no dataset", hint="give a path, a URL, a glob, a directory or a list"
        )
    scheme = _SCHEME.match(text)
    kind = scheme[1].lower() if scheme else ""
    text, most, only_available = _split_options(text, kind)
    if scheme is None:
        path, tree = _split_tree(text)
        return Address("", path, tree, most)
    rest = text[scheme.end() :]
    if _PASSWORD.match(rest):
        raise RequestError(
            f"the {scheme[1]} URL carries a password",
            hint="give the credentials in the environment of the client and the workers",
        )
    begin = scheme.end()
    if inner := _SCHEME.match(rest):  # xrootd://root://host//path
        begin, rest = begin + inner.end(), rest[inner.end() :]
    # The tree can only be in the path: a host may well be called x.root:1094.
    begin += rest.find("/") if "/" in rest else len(rest)
    path, tree = _split_tree(text[begin:])
    return Address(kind, text[:begin] + path, tree, most, only_available)


def has_magic(address: Address) -> bool:
    """Tell whether the path is a pattern: ``*``, ``?`` or ``[`` in it.

    In a URL of the web a question mark begins the query.
    """
    path = address.path.partition("://")[2].partition("/")[2] if address.scheme else address.path
    signs = "*[" if address.scheme in {"http", "https"} else "*?["
    return any(sign in path for sign in signs)


def _split_options(text: str, scheme: str) -> tuple[str, int | None, bool]:
    """Take ``files`` and ``get`` from the end of `text`."""
    given: dict[str, str] = {}
    while found := _OPTION.search(text):
        name, value = found[1], found[2]
        if name in _NOT_OURS.get(scheme, ()) or name in given:
            break
        given[name], text = value, text[: found.start()]
    get = given.get("get", "all")
    if get not in {"all", "available"}:
        raise RequestError(
            f"'?get={get}' must be all or available",
            hint="leave it out to have all files, or an error where some cannot be had",
        )
    most = _count(given["files"]) if "files" in given else None
    return text, most, get == "available"


def _split_tree(text: str) -> tuple[str, str | None]:
    found = _TREE.fullmatch(text)
    if found is None or os.path.lexists(text):  # a file may have a colon in its name
        return text, None
    return found[1], re.sub(r"/+", "/", found[2]).strip("/ ") or None


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise RequestError(
            f"'?files={text}' does not say how many files", hint="use a whole number above zero"
        )
    return int(text)
