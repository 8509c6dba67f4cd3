"""Errors of this library as errors of Flight: one line, a code and a hint, never a traceback.

pyarrow sends the Python traceback of any exception but its own Flight errors
to the client, so nothing else may leave a handler. Flight's own "invalid
argument" is no exception that pyarrow lets a server raise without one; a
mistake of the user and bad data are ``FlightServerError``.
"""

from __future__ import annotations

import functools
import logging
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pyarrow import flight

from sxdask._version import __version__
from sxdask.api.remote.protocol import encode_error, line_of
from sxdask.core.errors import (
    AccessDeniedError,
    NotAuthorizedError,
    SxdaskError,
    SystemFaultError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

LOG: Final = logging.getLogger("sxdask.service.flight")

T = TypeVar("T")


def as_flight_error(error: BaseException) -> flight.FlightError:
    """Return what the client is told of `error`."""
    if isinstance(error, flight.FlightError):
        return error
    if not isinstance(error, SxdaskError):
        LOG.error("a mistake in sxdask", exc_info=error)
        error = SxdaskError(
            f"internal error in sxdask {__version__}: {type(error).__name__}",
            hint="the log of the server has the whole of it",
        )
    return _kind(error)(line_of(error), encode_error(error))


def _kind(error: SxdaskError) -> Any:
    """Return the class of Flight's error that says what the client may do."""
    if error.context.get("cancelled"):
        # pyarrow's read_all takes Flight's own "cancelled" for Ctrl-C, and interrupts the program.
        return flight.FlightServerError
    if error.context.get("transient"):
        return flight.FlightUnavailableError
    if isinstance(error, NotAuthorizedError | AccessDeniedError):
        return flight.FlightUnauthorizedError
    if isinstance(error, SystemFaultError) or error.fault == "system":
        return flight.FlightInternalError
    return flight.FlightServerError


def told(method: Callable[..., T]) -> Callable[..., T]:
    """Make `method` raise nothing but Flight errors."""

    @functools.wraps(method)
    def call(*args: Any, **options: Any) -> T:
        try:
            return method(*args, **options)
        except Exception as error:  # noqa: BLE001 - the last place before the wire
            raise as_flight_error(error) from None

    return call


def cancelled(problem: str = "the stream was cancelled") -> SystemFaultError:
    """Return the error of a stream that somebody ended."""
    return SystemFaultError(problem, cancelled=True)


def unavailable(problem: str) -> SystemFaultError:
    """Return the error of a server that cannot answer now and may soon."""
    return SystemFaultError(problem, hint="try again in a moment", transient=True)
