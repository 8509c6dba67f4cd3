"""The one way to a storage: no secrets in its options, timeouts that end, logs without tokens.

Options of a storage travel to workers inside the graph, lie on the scheduler
and are printed by whoever prints a task, so no credential is accepted in
them. Workers find credentials by name: in their environment, or in a profile
of the files that every S3 program reads.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from sxdask.core.errors import RequestError

# Names that fsspec's storages give their credentials (key, secret and token of s3fs,
# client_kwargs of botocore, headers and auth of aiohttp, keys of encryption).
_SECRET = re.compile(
    r"key|username|auth|cookies?"
    r"|.*(secret|token|passw|credential|authorization|access_key|account_key|customerkey).*",
    re.IGNORECASE,
)
_S3 = ("s3://", "s3a://")

# A server that stalls is given up after this; botocore alone would wait for minutes, several
# times. Checksums of the SDK are sent where an operation needs them: servers other than AWS's
# do not know all of them, and uploads carry an MD5 of ours.
_CONFIG: Mapping[str, Any] = {
    "connect_timeout": 10,
    "read_timeout": 30,
    "retries": {"mode": "standard", "total_max_attempts": 4},
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}

# Those that print signed requests at the level DEBUG: session tokens, and signatures with which
# the same request could be made again for a quarter of an hour.
_TALKATIVE = ("botocore.auth", "botocore.endpoint", "aiobotocore.endpoint")
_SIGNED = (
    re.compile(r"(security-token'?\"?\s*[:=]\s*b?['\"]?)[^'\"\s,}]+", re.IGNORECASE),
    re.compile(r"(AWS4-HMAC-SHA256 )Credential=[^'\"]*"),
    re.compile(r"^(Signature:\s+)\w+"),
)


def refuse_secrets(options: Mapping[str, Any], place: str = "storage_options") -> None:
    """Check that options of a storage hold no credential.

    Raises
    ------
    RequestError
        With the name of the option, and without its value.
    """
    for name, value in options.items():
        if _SECRET.fullmatch(str(name)) and value is not None:
            raise RequestError(
                f"{place} holds a secret ({str(name)!r}), which would travel in the graph",
                hint="give it in the environment of the client and the workers"
                " (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, BEARER_TOKEN, X509_USER_PROXY)"
                " or name a profile: storage_options={'profile': ...}",
            )
        if isinstance(value, Mapping):
            refuse_secrets(value, f"{place}[{name!r}]")


def connection_options(url: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return `options` for the storage of `url`, with timeouts and retries where it is S3.

    What `options` say goes first, down to single keys of ``config_kwargs``
    (those of botocore's ``Config``; times are in seconds).

    Raises
    ------
    RequestError
        If the options or the URL hold a credential.
    """
    known = dict(options or {})
    refuse_secrets(known)
    if not is_s3(url):
        return known
    if "@" in urlsplit(url).netloc:
        raise RequestError(
            "the S3 URL holds credentials before an '@'",
            hint="give s3://bucket/prefix, and credentials in the environment or a profile",
        )
    _keep_tokens_out_of_logs()
    return known | {"config_kwargs": {**_CONFIG, **known.get("config_kwargs", {})}}


def connect(url: str, options: Mapping[str, Any] | None = None) -> tuple[Any, str]:
    """Return the fsspec file system of `url` and the path in it.

    Raises
    ------
    RequestError
        If the options or the URL hold a credential.
    ImportError, ValueError
        As fsspec raises them, if it has no such file system.
    """
    from fsspec.core import url_to_fs

    filesystem, path = url_to_fs(url, **connection_options(url, options))
    if is_s3(url):
        filesystem.retries = 1  # botocore tries again by itself; both would multiply
    return filesystem, str(path)


def is_s3(url: str) -> bool:
    """Tell whether `url` is an object or a prefix of S3."""
    return url.lower().startswith(_S3)


class _TokenFilter(logging.Filter):
    """Hide session tokens and signatures in messages."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        for pattern in _SIGNED:
            text = pattern.sub(r"\1(hidden)", text)
        record.msg, record.args = text, None
        return True


def _keep_tokens_out_of_logs() -> None:
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if not any(isinstance(item, _TokenFilter) for item in logger.filters):
            logger.addFilter(_TokenFilter())
