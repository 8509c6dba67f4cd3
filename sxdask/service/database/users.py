"""Users in the database."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from sxdask.core.errors import RequestError
from sxdask.service.database.connect import reading, writing
from sxdask.service.database.tables import USERS

if TYPE_CHECKING:
    from sqlalchemy import Row


_KNOWN_SECONDS: Final = 1.0
_MOST_KNOWN: Final = 10_000


@dataclass(frozen=True, slots=True)
class User:
    """A user. `subject` is who the login says it is; `token_id` is of the good refresh token."""

    id: int
    subject: str
    name: str
    email: str
    institution: str
    experiment: str
    admin: bool
    pending: bool
    token_id: str
    created: datetime


class Users:
    """The users of the service; every method is one transaction."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._known: dict[int, tuple[float, object, User]] = {}
        self._state = object()  # another one after each change

    def add(self, subject: str, *, admin: bool = False, pending: bool = True, **who: str) -> User:
        """Add a user; `who` may have name, email, institution and experiment.

        Raises
        ------
        RequestError
            If there is one with this subject.
        """
        values: dict[str, Any] = {
            "subject": subject,
            "admin": admin,
            "pending": pending,
            "token_id": uuid.uuid4().hex,
            "created": datetime.now(UTC),
            **who,
        }
        try:
            with writing(self.engine) as connection:
                connection.execute(insert(USERS).values(**values))
                return _user(
                    connection.execute(select(USERS).where(USERS.c.subject == subject)).one()
                )
        except IntegrityError as error:
            raise RequestError(f"there is a user {subject!r} already") from error

    def get(self, user_id: int) -> User | None:
        """Return a user."""
        state, now = self._state, time.monotonic()
        found = self._one(USERS.c.id == user_id)
        if found is not None:
            if len(self._known) >= _MOST_KNOWN:
                self._known.clear()
            self._known[user_id] = now, state, found
        return found

    def known(self, user_id: int) -> User | None:
        """Return a user that `get` gave within the last second, None otherwise; no question.

        What is changed here is seen at once, what another process changes a second later.
        """
        read, state, found = self._known.get(user_id, (0.0, None, None))
        is_lately = time.monotonic() - read < _KNOWN_SECONDS
        return found if is_lately and state is self._state else None

    def by_subject(self, subject: str) -> User | None:
        """Return the user that a login names."""
        return self._one(USERS.c.subject == subject)

    def by_email(self, email: str) -> User | None:
        """Return a user with this address."""
        return self._one(USERS.c.email == email)

    def all(self, *, pending: bool | None = None) -> list[User]:
        """Return users, the oldest first."""
        query = select(USERS).order_by(USERS.c.id)
        if pending is not None:
            query = query.where(USERS.c.pending == pending)
        with reading(self.engine) as connection:
            return [_user(row) for row in connection.execute(query)]

    def approve(self, user_id: int) -> None:
        """Let a user in."""
        self._set(user_id, pending=False)

    def make_admin(self, user_id: int) -> None:
        """Let a user administrate."""
        self._set(user_id, admin=True)

    def describe(self, user_id: int, **who: str) -> None:
        """Change name, email, institution or experiment."""
        self._set(user_id, **who)

    def renew_token(self, user_id: int) -> str:
        """Make the refresh token that is out worthless; return the id of the next one."""
        token_id = uuid.uuid4().hex
        self._set(user_id, token_id=token_id)
        return token_id

    def remove(self, user_id: int) -> bool:
        """Remove a user; what she asked for stays. False if there is none."""
        with writing(self.engine) as connection:
            done = connection.execute(delete(USERS).where(USERS.c.id == user_id))
        self._state = object()
        return done.rowcount > 0

    def _set(self, user_id: int, **values: Any) -> None:
        with writing(self.engine) as connection:
            done = connection.execute(update(USERS).where(USERS.c.id == user_id).values(**values))
            if not done.rowcount:
                raise RequestError(f"there is no user {user_id}")
        self._state = object()

    def _one(self, condition: Any) -> User | None:
        with reading(self.engine) as connection:
            row = connection.execute(select(USERS).where(condition)).first()
            return None if row is None else _user(row)


def _user(row: Row[Any]) -> User:
    return User(**{name: getattr(row, name) for name in User.__dataclass_fields__})
