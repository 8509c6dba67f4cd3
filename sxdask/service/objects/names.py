"""Names that become folders, buckets and keys: checked, whoever made them."""

from __future__ import annotations

import re
from typing import Final

from sxdask.core.errors import RequestError

# S3 wants bucket names in lower case; request ids are UUIDs.
_REQUEST_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LONGEST_NAME: Final = 1024  # bytes of a key of S3


def require_request_id(text: str) -> str:
    """Return `text` if it is a request id: nothing else leads to a folder or a bucket.

    Raises
    ------
    RequestError
        If it is none.
    """
    if not _REQUEST_ID.fullmatch(text):
        raise RequestError(f"{text[:60]!r} is no id of a transform", hint="ask for its list")
    return text


def require_flat(name: str) -> str:
    """Return `name` if it is of one object: no folders, no control characters.

    Raises
    ------
    RequestError
        If it is not.
    """
    plain = name.isprintable() and not set("/\\") & set(name) and not name.startswith(".")
    if not (plain and 0 < len(name.encode()) <= _LONGEST_NAME):
        raise RequestError(f"{name[:60]!r} is no name of a result", hint="take those of /results")
    return name
