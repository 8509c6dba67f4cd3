"""Tokens of users: a long refresh token that can be revoked, short access tokens made from it."""

from __future__ import annotations

import hmac
import time
import uuid
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import jwt

from sxdask.core.errors import RequestError

_ALGORITHM: Final = "HS256"
_ISSUER: Final = "sxdask"
_LEAST_SECRET: Final = 32
ACCESS_SECONDS: Final = 6 * 3600
MAX_TOKEN: Final = 4096
"""Characters of a token that is looked at; those that are made here have a few hundred."""
_MOST_READ: Final = 4096
"""Tokens whose signature is not computed again; clients send theirs with every question."""

_EXPIRED: Final = "the token has expired"

Kind = Literal["access", "refresh"]


class TokenRefusedError(Exception):
    """A token that is no good; the message may be shown to who sent it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says.

    `token_id` is the token's own; `parent` that of the refresh token which an
    access token was made from, so that revoking that one ends both.
    """

    user_id: int
    token_id: str
    parent: str = ""

    def is_of(self, token_id: str) -> bool:
        """Whether the user's refresh token `token_id` is this one, or the one it was made from."""
        known = self.parent or self.token_id
        return bool(token_id) and hmac.compare_digest(known.encode(), token_id.encode())


@dataclass(frozen=True, slots=True)
class Tokens:
    """Makes tokens with one secret, and reads those of this and of earlier secrets.

    To change the secret without signing all users out, keep the old one in
    `previous` until its tokens have been renewed.

    Raises
    ------
    RequestError
        If a secret is shorter than 32 bytes.
    """

    secret: bytes
    previous: tuple[bytes, ...] = ()
    _read: OrderedDict[tuple[Kind, str], dict[str, Any]] = field(
        default_factory=OrderedDict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        for secret in (self.secret, *self.previous):
            if len(secret) < _LEAST_SECRET:
                raise RequestError(
                    f"a secret that signs tokens has {len(secret)} bytes",
                    hint=f"use at least {_LEAST_SECRET} random bytes: openssl rand -hex 32",
                )

    def __repr__(self) -> str:
        return "Tokens(...)"

    def access(self, user_id: int, seconds: int = ACCESS_SECONDS, *, parent: str = "") -> str:
        """Return a token for requests, good for `seconds` and while `parent` is."""
        more = {"parent": parent} if parent else {}
        return self._make("access", user_id, uuid.uuid4().hex, seconds, more)

    def refresh(self, user_id: int, token_id: str, seconds: int | None = None) -> str:
        """Return a token for access tokens; it is good while the user's row has `token_id`."""
        return self._make("refresh", user_id, token_id, seconds, {})

    def read(self, token: str, kind: Kind) -> Claims:
        """Return what `token` says.

        Raises
        ------
        TokenRefusedError
            If it is not signed by this service, too old, or of the other kind.
        """
        found = self._read.get((kind, token))
        if found is None:
            found = self._verified(token, kind)
        elif found.get("exp", float("inf")) <= time.time():
            raise TokenRefusedError(_EXPIRED)
        if found["type"] != kind or not str(found["sub"]).isdecimal():
            raise TokenRefusedError(f"this is not a token for {kind}")
        self._keep((kind, token), found)
        return Claims(int(found["sub"]), str(found["jti"]), str(found.get("parent", "")))

    def _keep(self, token: tuple[Kind, str], found: dict[str, Any]) -> None:
        self._read[token] = found  # of an ordered dict each of these steps is whole in every thread
        while len(self._read) > _MOST_READ:
            self._read.popitem(last=False)

    def _verified(self, token: str, kind: Kind) -> dict[str, Any]:
        required = ["sub", "jti", "type", "iat"] + (["exp"] if kind == "access" else [])
        for secret in (self.secret, *self.previous) if len(token) <= MAX_TOKEN else ():
            try:
                return dict(
                    jwt.decode(
                        token, secret, [_ALGORITHM], issuer=_ISSUER, options={"require": required}
                    )
                )
            except jwt.ExpiredSignatureError as error:
                raise TokenRefusedError(_EXPIRED) from error
            except jwt.InvalidTokenError:
                continue
        raise TokenRefusedError("the token is not one of this service")

    def _make(
        self, kind: Kind, user_id: int, token_id: str, seconds: int | None, more: dict[str, Any]
    ) -> str:
        now = int(time.time())
        claims = {"iss": _ISSUER, "sub": str(user_id), "jti": token_id, "type": kind, "iat": now}
        if seconds is not None:
            claims["exp"] = now + seconds
        return jwt.encode(claims | more, self.secret, _ALGORITHM)
