"""What both ends of a Flight connection agree on: names of actions, and errors as data.

An error travels twice: as a readable line, for clients of any language, and as
JSON beside it (the status's extra info), from which this library's client
makes the same error again.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

from sxdask.core import errors
from sxdask.core.errors import SxdaskError, SystemFaultError
from sxdask.deliver.part import public_url

TOKEN_VARIABLE: Final = "SXDASK_FLIGHT_TOKEN"  # noqa: S105  the name of a variable
DEFAULT_PORT: Final = 5005

ACTIONS: Final = {
    "explain": "What a request will do, as text. Body: the request.",
    "schema": "Columns of a request's result, as an Arrow IPC schema. Body: the request.",
    "health": "State of the server, as JSON. No body.",
    "cancel": "End the streams that run for a request of yours. Body: the request.",
    "drop": "Forget a request of yours and its cached results. Body: the request.",
}

_MOST_TEXT: Final = 1_500
"""Characters of a message: HTTP/2 headers carry it, and 8 KiB of them in all are safe."""

# Facts that help a user and say nothing of the server beyond the request.
_FACTS: Final = (
    "file",
    "tree",
    "branch",
    "entry_start",
    "entry_stop",
    "output",
    "outputs",
    "sub_query",
    "ticket",
    "transient",
    "cancelled",
)
_CLASSES: Final[dict[str, type[SxdaskError]]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, SxdaskError)
}
_SECRET: Final = re.compile(
    r"""(?P<name>
          (?:authori[sz]ation|authz|token|secret|passw|credential|signature|access_?key|x-amz)
          [\w-]*["']?\s*[=:]\s*["']?(?:(?:bearer|basic)\s+)?
        | \b(?:bearer|basic)\s+)
        [^\s&"',;{}]{6,}
      | (?<=://)[^/@\s]+@""",
    re.IGNORECASE | re.VERBOSE,
)


def line_of(error: SxdaskError) -> str:
    """Return the message of `error` as text for people, without what may be a secret."""
    return _told(str(error))


def encode_error(error: SxdaskError) -> bytes:
    """Return `error` as JSON: code, fault, problem, hint and the facts that may be told."""
    facts = {name: error.context[name] for name in _FACTS if name in error.context}
    facts = {
        name: _told(public_url(value)) if isinstance(value, str) else value
        for name, value in facts.items()
    }
    found = {
        "code": error.code,
        "fault": error.fault,
        "problem": _told(error.problem),
        "hint": _told(error.hint or "") or None,
        "context": json.loads(json.dumps(facts, default=str)),
    }
    text = json.dumps(found).encode()
    return text if len(text) <= 2 * _MOST_TEXT else json.dumps(found | {"context": {}}).encode()


def decode_error(data: bytes) -> SxdaskError | None:
    """Return the error that `encode_error` wrote, or None if `data` is none.

    Examples
    --------
    >>> decode_error(encode_error(SxdaskError("it is broken", hint="mend it")))
    SxdaskError('it is broken')
    """
    try:
        found: dict[str, Any] = json.loads(data)
        kind = _CLASSES.get(found["code"], SystemFaultError)
        context = {str(name): value for name, value in found["context"].items()}
        error = kind.__new__(kind)  # some classes have makers of their own
        SxdaskError.__init__(error, str(found["problem"]), hint=found["hint"], **context)
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return error


def _told(text: str) -> str:
    """Return `text`, not longer than it may be, without what may be a secret."""
    cut = text[:_MOST_TEXT]
    return _SECRET.sub(lambda hit: f"{hit['name']}***" if hit["name"] else "", cut)
