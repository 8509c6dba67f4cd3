"""Who is asking: bearer tokens, compared in constant time, each with a name.

A client sends ``authorization: Bearer TOKEN`` with each call. Clients that only
know user and password send ``Basic`` with the token as the password, and get
the bearer header back.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from pyarrow import flight

from sxdask.api.remote.protocol import TOKEN_VARIABLE, encode_error, line_of
from sxdask.core.errors import AccessDeniedError, FileMissingError, NotAuthorizedError, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

LEAST_TOKEN_LENGTH: Final = 16
MIDDLEWARE: Final = "sxdask-auth"
_LINE: Final = re.compile(r"(?:(?P<name>[\w.@-]+)[\s:=]+)?(?P<token>\S+)")


class Tokens:
    """Tokens by the names of their holders; without any, everybody may ask.

    Raises
    ------
    RequestError
        If a token is so short that it can be guessed.
    """

    def __init__(self, tokens: Mapping[str, str]) -> None:
        for name, token in tokens.items():
            if len(token) < LEAST_TOKEN_LENGTH:
                raise RequestError(
                    f"the token {name!r} has fewer than {LEAST_TOKEN_LENGTH} characters",
                    hint="make one with: python -c 'import secrets; print(secrets.token_hex(32))'",
                )
        self._digests = {name: _digest(token) for name, token in tokens.items()}

    def __len__(self) -> int:
        return len(self._digests)

    def name_of(self, token: str) -> str | None:
        """Return whose token it is. All are compared, so that the time says nothing."""
        digest, found = _digest(token), None
        for name, known in self._digests.items():
            if hmac.compare_digest(digest, known):
                found = name
        return found


def read_tokens(file: Path | None, environ: Mapping[str, str]) -> Tokens:
    """Return the tokens in `file`, a line each (``name token``), and in the environment.

    Raises
    ------
    RequestError
        If the file has no token, or a name twice.
    FileMissingError, AccessDeniedError
        If it cannot be read.
    """
    found: dict[str, str] = {}
    if file is not None:
        found = _tokens_in(file)
        if not found:
            raise RequestError(f"there is no token in {str(file)!r}", hint="write: name token")
    if alone := environ.get(TOKEN_VARIABLE, "").strip():
        found.setdefault("environment", alone)
    return Tokens(found)


def read_secret_file(file: Path) -> bytes:
    """Return what a file with a secret holds.

    Raises
    ------
    FileMissingError, AccessDeniedError
        If it cannot be read.
    """
    try:
        return file.read_bytes()
    except PermissionError:
        raise AccessDeniedError(f"{str(file)!r} may not be read", hint="check its mode") from None
    except OSError as error:
        raise FileMissingError(
            f"{str(file)!r} cannot be read: {error.strerror}", hint="check the name"
        ) from None


def _tokens_in(file: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    text = read_secret_file(file).decode(errors="replace")
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        hit = _LINE.fullmatch(line.strip())
        name = (hit and hit["name"]) or f"line-{number}"
        if hit is None or name in found:
            # The line itself is a secret.
            problem = "is no token" if hit is None else f"names {name!r} again"
            raise RequestError(
                f"line {number} of {str(file)!r} {problem}", hint="write: name token"
            )
        found[name] = hit["token"]
    return found


class Caller(flight.ServerMiddleware):  # type: ignore[misc]
    """Who made this call; clients that came with a password get the bearer header."""

    def __init__(self, name: str, answer: dict[str, str]) -> None:
        super().__init__()
        self.name = name
        self._answer = answer

    def sending_headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        return self._answer


class Gate(flight.ServerMiddlewareFactory):  # type: ignore[misc]
    """Let a call in, or refuse it before its handler runs."""

    def __init__(self, tokens: Tokens) -> None:
        super().__init__()
        self._tokens = tokens

    def start_call(self, info: Any, headers: Mapping[str, list[Any]]) -> Caller:  # noqa: ARG002
        """Return the caller.

        Raises
        ------
        flight.FlightUnauthenticatedError
            If the call has no token that is known.
        """
        if not len(self._tokens):
            return Caller("", {})
        given = next((item for key, item in headers.items() if key.lower() == "authorization"), [])
        token, basic = _token_in(str(given[0]) if given else "")
        name = self._tokens.name_of(token) if token else None
        if name is None:
            problem = "the token is not known" if token else "the call has no token"
            error = NotAuthorizedError(
                f"{problem} to this server",
                hint=f"connect with token=, set {TOKEN_VARIABLE}, or send it with each call as"
                " a bearer token in the header 'authorization'",
                token="refused",  # noqa: S106  a fact of the error, no token
            )
            raise flight.FlightUnauthenticatedError(line_of(error), encode_error(error))
        return Caller(name, {"authorization": f"Bearer {token}"} if basic else {})


class OpenDoor(flight.ServerAuthHandler):  # type: ignore[misc]
    """The handshake of clients with user and password; `Gate` has judged its header already."""

    def authenticate(self, outgoing: Any, incoming: Any) -> None:
        """Take anything."""

    def is_valid(self, token: bytes) -> bytes:  # noqa: ARG002 - the header counts
        """Take anything."""
        return b""


def _token_in(header: str) -> tuple[str, bool]:
    """Return the token of an authorization header, and whether it came as a password."""
    kind, _, value = header.strip().partition(" ")
    if kind.lower() == "bearer":
        return value.strip(), False
    if kind.lower() == "basic":
        try:
            text = base64.b64decode(value.strip(), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            return "", True
        return text.partition(":")[2], True
    return "", False


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
