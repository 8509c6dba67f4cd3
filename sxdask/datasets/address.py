"""The grammar of a dataset's name: ``[scheme://]path[:tree][?files=N]``.

The tree is what follows ``.root:`` (or ``.root.1:``, ...), the same rule as
uproot's; a host's port and a Windows drive are not mistaken for one.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from sxdask.core.errors import RequestError

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_FILES = re.compile(r"[?&]files=([^&]*)$")
_TREE = re.compile(r"(.+\.root(?:\.[0-9]+)?):(.*)", re.IGNORECASE | re.DOTALL)
_PASSWORD = re.compile(r"[^/@]*:[^/@]+@")


@dataclass(frozen=True, slots=True)
class Address:
    """A dataset's name, taken apart.

    `scheme` is in lower case and empty for a local path; `path` is the local
    path or the whole URL, without tree and ``?files=``; `most` is N.
    """

    scheme: str
    path: str
    tree: str | None = None
    most: int | None = None


def parse_address(text: str) -> Address:
    """Take a dataset's name apart.

    Raises
    ------
    RequestError
        If it is empty, N is no whole number above zero, or a URL carries a password.

    Examples
    --------
    >>> parse_address("root://host:1094//store/a.root:Events?files=3")
    Address(scheme='root', path='root://host:1094//store/a.root', tree='Events', most=3)
    """
    text = text.strip()
    if not text or "\0" in text:
        raise RequestError(
            f"{text!r} names no dataset", hint="give a path, a URL, a glob, a directory or a list"
        )
    most = None
    if found := _FILES.search(text):
        most, text = _count(found[1]), text[: found.start()]
    scheme = _SCHEME.match(text)
    if scheme is None:
        path, tree = _split_tree(text)
        return Address("", path, tree, most)
    rest = text[scheme.end() :]
    if _PASSWORD.match(rest):
        raise RequestError(
            f"the {scheme[1]} URL carries a password",
            hint="give the credentials in the environment of the client and the workers",
        )
    # The tree can only be in the path: a host may well be called x.root:1094.
    begin = scheme.end() + (rest.find("/") if "/" in rest else len(rest))
    path, tree = _split_tree(text[begin:])
    return Address(scheme[1].lower(), text[:begin] + path, tree, most)


def has_magic(address: Address) -> bool:
    """Tell whether the path is a pattern: ``*``, ``?`` or ``[`` in it.

    In a URL of the web a question mark begins the query.
    """
    path = address.path.partition("://")[2].partition("/")[2] if address.scheme else address.path
    signs = "*[" if address.scheme in {"http", "https"} else "*?["
    return any(sign in path for sign in signs)


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
