"""Query string -> words and signs, in one pass and with limits.

The list of columns is not cut into words: a branch may be called anything, so
a column ends at the next comma alone.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sxdask.core.errors import RequestTooLargeError
from sxdask.plan.lexer import require_size
from sxdask.plan.place import meant_by

if TYPE_CHECKING:
    from sxdask.plan.lexer import Limits
    from sxdask.plan.place import SourceText

MAX_WORDS: Final = 10_000
"""Words and signs of one condition."""

MAX_COLUMNS: Final = 10_000
"""Columns of one query; the widest trees have a few thousand."""

Kind: TypeAlias = Literal["number", "name", "sign", "open", "close", "end"]

_TOKEN: Final = re.compile(
    r"""(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_][\w/]*(?:;\d+)?(?:\.[A-Za-z_][\w/]*)*)
      | (?P<sign>&&|\|\||<=|>=|==|!=|<>|[-+*<>=!&|])
      | (?P<open>\()
      | (?P<close>\))
    """,
    re.VERBOSE | re.ASCII,
)
_BLANK: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r"[A-Za-z_]\w*", re.ASCII)
_MAX_LENGTH: Final = 1_000
_MAX_DIGITS: Final = 40


@dataclass(frozen=True, slots=True)
class Token:
    """One word or sign at ``[start, stop)`` of the user's text."""

    kind: Kind
    text: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Parts:
    """The two halves of a query.

    `condition` ends with a token of the kind ``end``. `columns` are the texts
    between the commas after ``project``, with the place of each; None without
    ``project``.
    """

    condition: tuple[Token, ...]
    columns: tuple[tuple[str, int], ...] | None


def split(source: SourceText, limits: Limits) -> Parts:
    """Cut a query into the words of its condition and the texts of its columns.

    Raises
    ------
    RequestTooLargeError
        If the text, the words or the columns are beyond a limit.
    SelectionSyntaxError
        If the text does not have the shape of a query.
    """
    text = source.text
    require_size(text, limits)
    start = _skip(text, 0)
    word = _WORD.match(text, start)
    if word is None or word[0].lower() != "select":
        raise source.syntax_error(start, "a query begins with 'select'", hint=EXAMPLE)
    tokens, comma = _condition(source, word.end())
    if comma is None:
        return Parts(tokens, None)
    start = _skip(text, comma + 1)
    word = _WORD.match(text, start)
    if word is None or word[0].lower() != "project":
        raise source.syntax_error(
            start, "a comma after the condition is followed by 'project'", hint=EXAMPLE
        )
    if text.count(",", word.end()) >= MAX_COLUMNS:
        raise RequestTooLargeError(
            f"the query projects more than {MAX_COLUMNS} columns", hint="use a pattern: Muon_*"
        )
    return Parts(tokens, tuple(_columns(source, word.end())))


EXAMPLE: Final = "such as: select event_id>5, project Events;1.Muon_eta,Events;1.Muon_phi"


def _skip(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


def _condition(source: SourceText, position: int) -> tuple[tuple[Token, ...], int | None]:
    """Return the words up to the comma that ends the condition, and where that is."""
    text, tokens = source.text, list[Token]()
    while (position := _skip(text, position)) < len(text):
        if text[position] == ",":
            return (*tokens, Token("end", "", position, position)), position
        match = _TOKEN.match(text, position)
        if match is None:
            shown = text[position] if text[position].isprintable() else f"{ord(text[position]):#x}"
            raise source.syntax_error(
                position,
                f"the character {shown!r} is not part of a condition",
                hint=meant_by(text[position]) or EXAMPLE,
            )
        kind: Kind = match.lastgroup  # type: ignore[assignment]  # one of the groups above
        end = match.end()
        if end - position > (_MAX_DIGITS if kind == "number" else _MAX_LENGTH):
            raise source.syntax_error(position, f"{kind} of {end - position} characters")
        if kind == "number" and (text[end : end + 1].isalnum() or text[end : end + 1] == "_"):
            raise source.syntax_error(position, "a name cannot begin with a digit")
        tokens.append(Token(kind, match[0], position, end))
        if len(tokens) > MAX_WORDS:
            raise RequestTooLargeError(
                f"the condition has more than {MAX_WORDS} words and signs",
                hint="ask in several queries",
            )
        position = end
    return (*tokens, Token("end", "", position, position)), None


def _columns(source: SourceText, position: int) -> list[tuple[str, int]]:
    found = []
    for part in source.text[position:].split(","):
        start = _skip(source.text, position)
        if not part.strip():
            raise source.syntax_error(start, "a column is missing here", hint=EXAMPLE)
        found.append((part.strip(), start))
        position += len(part) + 1
    return found
