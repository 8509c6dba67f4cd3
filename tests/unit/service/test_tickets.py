"""Tickets: what they say comes back, and nobody makes or changes one without the key."""

from __future__ import annotations

import json
import random

import pytest

from sxdask.core.errors import NotAuthorizedError, RequestTooLargeError
from sxdask.service.flight.tickets import Place, Signer

KEY = bytes(range(32))
PLACE = Place("", "f00d", 3, 7)
REQUEST = b'{"dataset":"a.root","selection":"x > 1"}'


def ticket(signer: Signer, *, owner: str = "alice", expires: float | None = None) -> bytes:
    moment = signer.expiry() if expires is None else expires
    return signer.seal(signer.packed(REQUEST), PLACE, owner=owner, expires=moment)


def test_a_ticket_says_what_was_put_in() -> None:
    signer = Signer(KEY)
    found = signer.open(ticket(signer), owner="alice")
    assert (found.request, found.place) == (REQUEST, PLACE)


def test_a_server_with_the_same_key_takes_it_and_another_does_not() -> None:
    sealed = ticket(Signer(KEY))
    assert Signer(KEY).open(sealed, owner="alice").place == PLACE
    for other in (Signer(), Signer(b"x" * 32)):
        with pytest.raises(NotAuthorizedError, match="none of this server's"):
            other.open(sealed, owner="alice")


def test_no_byte_of_a_ticket_can_be_changed() -> None:
    signer = Signer(KEY)
    sealed = ticket(signer)
    choose = random.Random(0)  # noqa: S311 - no secret
    for place in range(len(sealed)):
        changed = bytearray(sealed)
        changed[place] ^= choose.randrange(1, 256)
        with pytest.raises(NotAuthorizedError):
            signer.open(bytes(changed), owner="alice")


@pytest.mark.parametrize("data", [b"", b"sxf1", b"\0" * 100, b"sxf1" + b"\0" * 10**6])
def test_what_is_no_ticket_is_refused(data) -> None:
    with pytest.raises(NotAuthorizedError, match="none of this server's"):
        Signer(KEY).open(data, owner="")


def test_it_expires() -> None:
    signer = Signer(KEY)
    with pytest.raises(NotAuthorizedError, match="expired"):
        signer.open(ticket(signer, expires=1_000), owner="alice")


def test_it_is_good_for_one_client_alone() -> None:
    signer = Signer(KEY)
    with pytest.raises(NotAuthorizedError, match="another client"):
        signer.open(ticket(signer, owner="alice"), owner="bob")


def test_it_holds_neither_the_key_nor_more_than_the_request_and_the_place() -> None:
    sealed = ticket(Signer(KEY))
    assert KEY not in sealed
    head = json.loads(sealed[36:].partition(b"\n")[0])
    assert set(head) == {"output", "key", "index", "first_entry", "owner", "expires"}


def test_a_request_that_would_not_fit_is_refused() -> None:
    noise = random.Random(0).randbytes(100_000)  # noqa: S311 - does not compress
    with pytest.raises(RequestTooLargeError, match="in each ticket") as caught:
        Signer(KEY).packed(noise)
    assert "pattern" in str(caught.value.hint)
