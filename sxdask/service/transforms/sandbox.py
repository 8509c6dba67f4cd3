"""A Python function runs in a process of its own, without secrets, bounded and walled in.

The process writes an object into a folder of its own; the worker takes the
bytes and a short text about them, and believes neither more than that.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import SxdaskError, SystemFaultError, UserFunctionError
from sxdask.rootio.source import local_path

if TYPE_CHECKING:
    from sxdask.service.transforms.limits import PythonLimits
    from sxdask.service.transforms.orders import Work
    from sxdask.service.transforms.writing import Destination, Made

PROGRAM: Final = "sxdask.service.transforms.sandboxed"
OBJECT: Final = "object"
ANSWER: Final = "answer.json"
NO_WALLS: Final = 77
"""Exit status of a process whose kernel cannot build walls."""

_LOOK_SECONDS: Final = 0.1
_STARTING_SECONDS: Final = 60.0  # imports, on a busy machine
_MOST_ANSWER: Final = 100_000
_LOG: Final = "log"
# What a process of Python needs of its environment. Credentials are not among it.
_KEPT: Final = (
    "PATH",
    "LANG",
    "LC_ALL",
    "TZ",
    "LD_LIBRARY_PATH",
    "PYTHONPATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "X509_CERT_DIR",
    "ROOTSYS",
)


def run_apart(work: Work, path: str, to: Destination) -> Made:
    """Run the function of `work` on one file in a process of its own and store its object.

    Raises
    ------
    UserFunctionError
        If it fails, takes too long or too much memory, or reaches for what it may not.
    """
    assert work.python is not None  # noqa: S101  narrows for the type checker
    with TemporaryDirectory(prefix="sxdask-function-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        order = {
            "work": asdict(work),
            "path": local_path(path) or path,
            "folder": str(folder),
            "object": to.name,
        }
        with (folder / _LOG).open("wb") as log:
            process = subprocess.Popen(  # noqa: S603  this Python and a module of ours
                [sys.executable, "-m", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=_environment(folder),
                start_new_session=True,
            )
        try:
            _send(process, order)
            _wait(process, work.python, to)
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started
            process.wait()
        rows = _rows(folder, process.returncode, work.python)
        to.put((folder / OBJECT).read_bytes(), rows)
    assert to.made is not None  # noqa: S101  narrows for the type checker
    return to.made


def _environment(folder: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    own = {"HOME": str(folder), "TMPDIR": str(folder), "SXDASK_CACHE_DIR": str(folder / "cache")}
    threads = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_MAX_THREADS")
    paths = os.pathsep.join(item for item in sys.path if item)
    return kept | own | dict.fromkeys(threads, "1") | {"PYTHONPATH": paths}


def _send(process: subprocess.Popen[bytes], order: Any) -> None:
    assert process.stdin is not None  # noqa: S101  a pipe
    with suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(json.dumps(order).encode())


def _wait(process: subprocess.Popen[bytes], limits: PythonLimits, to: Destination) -> None:
    end = time.monotonic() + limits.seconds + _STARTING_SECONDS
    while True:
        to.attempt.tell("computing")  # raises if nobody waits for it
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_SECONDS)
            return
        if time.monotonic() > end:
            raise _too_long(limits)


def _rows(folder: Path, status: int, limits: PythonLimits) -> int:
    """Return the rows of the object that was made; raise what went wrong."""
    answer = folder / ANSWER
    if status == NO_WALLS:
        raise SystemFaultError(
            "this worker's kernel cannot wall in Python functions (it has no Landlock)",
            hint="run workers on Linux 5.13 or later, or switch the walls off",
        )
    if not answer.is_file() or answer.is_symlink() or answer.stat().st_size > _MOST_ANSWER:
        raise _ended(folder, status, limits)
    try:
        facts = json.loads(answer.read_text())
        if "problem" in facts:
            raise _error(facts)
        made = folder / OBJECT
        if made.is_symlink() or not made.is_file():
            raise _ended(folder, status, limits)
        return int(facts["rows"])
    except (ValueError, KeyError, TypeError) as error:
        raise _ended(folder, status, limits) from error


def _error(facts: Any) -> SxdaskError:
    kinds = {kind.code: kind for kind in _kinds(SxdaskError)}
    kind = kinds.get(str(facts.get("code")), UserFunctionError)
    hint = facts.get("hint")
    trace = str(facts.get("traceback", ""))
    return kind(str(facts["problem"]), hint=None if hint is None else str(hint), traceback=trace)


def _kinds(kind: type[SxdaskError]) -> list[type[SxdaskError]]:
    return [kind, *(item for child in kind.__subclasses__() for item in _kinds(child))]


def _too_long(limits: PythonLimits) -> UserFunctionError:
    return UserFunctionError(
        f"run_query takes more than {limits.seconds:g} s for one file",
        hint="do less in it, or ask the operator for more time",
    )


def _ended(folder: Path, status: int, limits: PythonLimits) -> SxdaskError:
    if status in {-signal.SIGXCPU, -signal.SIGKILL}:
        return _too_long(limits)
    with (folder / _LOG).open("rb") as log:
        log.seek(max(0, (folder / _LOG).stat().st_size - 2_000))
        said = log.read().decode(errors="replace")
    return UserFunctionError(
        f"the process of run_query ended with status {status}",
        hint=f"it may use {limits.memory_bytes / 1e9:g} GB of memory",
        traceback=said,
    )
