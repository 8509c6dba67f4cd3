"""Look over selection text before Python's parser sees it: size, nesting, characters.

Python's parser and every recursion after it are safe only on text that is
known to be short and shallow, so limits are counted here, in one pass. What
comes out is one line of ASCII of the same length as the user's text: comments
and line breaks are blanks, and every offset still is an offset into the
user's text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from keyword import iskeyword
from typing import TYPE_CHECKING, Final, Protocol

from sxdask.core.errors import RequestTooLargeError
from sxdask.plan.place import meant_by

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.plan.place import SourceText

MAX_TOKENS: Final = 50_000
"""Words and signs in one expression; a trigger list of a thousand paths has 2 000."""

MAX_CHAIN: Final = 1_000
"""Operators that can nest in Python's tree; its own limit is near three times this."""

_MAX_NAME: Final = 1_000
_MAX_DIGITS: Final = 40

_GRAMMAR: Final = r"""(?P<blank>(?:[ \t\r\n]|\\\r?\n)+|\#[^\n]*)
      | (?P<number>0[xX][0-9a-fA-F]+|(?:\d[\d_]*\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<string>STRING)
      | (?P<operator>\*\*|//|<<|>>|<=|>=|==|!=|:=|[-+*/%@&|^~<>.:=!])
      | (?P<comma>,)
      | (?P<open>[(\[{])
      | (?P<close>[)\]}])
    """
_HINTS: Final = {
    "$": "a formula of TTree::Draw is the language 'tcut'",
    ";": "give one expression",
    "\\": "a backslash has no meaning here",
}


@dataclass(frozen=True, slots=True)
class Spelling:
    """How texts and odd names are written in one language of Python's kind.

    Attributes
    ----------
    string
        Regular expression of a text between quotes.
    max_string
        Longest such text, in characters.
    not_closed
        What is wrong where a quote begins no text.
    odd_name
        How to write the name of a branch that is not a plain word.
    logic
        What to write for ``&&``, ``||`` and ``!`` of C++.
    """

    string: str
    max_string: int
    not_closed: str
    odd_name: str
    logic: Mapping[str, str]

    def pattern(self) -> re.Pattern[str]:
        """Return the expression that finds the next token; `re` remembers it."""
        return re.compile(_GRAMMAR.replace("STRING", self.string), re.VERBOSE | re.ASCII)


NATIVE: Final = Spelling(
    string=r"""'[^'\n\\]*'|"[^"\n\\]*["]""",
    max_string=_MAX_NAME,
    not_closed="this text is not closed on its line, or has a backslash in it",
    odd_name='get("...")',
    logic={
        "&&": "use & between parentheses: (a > 1) & (b < 2)",
        "||": "use | between parentheses: (a > 1) | (b < 2)",
        "!": "use ~ for logical not: ~(a > 1)",
    },
)
"""Native and uproot-raw expressions: a text is the name of a branch."""


class Limits(Protocol):
    """What may be asked; `sxdask.core.settings.Settings` has both."""

    @property
    def max_selection_bytes(self) -> int:
        """Longest text of a request, in bytes."""
        ...

    @property
    def max_nesting(self) -> int:
        """Deepest nesting of one expression."""
        ...

    @property
    def allow_python(self) -> bool:
        """Whether a request may be a Python function."""
        ...


def require_size(text: str, limits: Limits) -> None:
    """Refuse text beyond the size limit.

    Raises
    ------
    RequestTooLargeError
        If it is longer than ``max_selection_bytes``.
    """
    size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    if size > limits.max_selection_bytes:
        raise RequestTooLargeError(
            f"the selection has {size} bytes, and the limit is {limits.max_selection_bytes}",
            hint="put long lists of branches in a glob such as 'Muon_*'",
        )


def clean(source: SourceText, limits: Limits, spelling: Spelling = NATIVE) -> str:
    """Return the text of `source` as one line of ASCII, equally long.

    What stands between quotes is kept if it is ASCII without a backslash.

    Raises
    ------
    RequestTooLargeError
        If the text is too long or nests too deep.
    SelectionSyntaxError
        If a character or token is not part of the language.
    """
    require_size(source.text, limits)
    return _Scan(source, limits, spelling).run()


