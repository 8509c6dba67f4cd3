"""HTTP for files of users: every connection is looked at when its address is known.

Names are checked before (`sxdask.service.auth.places`), but what a name means
can change after, and a public server may redirect to a private one. The
connector of aiohttp asks for each socket with the address that it will connect
to, redirects and further attempts included; that is where the line is. XRootD
follows redirects inside its own library: what it may reach is for the network
around the workers to say.
"""

from __future__ import annotations

import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from sxdask.service.auth.places import Places, is_public

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import ClientSession


def http_options(places: Places) -> Mapping[str, Any]:
    """Return options of fsspec's ``http`` storage that let it reach what `places` allow."""
    return {"get_client": partial(guarded_client, places.hosts)}


async def guarded_client(hosts: tuple[str, ...], **options: Any) -> ClientSession:
    """Return a session of aiohttp that connects to public addresses and to `hosts` alone."""
    from aiohttp import ClientSession, TCPConnector
    from aiohttp.resolver import ThreadedResolver

    places = Places(hosts=hosts)
    listed: set[tuple[str, int]] = set()

    class Resolver(ThreadedResolver):
        """Remembers the addresses of the names that are listed."""

        async def resolve(self, host: str, port: int = 0, family: Any = socket.AF_INET) -> Any:
            found = await super().resolve(host, port, family)
            if places.allows(host, port):
                listed.update((item["host"], port) for item in found)
            return found

    def make(info: Any) -> socket.socket:
        family, kind, protocol, _, address = info
        host, port = str(address[0]), int(address[1])
        if not is_public(host) and (host, port) not in listed and not places.allows(host, port):
            # An OSError, so that the connector tries the next address of the name.
            raise PermissionError(f"the server is at {host}, which is no public address")
        return socket.socket(family, kind, protocol)

    connector = TCPConnector(socket_factory=make, resolver=Resolver(), use_dns_cache=False)
    return ClientSession(connector=connector, **options)
