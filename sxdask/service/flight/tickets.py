"""Tickets: one partition each, described in full, signed so that nobody else can make one.

A ticket holds the request and the place of the partition, and no secret: its
holder may read it. It is good on any server with the same key.
"""

from __future__ import annotations

import hmac
import json
import secrets
import time
import zlib
from dataclasses import asdict, dataclass
from typing import Final

from sxdask.core.errors import NotAuthorizedError, RequestTooLargeError

_MAGIC: Final = b"sxf1"
_MAC_BYTES: Final = 32
_MOST_BYTES: Final = 128 * 1024
_MOST_REQUEST_BYTES: Final = 64 * 1024
LEAST_KEY_BYTES: Final = 32

_AGAIN: Final = "ask for the flight's information again: it has fresh tickets"


@dataclass(frozen=True, slots=True)
class Place:
    """Which partition: of which output, its content key, and its number among the partitions.

    `first_entry` counts the entries of the dataset before the file, on which
    the values of ``Entry$`` depend.
    """

    output: str
    key: str
    index: int
    first_entry: int


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a ticket says: the request (`FlightRequest.canonical`) and the place."""

    request: bytes
    place: Place


class Signer:
    """Make and open tickets with one key; by default a random one, good while this process runs."""

    def __init__(self, key: bytes | None = None, *, ttl_s: float = 86_400) -> None:
        self._key = key or secrets.token_bytes(LEAST_KEY_BYTES)
        self.ttl_s = ttl_s

    def expiry(self) -> float:
        """Return when a ticket that is made now will expire, in seconds since 1970."""
        return time.time() + self.ttl_s

    def packed(self, request: bytes) -> bytes:
        """Return a request as it goes into all of its tickets.

        Raises
        ------
        RequestTooLargeError
            If it is too large to be in every one of them.
        """
        found = zlib.compress(request, 6)
        if len(found) > _MOST_REQUEST_BYTES:
            raise RequestTooLargeError(
                f"the request takes {len(found)} bytes in each ticket, and {_MOST_REQUEST_BYTES}"
                " are allowed",
                hint="name the files by a pattern, or ask for fewer at once",
            )
        return found

    def seal(self, packed: bytes, place: Place, *, owner: str, expires: float) -> bytes:
        """Return the ticket for `place` of the request `packed`, good for `owner` alone."""
        facts = {**asdict(place), "owner": owner, "expires": round(expires)}
        body = json.dumps(facts, separators=(",", ":")).encode() + b"\n" + packed
        return _MAGIC + self._mac(body) + body

    def open(self, data: bytes, *, owner: str) -> Ticket:
        """Return what a ticket says.

        Raises
        ------
        NotAuthorizedError
            If it is none of this server's, has expired, or is another client's.
        """
        mac, body = data[len(_MAGIC) :][:_MAC_BYTES], data[len(_MAGIC) + _MAC_BYTES :]
        known = data.startswith(_MAGIC) and len(data) <= _MOST_BYTES
        # Nothing of a ticket is looked at, or decompressed, before it is known to be ours.
        if not known or not hmac.compare_digest(mac, self._mac(body)):
            raise _refused("the ticket is none of this server's")
        head, _, packed = body.partition(b"\n")
        facts = json.loads(head)
        if facts.pop("expires") < time.time():
            raise _refused("the ticket has expired")
        if facts.pop("owner") != owner:
            raise _refused("the ticket was given to another client")
        return Ticket(zlib.decompress(packed), Place(**facts))

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, _MAGIC + body, "sha256")


def _refused(problem: str) -> NotAuthorizedError:
    return NotAuthorizedError(problem, hint=_AGAIN, ticket="refused")
