"""Failures of files grouped by their cause: the same error, whatever file it names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sxdask.service.database.overview import ResultLine

FILES_SHOWN: Final = 6
_NUMBER: Final = re.compile(r"0x[0-9a-f]+|\d+(?:\.\d+)?", re.IGNORECASE)
_HINT: Final = re.compile(r"\s*(?:\n\s*hint:\s*(?P<line>.*)|\(hint: (?P<inner>.*)\))\s*", re.DOTALL)


@dataclass(slots=True)
class Cause:
    """Why files failed. `first` is the result whose message and traceback are shown."""

    code: str
    message: str
    hint: str
    first: int
    count: int = 0
    files: list[str] = field(default_factory=list)
    traceback: str = ""

    @property
    def more(self) -> int:
        """How many files are not named."""
        return self.count - len(self.files)


def by_cause(failures: Iterable[ResultLine]) -> list[Cause]:
    """Return the causes of `failures`, the most frequent first.

    Messages that differ only in the file's name and in numbers are one cause.
    """
    found: dict[tuple[str, str], Cause] = {}
    for item in failures:
        message, hint = _split(item.message)
        key = (item.code, _general(message, item.file_path))
        if key not in found:
            found[key] = Cause(item.code, message or "no message", hint, item.id)
        cause = found[key]
        cause.count += 1
        if len(cause.files) < FILES_SHOWN:
            cause.files.append(item.file_path)
    return sorted(found.values(), key=lambda cause: -cause.count)


def _split(message: str) -> tuple[str, str]:
    """Return the sentence and the hint of a message."""
    match = _HINT.search(message)
    if match is None:
        return message.strip(), ""
    rest = (match["line"] or match["inner"] or "").strip()
    return message[: match.start()].strip(), rest


def _general(message: str, path: str) -> str:
    """Return `message` without the name of the file and without numbers."""
    for name in (path, path.rpartition("/")[2]):
        if name:
            message = message.replace(name, "FILE")
    return _NUMBER.sub("N", message)
