"""The Dask task of the service: one try at one file, which ends in time whatever happens."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import DeliveryError, RequestError, SystemFaultError, UnknownTreeError
from sxdask.deliver.attempt import as_sxdask_error, is_transient
from sxdask.deliver.failures import public_text
from sxdask.service.transforms.attempts import Job, present, stuck
from sxdask.service.transforms.imports import finish_imports
from sxdask.service.transforms.orders import Report

if TYPE_CHECKING:
    from sxdask.service.transforms.attempts import Attempt
    from sxdask.service.transforms.orders import Order
    from sxdask.service.transforms.writing import Made

_LOOK_SECONDS: Final = 0.25
_MOST_TRACEBACK: Final = 20_000
_MOST_MESSAGE: Final = 1_000


def transform_file(payload: bytes) -> Report:
    """Run a pickled `Order` and report; failures are reports too.

    The replicas are tried in order. One of which nothing is heard for too long
    is left to itself in its thread, which writes nothing any more.
    """
    finish_imports()
    order: Order = pickle.loads(payload)  # noqa: S301  from the engine, as the task itself is
    began = time.monotonic()
    report = Report("", code=SystemFaultError.code, message="the file has no path")
    bytes_read = 0
    for path in order.paths:
        with present(order.attempt) as attempt:  # one each: what is given up stays so
            report = _tried(order, path, attempt, began + order.seconds)
            report = replace(report, worker=attempt.address)
            bytes_read += attempt.bytes_read
        if report.ok or report.of_request or report.code == DeliveryError.code:
            break
    seconds = time.monotonic() - began
    return replace(report, seconds=seconds, bytes_read=bytes_read, stuck=stuck())


def failure(path: str, error: BaseException) -> Report:
    """Return the report of a try that ended with `error`: code, one line, traceback."""
    made = as_sxdask_error(error)
    first, _, _ = public_text(made.problem).partition("\n")
    hint = f" (hint: {' '.join(public_text(made.hint).split())})" if made.hint else ""
    return Report(
        path,
        code=made.code,
        message=f"{' '.join(first.split())}{hint}"[:_MOST_MESSAGE],
        traceback=str(made.context.get("traceback", ""))[-_MOST_TRACEBACK:],
        transient=is_transient(error),
        of_request=isinstance(error, RequestError | UnknownTreeError),
    )


def _tried(order: Order, path: str, attempt: Attempt, end: float) -> Report:
    job = Job(lambda: _made(order, path, attempt))
    job.begin()
    while not job.done.wait(_LOOK_SECONDS):
        reason = _reason(order, attempt, end)
        if reason:
            attempt.is_over = True
            job.leave()
            return failure(path, SystemFaultError(reason[0], hint=reason[1]))
    if job.error is not None:
        return failure(path, job.error)
    made: Made = job.value
    return Report(path, rows=made.rows, bytes=made.bytes, staged=made.staged)


def _reason(order: Order, attempt: Attempt, end: float) -> tuple[str, str] | None:
    """Return why an attempt is to be given up, None if it is not."""
    now = time.monotonic()
    if now > end:
        return (
            f"the file took more than {order.seconds:g} s, and was given up while {attempt.stage}",
            "ask for less of it, or ask the operator for more time",
        )
    if now - attempt.moved > order.still_seconds:
        return (
            f"nothing was heard for {order.still_seconds:g} s while {attempt.stage} the file",
            "its server may hang; try the failed files again later",
        )
    if not attempt.is_wanted():
        return "nobody waits for the file any more", "the transform was canceled"
    return None


def _made(order: Order, path: str, attempt: Attempt) -> Made:
    from sxdask.service.transforms.writing import Destination, write_object

    if order.work.places is not None:
        order.work.places.require_open(path)
    to = Destination(attempt, order.work, order.target, dict(order.options), order.object)
    if order.work.python is not None:
        from sxdask.service.transforms.sandbox import run_apart

        return run_apart(order.work, path, to)
    return write_object(order.work, path, to)
