"""Handlers that a logger has for a while."""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@contextmanager
def handled(
    name: str, handlers: Sequence[logging.Handler], form: logging.Formatter, level: int | str
) -> Iterator[None]:
    """Let the logger `name` write in `form` to `handlers` from `level` on, until the block ends."""
    logger = logging.getLogger(name)
    before = logger.level
    for handler in handlers:
        handler.setFormatter(form)
        logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)
