"""Formula -> words and signs, in one pass and with limits."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sxdask.core.errors import RequestTooLargeError
from sxdask.plan.lexer import require_size, too_deep
from sxdask.plan.place import meant_by

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sxdask.plan.lexer import Limits
    from sxdask.plan.place import SourceText

Kind: TypeAlias = Literal["number", "name", "text", "sign", "open", "close"]

MAX_WORDS: Final = 10_000
"""Words and signs of one formula; ROOT itself stops at 1 000 operations."""

_MAX_LENGTH: Final = 1_000
_MAX_DIGITS: Final = 40

_BLANK: Final = re.compile(r"[ \t\r\n]*")
_TOKEN: Final = re.compile(
    r"""(?P<number>0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*\$?)
      | (?P<text>"[^"\n]*")
      | (?P<sign>&&|\|\||<<|>>|<=|>=|==|!=|\*\*|->|[-+*/%^<>!&|?:,.@])
      | (?P<open>[(\[])
      | (?P<close>[)\]])
    """,
    re.VERBOSE | re.ASCII,
)
_HINTS: Final = {
    "=": "compare with ==",
    "~": "ROOT's formulas have no ~; write ! for logical not",
    ";": "give one formula",
    "'": 'texts stand between double quotes: "..."',
    '"': "close the text on its line",
    "{": "a formula has round and square brackets",
    "}": "a formula has round and square brackets",
}


@dataclass(frozen=True, slots=True)
class Token:
    """One word or sign at ``[start, stop)`` of the user's text; `match` is the other bracket."""

    kind: Kind
    text: str
    start: int
    stop: int
    match: int = -1


@contextmanager
def bounded_depth(limits: Limits) -> Iterator[None]:
    """Refuse what nests deeper than Python's stack allows, whoever calls.

    Raises
    ------
    RequestTooLargeError
        In place of `RecursionError`.
    """
    try:
        yield
    except RecursionError:
        raise too_deep(limits) from None


def tokens_of(source: SourceText, limits: Limits) -> tuple[Token, ...]:
    """Cut a formula into words and signs, and find the partner of every bracket.

    Raises
    ------
    RequestTooLargeError
        If the text, its words or its nesting are beyond a limit.
    SelectionSyntaxError
        If a character is not part of the language or a bracket has no partner.
    """
    require_size(source.text, limits)
    found: list[Token] = []
    position = _skip(source.text, 0)
    while position < len(source.text):
        token = _next(source, position)
        if len(found) >= MAX_WORDS:
            raise RequestTooLargeError(
                f"the formula has more than {MAX_WORDS} words and signs",
                hint="split it into several conditions or columns",
            )
        _append(found, token)
        position = _skip(source.text, token.stop)
    return _matched(source, found, limits)


def _skip(text: str, position: int) -> int:
    found = _BLANK.match(text, position)
    return found.end() if found else position


def _next(source: SourceText, position: int) -> Token:
    match = _TOKEN.match(source.text, position)
    if match is None:
        raise _bad_character(source, position)
    kind: Kind = match.lastgroup  # type: ignore[assignment]  # one of the groups above
    text, end = match.group(), match.end()
    if len(text) > (_MAX_DIGITS if kind == "number" else _MAX_LENGTH):
        raise source.syntax_error(position, f"{kind} of {len(text)} characters")
    after = source.text[end : end + 1]
    if kind == "number" and (after.isalnum() or after in {"_", "$"}):
        raise source.syntax_error(
            position, "a name cannot begin with a digit, and a number has no letter at its end"
        )
    return Token(kind, "^" if text == "**" else text, position, end)


def _append(found: list[Token], token: Token) -> None:
    """Add a token; neighbouring signs + and - are one sign, as in ROOT."""
    last = found[-1] if found else token
    pair = last.text + token.text
    if found and token.kind == "sign" and pair in {"++", "--", "+-", "-+"}:
        found[-1] = Token("sign", "+" if last.text == token.text else "-", last.start, token.stop)
    else:
        found.append(token)


def _bad_character(source: SourceText, position: int) -> Exception:
    character = source.text[position]
    shown = repr(character) if character.isprintable() else f"with code {ord(character)}"
    hint = meant_by(character) or _HINTS.get(character)
    if hint is None and character.isalpha():
        hint = "names are ASCII"
    return source.syntax_error(
        position, f"the character {shown} is not part of a formula", hint=hint
    )


def _matched(source: SourceText, found: list[Token], limits: Limits) -> tuple[Token, ...]:
    open_at: list[int] = []
    for place, token in enumerate(found):
        if token.kind == "open":
            open_at.append(place)
            if len(open_at) > limits.max_nesting:
                raise too_deep(limits)
        elif token.kind == "close":
            begin = open_at.pop() if open_at else None
            if begin is None or found[begin].text + token.text not in {"()", "[]"}:
                raise source.syntax_error(token.start, f"{token.text!r} closes nothing")
            for here, there in ((begin, place), (place, begin)):
                item = found[here]
                found[here] = Token(item.kind, item.text, item.start, item.stop, there)
    if open_at:
        token = found[open_at[-1]]
        closing = ")" if token.text == "(" else "]"
        raise source.syntax_error(token.start, f"this bracket is not closed by {closing!r}")
    return tuple(found)
