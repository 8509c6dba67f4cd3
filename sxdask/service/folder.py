"""The data directory of a service: its owner's alone, and of one service at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sxdask.core.errors import RequestError
from sxdask.deliver.local import faults
from sxdask.service.objects.keys import private_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def own_folder(folder: Path) -> Iterator[Path]:
    """Hold `folder`, made if it is not there; the kernel lets go if this process is killed.

    Raises
    ------
    RequestError
        If another service has it.
    """
    private_folder(folder)
    file = folder / "lock"
    with faults(str(file)):
        number = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(number, 20).decode(errors="replace").strip() or "unknown"
            raise RequestError(
                f"another service works in {str(folder)!r} (process {holder})",
                hint="stop it, or give this one a --data-dir of its own",
            ) from None
        os.ftruncate(number, 0)
        os.write(number, f"{os.getpid()}\n".encode())
        yield folder
        with suppress(OSError):
            os.ftruncate(number, 0)
    finally:
        os.close(number)
