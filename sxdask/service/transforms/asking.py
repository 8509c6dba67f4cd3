"""Ask the database until it answers: what was computed must not be lost while it restarts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, TypeVar

from sxdask.core.errors import RequestError, SxdaskError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

_LOG: Final = logging.getLogger(__name__)
_PAUSE_SECONDS: Final = 1.0
_LONGEST_PAUSE: Final = 30.0

T = TypeVar("T")


class StoppedError(Exception):
    """The engine stops, and there is no answer yet."""


def answered(question: Callable[[], T], refused: T, stopping: threading.Event) -> T:
    """Return the answer to `question`, `refused` if the database says that it is wrong.

    Raises
    ------
    StoppedError
        If `stopping` is set before there is an answer.
    """
    pause = _PAUSE_SECONDS
    while True:
        try:
            return question()
        except RequestError:
            return refused
        except SxdaskError as error:
            _LOG.warning("the database does not answer, asked again: %s", error.problem)
        if stopping.wait(pause):
            raise StoppedError
        pause = min(2 * pause, _LONGEST_PAUSE)
