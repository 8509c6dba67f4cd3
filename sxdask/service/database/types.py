"""Types of columns that hold the same in SQLite and in PostgreSQL."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, DateTime, Integer, String, Text, TypeDecorator

# SQLite counts rows by itself only in a column that is called INTEGER.
NUMBER: Final = BigInteger().with_variant(Integer, "sqlite")

# PostgreSQL takes no NUL; neither database half a pair of UTF-16, as JSON may bring it.
_NO_TEXT: Final = re.compile("[\x00\ud800-\udfff]")


class Utc(TypeDecorator[datetime]):
    """Times with zone outside, UTC without zone in the database, to the microsecond."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return what is stored."""
        del dialect
        if value is None:
            return None
        try:
            return value.astimezone(UTC).replace(tzinfo=None)
        except OverflowError:  # the first or last day there is, in another zone
            return datetime.min if value.year == 1 else datetime.max  # noqa: DTZ901  as stored

    def process_result_value(self, value: datetime | None, dialect: Any) -> datetime | None:
        """Return what was stored."""
        del dialect
        return None if value is None else value.replace(tzinfo=UTC)


def storable(value: str) -> str:
    """Return `value` with a mark in place of each character that a database refuses."""
    return _NO_TEXT.sub("\ufffd", value)


class LongText(TypeDecorator[str]):
    """Text of any length, whatever it holds."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Return what is stored."""
        del dialect
        return None if value is None else storable(value)


class ShortText(TypeDecorator[str]):
    """Text of a limited length, whatever it holds."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Any) -> str | None:
        """Return what is stored."""
        del dialect
        return None if value is None else storable(value)
