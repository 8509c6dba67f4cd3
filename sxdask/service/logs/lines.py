"""A record of logging as one line of JSON: facts with names, no secrets, no line breaks.

Who is asking and for what is not written by each call: `facts` sets it around a
request, and every line that is logged inside has it.
"""

from __future__ import annotations

import json
import logging
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

MAX_TEXT: Final = 4_000
"""Characters of one value; the end of a longer one is cut off."""

_OWN: Final = frozenset(
    vars(logging.LogRecord("", 0, "", 0, "", None, None)) | {"message": 0, "asctime": 0}
) | {"taskName"}
_FACTS: Final[ContextVar[Mapping[str, Any]]] = ContextVar("sxdask_facts")


@contextmanager
def facts(**known: Any) -> Iterator[None]:
    """Add facts, such as ``request`` or ``transform``, to all lines that are logged inside."""
    token = _FACTS.set({**_FACTS.get({}), **known})
    try:
        yield
    finally:
        _FACTS.reset(token)


def known_facts(record: logging.LogRecord) -> dict[str, Any]:
    """Return the facts of a record: those around it, and those given with ``extra=``."""
    own = {name: value for name, value in vars(record).items() if name not in _OWN}
    return {**_FACTS.get({}), **own}


class JsonLines(logging.Formatter):
    """Formats records; all texts pass `redact`, so that no handler can leave it out."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without a line break."""
        try:
            message = record.getMessage()
        except (TypeError, ValueError):  # arguments that do not fit must not end a request
            message = str(record.msg)
        found: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._text(message),
        }
        for name, value in known_facts(record).items():
            found.setdefault(name, self._value(value))
        if record.exc_info and record.exc_info[0] is not None:
            # the end of a traceback is what happened
            found["traceback"] = self._redact(self.formatException(record.exc_info))[-MAX_TEXT:]
        return json.dumps(found)

    def _value(self, value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        return self._text(str(value))

    def _text(self, text: str) -> str:
        return self._redact(text[: 4 * MAX_TEXT])[:MAX_TEXT]
