"""Walls around this process, built by the kernel (Landlock): files and ports it may reach.

Whoever is behind them cannot take them down, nor can its children. They hold
for threads that begin later, so they are built first of all, before a library
starts threads of its own. Only the standard library is used here.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

# Numbers of the system calls, the same on every architecture, and bits of include/uapi/linux/
# landlock.h; each version of the interface knows the rights up to its number below.
_CREATE_RULESET: Final = 444
_ADD_RULE: Final = 445
_RESTRICT_SELF: Final = 446
_VERSION: Final = 1
_NO_NEW_PRIVILEGES: Final = 38
_RULE_PATH: Final = 1
_RULE_PORT: Final = 2
_EXECUTE, _WRITE, _READ, _READ_DIR = (1 << bit for bit in range(4))
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 5: 16}  # how many rights on files a version knows
_ON_FILES: Final = _EXECUTE | _WRITE | _READ | (1 << 14) | (1 << 15)
_CONNECT: Final = 1 << 1
_BIND: Final = 1 << 0
_PORTS_SINCE: Final = 4
_SCOPES_SINCE: Final = 6
_SCOPES: Final = 0b11  # abstract sockets, signals


def version() -> int:
    """Return the kernel's version of Landlock, 0 if it has none."""
    try:
        found = _call(_CREATE_RULESET, None, 0, _VERSION)
    except (OSError, AttributeError):
        return 0
    return int(found)


def build(readable: Iterable[Path], writable: Iterable[Path], ports: Iterable[int]) -> None:
    """Leave this process nothing but these files and folders, and TCP connections to these ports.

    Raises
    ------
    OSError
        If the kernel cannot.
    """
    known = version()
    if not known:
        raise OSError("this kernel has no Landlock")
    num_rights = max(count for since, count in _RIGHTS.items() if since <= known)
    rights = (1 << num_rights) - 1
    net = (_CONNECT | _BIND) if known >= _PORTS_SINCE else 0
    scopes = _SCOPES if known >= _SCOPES_SINCE else 0
    attributes = struct.pack("=QQQ", rights, net, scopes)
    size = 24 if known >= _SCOPES_SINCE else 16 if known >= _PORTS_SINCE else 8
    ruleset = _call(_CREATE_RULESET, attributes, size, 0)
    try:
        for path in readable:
            _allow(ruleset, path, (_EXECUTE | _READ | _READ_DIR) & rights)
        for path in writable:
            _allow(ruleset, path, rights)
        for port in ports if net else ():
            _call(_ADD_RULE, ruleset, _RULE_PORT, struct.pack("=QQ", _CONNECT, port), 0)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "no_new_privs")
        _call(_RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def bound(seconds: float, memory_bytes: int, object_bytes: int) -> None:
    """Bound what this process and its children take, each."""
    whole = int(seconds) + 1
    for kind, limit in (
        (resource.RLIMIT_CPU, 4 * whole),  # threads count each; the clock is the parent's
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, object_bytes),
        (resource.RLIMIT_CORE, 0),
    ):
        with suppress(ValueError, OSError):  # a lower one is in force
            resource.setrlimit(kind, (limit, limit))


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # what is not there needs no permission
        return
    try:
        if not path.is_dir():
            rights &= _ON_FILES
        # Packed as the kernel has it: 64 bits of rights, 32 of the file.
        _call(_ADD_RULE, ruleset, _RULE_PATH, struct.pack("=Qi", rights, place), 0)
    finally:
        os.close(place)


def _call(number: int, *arguments: Any) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    words = [
        ctypes.c_char_p(item) if isinstance(item, bytes) else ctypes.c_long(item or 0)
        for item in arguments
    ]
    found = int(libc.syscall(ctypes.c_long(number), *words))
    if found < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return found
