"""Where users may let the service read: public hosts, and what the operator adds by name.

Users name files, and workers fetch them from inside the operator's network. So
local names count only below directories that were configured, S3 only below
configured prefixes (workers hold credentials there that users do not have), and
hosts only if they are public, or on the operator's list. A name is resolved
here, because ``http://2130706433/`` and a DNS entry of anybody can mean this
machine; `Places.require_open` does it again right before a file is opened, and
`sxdask.service.auth.guarded` looks at the address of every connection.
"""

from __future__ import annotations

import re
import socket
import unicodedata
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from sxdask.core.errors import AccessDeniedError, ReadFailedError, RequestError
from sxdask.service.flight.roots import Roots

if TYPE_CHECKING:
    from collections.abc import Iterable

REMOTE: Final = frozenset({"http", "https", "root", "roots"})
"""Schemes of files on hosts. All others are read only below configured prefixes."""

MAX_NAME: Final = 8_192
MAX_HOSTS: Final = 200
"""Hosts that the files of one request may be on: each costs a question to DNS."""

RESOLVE_SECONDS: Final = 5.0
"""How long name servers may take for all hosts of a request."""

_URL: Final = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<host>[^/?#]*)(?P<path>.*)")
_HOST: Final = re.compile(
    r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?)(?::(?P<port>\d{1,5}))?"
)
_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_NAT64: Final = 0x0064FF9B << 96


def plain(text: str, what: str) -> str:
    """Return `text` if all of it can be seen: no control, direction or half characters.

    Raises
    ------
    RequestError
        If a log, a page or a terminal would show something else than there is.
    """
    for sign in text:
        if unicodedata.category(sign) in _HIDDEN:
            raise RequestError(
                f"{what} has the character U+{ord(sign):04X}, which cannot be seen",
                hint="leave it out",
            )
    return text


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public Internet.

    IPv4 addresses that are written in or reached through IPv6 count as what
    they are.

    Examples
    --------
    >>> [is_public(item) for item in ("188.184.21.108", "169.254.169.254", "::ffff:127.0.0.1")]
    [True, False, False]
    """
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if inner is None and found.teredo is not None:
            return False
        if inner is None and int(found) >> 32 == _NAT64 >> 32:
            return is_public(str(ip_address(int(found) & 0xFFFFFFFF)))
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast


def addresses_of(host: str) -> list[str]:
    """Return the addresses that `host` has now, none if it has no name.

    Examples
    --------
    >>> addresses_of("2130706433")
    ['127.0.0.1']
    """
    try:
        found = socket.getaddrinfo(host.strip("[]").rstrip("."), None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return []
    return sorted({str(item[4][0]) for item in found})


@dataclass(frozen=True)
class Places:
    """Where files may be read.

    Attributes
    ----------
    roots
        Directories and prefixes of URLs below which all may be read, as
        `sxdask.service.flight.roots.Roots` takes them.
    hosts
        Hosts that may be read though they are not public: names, addresses or
        patterns (``*.cern.ch``), with ``:PORT`` to mean that port alone.
    """

    roots: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()

    @cached_property
    def _roots(self) -> Roots:
        return Roots(self.roots)

    def placed(self, names: Iterable[str]) -> list[str]:
        """Return names of files as they may be opened, each looked at and each host resolved.

        Raises
        ------
        RequestError
            If a name is malformed, or files are on too many hosts.
        AccessDeniedError
            If a name leads where users may not read.
        """
        found: list[str] = []
        hosts: dict[str, str] = {}
        for name in names:
            place, host = self._read(name)
            found.append(place)
            if host and host not in hosts:
                hosts[host] = name
                if len(hosts) > MAX_HOSTS:
                    raise RequestError(
                        f"the files are on more than {MAX_HOSTS} hosts", hint="submit it in parts"
                    )
        self._require_public(hosts)
        return found

    def require_open(self, name: str) -> None:
        """Check one file right before it is opened.

        Raises
        ------
        RequestError, AccessDeniedError
            As `placed` does; local names also where their links lead.
        ReadFailedError
            If its host has no address now: what it has later is not looked at.
        """
        place, host = self._read(name)
        if host:
            if not self._require_public({host: name})[host]:
                raise ReadFailedError(
                    f"the host of {shown(name)!r} has no address",
                    hint="check its name; a name server may not answer",
                    transient=True,
                )
        elif "://" not in place:
            self._roots.require(place)

    def allows(self, host: str, port: int | None = None) -> bool:
        """Return whether the operator lists a host, or a host with this port."""
        host = host.strip("[]").rstrip(".").lower()
        for pattern in self.hosts:
            wanted, colon, number = pattern.lower().rpartition(":")
            if not colon or not number.isdecimal():
                wanted, number = pattern.lower(), ""
            if fnmatchcase(host, wanted.strip("[]")) and (not number or number == str(port)):
                return True
        return False

    def _read(self, name: str) -> tuple[str, str]:
        """Return the name to open, and the host to look at if there is one."""
        if not name or len(name) > MAX_NAME:
            raise RequestError(
                f"the name of a file has {len(name)} characters", hint="name a file by its URL"
            )
        plain(name, "the name of a file")
        url = _URL.fullmatch(name)
        scheme = url["scheme"].lower() if url else ""
        if url is None or scheme not in REMOTE:
            return self._below_roots(name, scheme), ""
        host = _HOST.fullmatch(url["host"])
        if host is None or int(host["port"] or 0) > 65_535:
            raise RequestError(
                f"the URL {shown(name)!r} has no proper host", hint="write scheme://host/path"
            )
        path = unquote(unquote(url["path"]))
        if "#" in path or "\\" in path or "::" in path or ".." in path.split("?")[0].split("/"):
            raise _denied(name, "has '..', '#', '::' or a backslash in it")
        port = int(host["port"]) if host["port"] else None
        return name, "" if self.allows(host["host"], port) else host["host"].lower()

    def _below_roots(self, name: str, scheme: str) -> str:
        if not scheme and not name.startswith("/"):
            raise RequestError(
                f"{shown(name)!r} is no URL", hint="name files as root://host//path/file.root"
            )
        try:
            placed = self._roots.placed(name)
        except AccessDeniedError as error:
            raise _denied(name, "is not below a place that the operator opened") from error
        return str(placed)

    def _require_public(self, hosts: dict[str, str]) -> dict[str, list[str]]:
        found = _resolved(hosts)
        for host, addresses in found.items():
            if not all(map(is_public, addresses)):
                raise _denied(hosts[host], f"leads to {host}, which is no public address")
        return found


def _resolved(hosts: Iterable[str]) -> dict[str, list[str]]:
    """Return the addresses of hosts, none of one whose name server does not answer soon.

    Such a name is looked at again by the worker that opens it; here it must not
    hold a thread of the service.
    """
    asked = {host: _resolvers().submit(addresses_of, host) for host in hosts}
    wait(asked.values(), timeout=RESOLVE_SECONDS)
    found = {}
    for host, answer in asked.items():
        answer.cancel()
        found[host] = answer.result() if answer.done() and not answer.cancelled() else []
    return found


@cache
def _resolvers() -> ThreadPoolExecutor:
    """Return the threads that ask name servers, the same for all requests."""
    return ThreadPoolExecutor(16, thread_name_prefix="sxdask-names")


def shown(name: str) -> str:
    """Return a name without what may be a secret in it, short enough for a line."""
    return re.sub(r"(?<=://)[^/@]*@", "", name).partition("?")[0][:200]


def _denied(name: str, why: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"{shown(name)!r} may not be read here: it {why}",
        hint="use a public URL, or ask the operator to allow the host or the folder",
    )
