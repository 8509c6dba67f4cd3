"""The lines about each transform, kept in a file of its own, for its log page."""

from __future__ import annotations

import json
import logging
import re
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

from sxdask.service.logs.lines import known_facts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MAX_FILE: Final = 8 * 1024 * 1024
_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LAST: Final = '{"level": "warning", "message": "the log of this transform is full"}'


class TransformLogs(logging.Handler):
    """Keeps what is logged with the fact ``transform``; other records pass by.

    Parameters
    ----------
    folder
        Where the files are; made if it is not there.
    format_line
        Makes the line of a record.
    most_bytes
        What is kept of one transform; the rest is dropped, and its last line
        says so.
    """

    def __init__(
        self,
        folder: Path,
        format_line: Callable[[logging.LogRecord], str],
        most_bytes: int = MAX_FILE,
    ) -> None:
        super().__init__()
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._line = format_line
        self._most = most_bytes
        self._writing = Lock()

    def emit(self, record: logging.LogRecord) -> None:
        """Append the line of `record` to the file of its transform."""
        try:
            file = self._file(str(known_facts(record).get("transform", "")))
            if file is not None:
                self._append(file, self._line(record))
        except Exception:  # noqa: BLE001  a full disk must not end what is logged about
            self.handleError(record)

    def lines(
        self, request_id: str, after: int = 0, most: int = 1_000
    ) -> tuple[list[dict[str, Any]], int]:
        """Return at most `most` lines behind the place `after`, and the place behind them."""
        file = self._file(request_id)
        if file is None or not file.exists():
            return [], after
        found: list[dict[str, Any]] = []
        with file.open("rb") as stream:
            stream.seek(max(0, after))
            while len(found) < most:
                line = stream.readline(MAX_FILE)
                if not line.endswith(b"\n"):  # another thread is writing it
                    break
                after += len(line)
                try:
                    found.append(json.loads(line))
                except ValueError:  # a place in the middle of a line
                    continue
        return found, after

    def remove(self, request_id: str) -> None:
        """Forget the lines of a transform."""
        file = self._file(request_id)
        if file is not None:
            file.unlink(missing_ok=True)

    def _file(self, request_id: str) -> Path | None:
        return self._folder / f"{request_id}.jsonl" if _ID.fullmatch(request_id) else None

    def _append(self, file: Path, line: str) -> None:
        with self._writing, file.open("ab") as stream:
            size = stream.tell()
            if size >= self._most:
                return
            stream.write(line.encode() + b"\n")
            if stream.tell() >= self._most:
                stream.write(_LAST.encode() + b"\n")