class _Scan:
    def __init__(self, source: SourceText, limits: Limits, spelling: Spelling) -> None:
        self._source = source
        self._limits = limits
        self._spelling = spelling
        self._chains = [0]  # operators so far in the argument at each bracket level
        self._chain_sum = 0

    def run(self) -> str:
        text, position, previous = self._source.text, 0, ""
        parts: list[str] = []
        pattern = self._spelling.pattern()
        for _ in range(MAX_TOKENS):
            if position == len(text):
                return "".join(parts)
            match = pattern.match(text, position)
            if match is None:
                raise self._bad_character(position)
            kind, token = match.lastgroup or "", match.group()
            self._check(kind, token, position, previous)
            self._count(kind, token)
            position = match.end()
            previous = previous if kind == "blank" else kind
            if kind == "blank":
                parts.append(" " * len(token))
            elif token.isascii() and "\\" not in token:
                parts.append(token)
            else:  # only between quotes; what stands there is taken from the source
                parts.append(f"'{'x' * (len(token) - 2)}'")
        raise RequestTooLargeError(
            f"the expression has more than {MAX_TOKENS} words and signs",
            hint="split it into several conditions or columns",
        )

    def _check(self, kind: str, token: str, position: int, previous: str) -> None:
        end = position + len(token)
        after = self._source.text[end : end + 1]
        if kind == "name" and after in {"'", '"'}:
            raise self._source.syntax_error(
                position, f"text with the prefix {token!r} is not part of the language"
            )
        if kind == "number" and (after.isalnum() or after == "_"):
            raise self._source.syntax_error(
                position,
                "a name cannot begin with a digit",
                hint=f"use {self._spelling.odd_name} for a branch whose name is not a plain word",
            )
        if kind == "string" and previous == "string":
            raise self._source.syntax_error(position, "two texts side by side")
        if not token.isascii() and any("\ud800" <= sign <= "\udfff" for sign in token):
            raise self._source.syntax_error(position, "half a character, which no text can hold")
        most = {"number": _MAX_DIGITS, "string": self._spelling.max_string}.get(kind, _MAX_NAME)
        if kind != "blank" and len(token) > most:
            raise self._source.syntax_error(position, f"{kind} of {len(token)} characters")
        if token in {"&", "|"} and after == token:
            raise self._source.syntax_error(
                position,
                f"{token}{token} is not part of the language",
                hint=self._spelling.logic[token + token],
            )
        if kind == "operator" and token.startswith("!") and len(token) == 1:
            raise self._source.syntax_error(
                position, "! is not part of the language", hint=self._spelling.logic["!"]
            )

    def _count(self, kind: str, token: str) -> None:
        if kind == "operator" or (kind == "name" and iskeyword(token)):
            self._chains[-1] += 1
            self._chain_sum += 1
        elif kind == "comma":
            self._chain_sum -= self._chains[-1]
            self._chains[-1] = 0
        elif kind == "open":
            self._chains.append(0)
        elif kind == "close" and len(self._chains) > 1:
            self._chain_sum -= self._chains.pop()
        if len(self._chains) > self._limits.max_nesting or self._chain_sum > MAX_CHAIN:
            raise too_deep(self._limits)

    def _bad_character(self, position: int) -> Exception:
        character = self._source.text[position]
        hint = _HINTS.get(character) or meant_by(character)
        if character in "'\"":
            problem = self._spelling.not_closed
        elif character.isprintable():
            problem = f"the character {character!r} is not part of the language"
            if character.isalpha() and hint is None:
                hint = f"names are ASCII; use {self._spelling.odd_name} for others"
        else:
            problem = f"the character with code {ord(character)} is not part of the language"
        return self._source.syntax_error(position, problem, hint=hint)


def too_deep(limits: Limits) -> RequestTooLargeError:
    """Return the error for an expression that nests beyond the limit."""
    return RequestTooLargeError(
        f"the expression nests deeper than {limits.max_nesting} levels",
        hint="name parts of it as columns of their own",
    )
