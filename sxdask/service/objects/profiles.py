"""Credentials of the object store by name, for this process and workers on this machine.

Options of a storage travel in the graph, so they name a profile and hold no
key. Workers started here inherit the variable that names the file. It begins
with what the operator's own file says; keys for reading data, which lie in
another one (``~/.aws/credentials``), are found as ever.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from sxdask.service.objects.keys import write_private

if TYPE_CHECKING:
    from collections.abc import Iterator

_VARIABLE: Final = "AWS_CONFIG_FILE"


@contextmanager
def worker_profile(folder: Path, access_key: str, secret_key: str) -> Iterator[str]:
    """Give the name of a profile with these keys, known to processes started meanwhile."""
    name = f"sxdask-results-{secrets.token_hex(4)}"
    before = os.environ.get(_VARIABLE)
    own = ""
    with suppress(OSError, UnicodeDecodeError):
        own = Path(before or "~/.aws/config").expanduser().read_text(encoding="utf-8")
    file = folder / f"{name}.config"
    section = f"[profile {name}]\naws_access_key_id = {access_key}\n"
    write_private(file, f"{own.rstrip()}\n{section}aws_secret_access_key = {secret_key}\n")
    os.environ[_VARIABLE] = str(file)
    try:
        yield name
    finally:
        if before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = before
        file.unlink(missing_ok=True)
