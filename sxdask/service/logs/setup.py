"""Logging of the service, begun with it and ended with it."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TextIO

from sxdask.service.logs.handlers import handled
from sxdask.service.logs.kept import TransformLogs
from sxdask.service.logs.lines import JsonLines
from sxdask.service.logs.redaction import Redaction
from sxdask.service.logs.shipping import Destination, Shipper

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

ROOT: Final = "sxdask"
"""The logger above all of this package."""


@dataclass(frozen=True, slots=True)
class Logs:
    """What was set up: where lines of transforms are read back, what sends them.

    `redaction` may be told of further secrets.
    """

    kept: TransformLogs | None = None
    shipper: Shipper | None = None
    redaction: Redaction = field(default_factory=Redaction)


@contextmanager
def logging_to(
    stream: TextIO | None = None,
    *,
    level: int | str = logging.INFO,
    folder: Path | None = None,
    ship_to: Destination | None = None,
    secrets: Iterable[str] = (),
) -> Iterator[Logs]:
    """Write lines of JSON to `stream` (standard error), a folder and a collector.

    Parameters
    ----------
    stream
        For all lines.
    level
        The least that is logged, a number or a name such as ``"DEBUG"``.
    folder
        Where the lines of each transform are kept; none are if it is None.
    ship_to
        A collector of logs.
    secrets
        Values that no line may hold.
    """
    redaction = Redaction(secrets)
    lines = JsonLines(redaction)
    handlers: list[logging.Handler] = [logging.StreamHandler(stream or sys.stderr)]
    kept = None if folder is None else TransformLogs(folder, lines.format)
    shipper = None if ship_to is None else Shipper(ship_to, lines.format)
    handlers += [item for item in (kept, shipper) if item is not None]
    try:
        with handled(ROOT, handlers, lines, level):
            yield Logs(kept, shipper, redaction)
    finally:
        if shipper is not None:
            shipper.end()
