"""One try of one task: its value or its error, as data that travels.

The same function runs in this thread, in a pool, in another process and on a
Dask worker, so an error looks the same wherever it happened: an `SxdaskError`
with the traceback text in its context.
"""

from __future__ import annotations

import pickle
import threading
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sxdask.core.counts import WORKED
from sxdask.core.errors import (
    MissingExtraError,
    PartitionFailedError,
    ReadFailedError,
    SxdaskError,
    SystemFaultError,
)
from sxdask.deliver.failures import public_text

if TYPE_CHECKING:
    from collections.abc import Callable

# An operating system error that another try cannot change.
_FINAL_OS_ERRORS = (
    FileExistsError,
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
)
_FINAL_FAULTS = (MissingExtraError, PartitionFailedError)

MEMORY_HINT = "use smaller partitions (SXDASK_PARTITION_BYTES) or workers with more memory"


@dataclass(frozen=True, slots=True)
class Job:
    """One item to work on, by its place in the run; opaque to Dask on purpose."""

    position: int
    item: Any


@dataclass(frozen=True, slots=True)
class Completion:
    """How one try ended. `transient` errors are worth another try."""

    position: int
    value: Any = None
    error: SxdaskError | None = None
    transient: bool = False
    seconds: float = 0.0


def attempt(function: Callable[[Any], Any], job: Job) -> Completion:
    """Run `function` on the item of `job`; an exception becomes part of the result.

    Only a KeyboardInterrupt of the main thread passes through: it is meant for
    the program, not for the task.
    """
    started = time.perf_counter()
    try:
        value = function(job.item)
    except BaseException as error:  # a pool thread that lets one through dies silently
        if isinstance(error, KeyboardInterrupt) and _in_main_thread():
            raise
        seconds = time.perf_counter() - started
        WORKED.note(None, seconds, failed=True)
        return failed(job.position, error, seconds=seconds)
    seconds = time.perf_counter() - started
    WORKED.note(getattr(value, "report", None), seconds, failed=False)
    return Completion(job.position, value, seconds=seconds)


def failed(position: int, error: BaseException, *, seconds: float = 0.0) -> Completion:
    """Return the completion of a task that raised `error`."""
    return Completion(
        position, error=as_sxdask_error(error), transient=is_transient(error), seconds=seconds
    )


def is_transient(error: BaseException) -> bool:
    """Return whether another try may succeed: storage, network and lost workers.

    Mistakes of the user and bad data stay what they are.

    Examples
    --------
    >>> is_transient(ConnectionResetError()), is_transient(FileNotFoundError("f.root"))
    (True, False)
    """
    if isinstance(error, SxdaskError):
        return isinstance(error, SystemFaultError) and not isinstance(error, _FINAL_FAULTS)
    return isinstance(error, OSError) and not isinstance(error, _FINAL_OS_ERRORS)


def as_sxdask_error(error: BaseException) -> SxdaskError:
    """Return `error` as one of ours, safe to pickle, with its traceback text in the context."""
    text = public_text("".join(traceback.format_exception(error)))
    if isinstance(error, SxdaskError):
        return _portable(error.add(traceback=text))
    words = public_text(str(error))
    problem = f"{type(error).__name__}: {words}" if words else type(error).__name__
    kind: type[SxdaskError] = PartitionFailedError
    hint = None
    if isinstance(error, MemoryError):
        kind, problem, hint = SystemFaultError, "a task ran out of memory", MEMORY_HINT
    elif isinstance(error, OSError):
        kind = ReadFailedError
    return kind(problem, hint=hint, cause=type(error).__name__, traceback=text)


def _portable(error: SxdaskError) -> SxdaskError:
    """Return `error`, with facts that cannot travel replaced by their text."""
    for key, value in error.context.items():
        try:
            pickle.dumps(value)
        except Exception:  # noqa: BLE001 - pickling may raise anything at all
            error.context[key] = repr(value)
    return error


def _in_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
