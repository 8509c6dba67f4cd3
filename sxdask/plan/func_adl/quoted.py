"""A text between quotes: what it says, and where each of its characters stands.

Escapes are those of Python, because qastle writes texts as Python does.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sxdask.plan.place import SourceText

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.core.errors import SelectionSyntaxError

QUOTED: Final = r"""'(?:[^'\n\\]|\\[^\n])*'|"(?:[^"\n\\]|\\[^\n])*["]"""
"""Regular expression of such a text."""

_ESCAPE: Final = re.compile(
    r"""\\(?:(?P<sign>[\\'"abfnrtv])|(?P<octal>[0-7]{1,3})
      |x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8}))""",
    re.VERBOSE,
)
_SIGNS: Final = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


@dataclass(frozen=True, slots=True)
class Piece(SourceText):
    """A text within the user's: `origin` holds the place of each character, and of the end."""

    origin: Sequence[int] = ()
    outer: SourceText = field(default_factory=SourceText)

    def syntax_error(
        self, column: int, problem: str, *, hint: str | None = None
    ) -> SelectionSyntaxError:
        """Return an error that points into the user's text."""
        return self.outer.syntax_error(self.origin[column], problem, hint=hint)


def unquote(source: SourceText, start: int, stop: int) -> Piece:
    """Return the text that is quoted in ``source.text[start:stop]``.

    Raises
    ------
    SelectionSyntaxError
        If it has an escape that Python does not have, or what no text can hold.
    """
    inner = source.text[start + 1 : stop - 1]
    piece = Piece(inner, "", range(start + 1, stop), source)
    if "\\" in inner:
        piece = _unescape(source, start + 1, stop - 1)
    try:
        piece.text.encode()
    except UnicodeEncodeError as error:  # half of a pair of UTF-16
        raise piece.syntax_error(error.start, "half a character, which no text can hold") from None
    if isinstance(source, Piece):
        return Piece(piece.text, "", tuple(source.origin[i] for i in piece.origin), source.outer)
    return piece


def _unescape(source: SourceText, start: int, stop: int) -> Piece:
    characters: list[str] = []
    origin: list[int] = []
    while start < stop:
        origin.append(start)
        if source.text[start] != "\\":
            characters.append(source.text[start])
            start += 1
            continue
        match = _ESCAPE.match(source.text, start, stop)
        character = None if match is None else _meaning(match)
        if match is None or character is None:
            raise source.syntax_error(
                start,
                f"{source.text[start : start + 2]!r} is no escape",
                hint="write \\\\ for a backslash",
            )
        characters.append(character)
        start = match.end()
    return Piece("".join(characters), "", (*origin, stop), source)


def _meaning(match: re.Match[str]) -> str | None:
    kind, digits = match.lastgroup, match.group(match.lastgroup or 0)
    if kind == "sign":
        return _SIGNS.get(digits, digits)
    code = int(digits, 8 if kind == "octal" else 16)
    return chr(code) if code <= 0x10FFFF else None
