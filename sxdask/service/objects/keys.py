"""Secrets that are made once and kept in files that only their owner may read."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import AccessDeniedError
from sxdask.deliver.local import faults

if TYPE_CHECKING:
    from pathlib import Path

_PRIVATE: Final = 0o600
_OTHERS: Final = 0o077


def private_folder(folder: Path) -> Path:
    """Return `folder`, made for its owner alone if it is not there."""
    with faults(str(folder)):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def write_private(file: Path, text: str) -> None:
    """Write a file that only its owner may read, at once and as a whole."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    with faults(str(file)):
        beside.unlink(missing_ok=True)
        number = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _PRIVATE)
        with os.fdopen(number, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        beside.replace(file)


def read_private(file: Path) -> str | None:
    """Return what a private file holds, or None if there is none.

    Raises
    ------
    AccessDeniedError
        If others may read it, or its owner may not.
    """
    with faults(str(file)):
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        mode = file.stat().st_mode
    if mode & _OTHERS:
        raise AccessDeniedError(
            f"{str(file)!r} holds secrets and others may read it",
            hint=f"chmod 600 {file}; if others were there: remove it, a new one is made",
            file=str(file),
        )
    return text


def kept_secret(file: Path) -> str:
    """Return the secret in `file`, 64 hexadecimal digits that are made the first time."""
    found = (read_private(file) or "").strip()
    if not found:
        found = secrets.token_hex(32)
        write_private(file, f"{found}\n")
    return found
