"""Sessions of the pages: a signed cookie that names a user, and what protects its forms.

The cookie holds no secret of the service; whoever has it is the user, so scripts
cannot read it and it leaves the browser only toward this service. It names the
refresh token's id beside the user: a new token ends the sessions in all other
browsers.
"""

from __future__ import annotations

import hmac
import secrets
import time
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from starlette.middleware.sessions import SessionMiddleware

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from fastapi import FastAPI

    from sxdask.service.database.users import User, Users

    Session = MutableMapping[str, Any]

SESSION_SECONDS: Final = 12 * 3600
CSRF_FIELD: Final = "csrf"


def add_sessions(app: FastAPI, secret: bytes, *, https: bool) -> None:
    """Give the requests of `app` a session, signed with a key made from `secret`.

    With `https` the cookie is ``Secure`` and bound to this very host.
    """
    app.add_middleware(
        SessionMiddleware,
        secret_key=hmac.new(secret, b"sxdask sessions", sha256).hexdigest(),
        session_cookie="__Host-sxdask" if https else "sxdask",
        max_age=SESSION_SECONDS,
        same_site="lax",
        https_only=https,
    )


def is_signed_in(session: Session) -> bool:
    """Tell whether somebody has signed in, who may have no right to anything."""
    return "user" in session


def begin_session(session: Session, user: User) -> None:
    """Let the session be of `user`; nothing of the one before is kept."""
    session.clear()
    session["user"] = user.id
    session["token"] = _digest(user)
    session["since"] = int(time.time())


def end_session(session: Session) -> None:
    """Forget who it was."""
    session.clear()


def user_of(session: Session, users: Users) -> User | None:
    """Return whose session it is; None if nobody's, too old, or ended from elsewhere."""
    user_id, since = session.get("user"), session.get("since", 0)
    if not isinstance(user_id, int) or time.time() - since > SESSION_SECONDS:
        return None
    user = users.get(user_id)
    if user is None or not hmac.compare_digest(str(session.get("token")), _digest(user)):
        return None
    return user


def csrf_token(session: Session) -> str:
    """Return what forms of this session carry, made on first use."""
    token = session.get(CSRF_FIELD)
    if not isinstance(token, str):
        token = session[CSRF_FIELD] = secrets.token_urlsafe(24)
    return token


def is_own_form(session: Session, token: str) -> bool:
    """Tell whether a form with `token` was made for this session."""
    known = session.get(CSRF_FIELD)
    return isinstance(known, str) and hmac.compare_digest(known.encode(), token.encode())


def say(session: Session, text: str, *, good: bool = True) -> None:
    """Keep a sentence for the next page, such as what a form has done."""
    session["said"] = ["good" if good else "bad", text[:300]]


def take_said(session: Session) -> tuple[str, str] | None:
    """Return the sentence that was kept, once."""
    said = session.pop("said", None)
    return None if said is None else (str(said[0]), str(said[1]))


def _digest(user: User) -> str:
    return sha256(user.token_id.encode()).hexdigest()[:24]
