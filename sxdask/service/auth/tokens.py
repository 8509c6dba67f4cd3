"""Tokens of users: a long refresh token that can be revoked, short access tokens made from it."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import Final, Literal

import jwt

from sxdask.core.errors import RequestError

_ALGORITHM: Final = "HS256"
_LEAST_SECRET: Final = 32
ACCESS_SECONDS: Final = 6 * 3600

Kind = Literal["access", "refresh"]


class TokenRefusedError(Exception):
    """A token that is no good; the message may be shown to who sent it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says: the user's id, and the token's own id."""

    user_id: int
    token_id: str


@dataclass(frozen=True, slots=True)
class Tokens:
    """Makes and reads tokens with one secret.

    Raises
    ------
    RequestError
        If the secret is shorter than 32 bytes.
    """

    secret: bytes

    def __post_init__(self) -> None:
        if len(self.secret) < _LEAST_SECRET:
            raise RequestError(
                f"the secret that signs tokens has {len(self.secret)} bytes",
                hint=f"use at least {_LEAST_SECRET} random bytes: openssl rand -hex 32",
            )

    def __repr__(self) -> str:
        return "Tokens(...)"

    def access(self, user_id: int, seconds: int = ACCESS_SECONDS) -> str:
        """Return a token for requests, good for `seconds`."""
        return self._make("access", user_id, uuid.uuid4().hex, seconds)

    def refresh(self, user_id: int, token_id: str, seconds: int | None = None) -> str:
        """Return a token for access tokens; it is good while the user's row has `token_id`."""
        return self._make("refresh", user_id, token_id, seconds)

    def read(self, token: str, kind: Kind) -> Claims:
        """Return what `token` says.

        Raises
        ------
        TokenRefusedError
            If it is not signed by this service, too old, or of the other kind.
        """
        try:
            found = jwt.decode(
                token, self.secret, [_ALGORITHM], options={"require": ["sub", "jti", "type"]}
            )
        except jwt.ExpiredSignatureError as error:
            raise TokenRefusedError("the token has expired") from error
        except jwt.InvalidTokenError as error:
            raise TokenRefusedError("the token is not one of this service") from error
        if found["type"] != kind or not str(found["sub"]).isdecimal():
            raise TokenRefusedError(f"this is not a token for {kind}")
        return Claims(int(found["sub"]), str(found["jti"]))

    def _make(self, kind: Kind, user_id: int, token_id: str, seconds: int | None) -> str:
        now = int(time.time())
        claims = {"sub": str(user_id), "jti": token_id, "type": kind, "iat": now}
        if seconds is not None:
            claims["exp"] = now + seconds
        return jwt.encode(claims, self.secret, _ALGORITHM)
