"""Writing a file so that every other process sees the old one or the new one whole."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def replace_bytes(path: Path, data: bytes) -> None:
    """Write `data` under a name of its own and move it to `path`.

    Raises
    ------
    OSError
        If the folder cannot be written to, or is full; nothing is left then.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".new-", suffix=path.suffix)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)  # else a power cut may leave pages of zeros under the new name
        os.replace(name, path)  # noqa: PTH105 - one call for each of many files
    except BaseException:
        with suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise


def replace_link(path: Path, target: Path) -> None:
    """Make `path` a link to `target`, relative, replacing what is there.

    Raises
    ------
    OSError
        If the file system has no links, or cannot be written to.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    name = path.parent / f".new-{os.getpid()}-{os.urandom(4).hex()}"
    name.symlink_to(os.path.relpath(target, path.parent))
    try:
        name.replace(path)
    except BaseException:
        name.unlink(missing_ok=True)
        raise
