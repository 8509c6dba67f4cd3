"""Login with any OpenID Connect provider, named by the URL of its metadata.

The authorization code flow with state, nonce and PKCE, as authlib does it; what
belongs to one login is kept in the browser's session. Nothing of the provider's
tokens is kept.
"""

from __future__ import annotations

import logging
import warnings
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, cast

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from sxdask.service.database.users import User, Users

_LOG: Final = logging.getLogger(__name__)
_SECONDS: Final = 20.0


class LoginError(Exception):
    """A login that did not succeed; the message may be shown to who tried."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a provider says it is. `subject` is unique over providers.

    `email` is for contact; only one that is `verified` says who it is.
    """

    subject: str
    name: str = ""
    email: str = ""
    verified: bool = False


@dataclass(frozen=True, slots=True)
class Admission:
    """Who is let in at the first login, and who administrates; all others wait.

    Entries of `admins` and `approved` are subjects, verified addresses of
    email, or ``@`` and the domain of one.
    """

    admins: frozenset[str] = frozenset()
    approved: frozenset[str] = frozenset()
    approve_all: bool = False

    def is_admin(self, who: Identity) -> bool:
        """Tell whether `who` administrates the service."""
        return bool(_names(who) & self.admins)

    def is_approved(self, who: Identity) -> bool:
        """Tell whether `who` may use the service without being asked for."""
        return self.approve_all or bool(_names(who) & (self.approved | self.admins))


@dataclass(frozen=True, slots=True)
class Oidc:
    """One provider and this service as its client.

    Parameters
    ----------
    metadata_url
        Such as ``https://auth.example.org/.well-known/openid-configuration``.
    client_id, client_secret
        What the provider knows this service as; a public client has no secret.
    scopes
        What is asked for.
    admission
        Who need not wait for approval.
    """

    metadata_url: str
    client_id: str
    client_secret: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    admission: Admission = field(default_factory=Admission)
    _made: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)

    async def begin(self, request: Request, callback: str) -> Response:
        """Return the redirect to the provider, which leads back to the URL `callback`.

        Raises
        ------
        LoginError
            If the provider does not answer.
        """
        from httpx import HTTPError

        try:
            return cast("Response", await self._client().authorize_redirect(request, callback))
        except (HTTPError, ValueError, RuntimeError) as error:
            raise self._unreachable(error) from error

    async def finish(self, request: Request) -> Identity:
        """Return who came back from the provider with `request`.

        Raises
        ------
        LoginError
            If the login was refused, belongs to another browser, is too old, or
            the provider's answer is not signed by it for this service.
        """
        from httpx import HTTPError

        try:
            token = await self._client().authorize_access_token(request)
            claims: Mapping[str, Any] | None = token.get("userinfo")
            if claims is not None:
                return _identity(claims)
        except HTTPError as error:
            raise self._unreachable(error) from error
        except Exception as error:  # whatever came back, it is no login
            _LOG.warning("a login was refused: %s", type(error).__name__)
            raise LoginError("the login did not succeed; begin it again") from error
        raise LoginError("the provider did not say who you are; its operator can help")

    def _client(self) -> Any:
        if "client" not in self._made:
            with warnings.catch_warnings(record=True):  # of what authlib plans; no operator's work
                from authlib.integrations.starlette_client import OAuth

            self._made["client"] = OAuth().register(
                "login",
                client_id=self.client_id,
                client_secret=self.client_secret,
                server_metadata_url=self.metadata_url,
                client_kwargs={
                    "scope": " ".join(self.scopes),
                    "code_challenge_method": "S256",
                    "timeout": _SECONDS,
                },
            )
        return self._made["client"]

    def _unreachable(self, error: Exception) -> LoginError:
        _LOG.error("the login provider does not answer as it should: %s", type(error).__name__)
        return LoginError("the login provider does not answer; try again later")


def admit(users: Users, who: Identity, admission: Admission) -> User:
    """Return the user that `who` is, made at the first login.

    One who waits is let in as soon as `admission` says so; nobody loses what an
    administrator gave.
    """
    user = users.by_subject(who.subject)
    if user is None:
        return users.add(
            who.subject,
            admin=admission.is_admin(who),
            pending=not admission.is_approved(who),
            name=who.name,
            email=who.email,
        )
    if user.pending and admission.is_approved(who):
        users.approve(user.id)
    if not user.admin and admission.is_admin(who):
        users.make_admin(user.id)
    return users.get(user.id) or user


def _identity(claims: Mapping[str, Any]) -> Identity:
    email = str(claims.get("email") or "")[:320]
    subject = f"{claims['iss']} {claims['sub']}"
    if len(subject) > 255:  # the column's width; cut off, two of them could be one user
        subject = sha256(subject.encode()).hexdigest()
    name = claims.get("name") or claims.get("preferred_username") or email.partition("@")[0]
    return Identity(
        subject=subject,
        name=str(name)[:255],
        email=email,
        verified=claims.get("email_verified") is True,
    )


def _names(who: Identity) -> set[str]:
    found = {who.subject}
    if who.verified and "@" in who.email:
        email = who.email.lower()
        found |= {email, f"@{email.rpartition('@')[2]}"}
    return found
