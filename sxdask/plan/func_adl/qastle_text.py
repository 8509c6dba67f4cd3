"""qastle, the s-expressions in which func_adl queries travel -> query tree.

A reader of its own: qastle's takes time beyond any bound for some texts and
knows no places. Facts: qastle 0.19, ``syntax.lark`` and ``translate``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, NoReturn

from sxdask.core.errors import RequestTooLargeError, close_names
from sxdask.plan.func_adl.build import Builder
from sxdask.plan.func_adl.python_text import SPELLING, read_lambda
from sxdask.plan.func_adl.qastle_nodes import KINDS
from sxdask.plan.func_adl.qastle_nodes import node as make
from sxdask.plan.func_adl.quoted import QUOTED, unquote
from sxdask.plan.func_adl.tree import Tree, Value
from sxdask.plan.func_adl.whole import require_text, whole
from sxdask.plan.lexer import MAX_CHAIN, MAX_TOKENS, Limits, require_size, too_deep
from sxdask.plan.place import SourceText, meant_by

if TYPE_CHECKING:
    from sxdask.plan.expr import Span

_TOKEN: Final = re.compile(
    rf"""(?P<blank>[ \t\r\n]+)
      | (?P<open>\()
      | (?P<close>\))
      | (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<string>{QUOTED})
      | (?P<sign>\*\*|//|<<|>>|<=|>=|==|!=|[-+*/%&|^~<>])
    """,
    re.VERBOSE | re.ASCII,
)
_CONSTANTS: Final = {"True": True, "False": False, "None": None}
_MAX_WORD: Final = 1_000
_MAX_DIGITS: Final = 40


@dataclass(slots=True)
class _Open:
    """A composite node that is not closed yet."""

    start: int
    kind: str = ""
    parts: list[Tree] = field(default_factory=list)


def parse_qastle(text: str, limits: Limits, tree: str | None = None) -> Tree:
    """Return the query written in `text` as qastle.

    `tree` names the tree to read in place of the one in the query.

    Raises
    ------
    RequestError
        If there is no text.
    SelectionSyntaxError
        If it is not one query, with the place.
    RequestTooLargeError
        If it is beyond a limit.
    """
    require_size(text, limits)
    require_text(text)
    source = SourceText(text)
    return whole(_Reader(source, limits, tree).read(), source, limits, tree)


class _Reader:
    """Read tokens one by one; what is open stands on a stack of its own, not on Python's."""

    def __init__(self, source: SourceText, limits: Limits, tree: str | None) -> None:
        self._source = source
        self._limits = limits
        self._build = Builder(source, self._text_lambda, tree)
        self._open: list[_Open] = []
        self._done: Tree | None = None

    def read(self) -> Tree:
        """Return the tree of the whole text."""
        text, position, apart = self._source.text, 0, True
        for _ in range(MAX_TOKENS):
            if position == len(text):
                return self._end()
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._bad_character(position)
            kind, span = match.lastgroup or "", match.span()
            if kind != "blank":
                self._take(kind, match.group(), span, apart=apart)
            position, apart = span[1], kind == "blank"
        raise RequestTooLargeError(
            f"the query has more than {MAX_TOKENS} words and signs",
            hint="split it into several queries",
        )

    def _end(self) -> Tree:
        if self._open:
            self._refuse((len(self._source.text), 0), "a node is not closed: ) is missing")
        if self._done is None:
            self._refuse((0, 0), "the query is empty")
        return self._done

    def _bad_character(self, position: int) -> Exception:
        character = self._source.text[position]
        hint = meant_by(character)
        if character in "'\"":
            problem = SPELLING.not_closed
        elif character.isprintable():
            problem = f"the character {character!r} is not part of qastle"
            hint = hint or "such as (call Count (call EventDataset))"
        else:
            problem = f"the character with code {ord(character)} is not part of qastle"
        return self._source.syntax_error(position, problem, hint=hint)

    def _refuse(self, span: Span, problem: str, hint: str | None = None) -> NoReturn:
        self._build.refuse(span, problem, hint)

    def _take(self, kind: str, token: str, span: Span, *, apart: bool) -> None:
        if self._done is not None:
            self._refuse(span, "the query ended before this", "give one query")
        if self._open and not self._open[-1].kind:
            self._begin(kind, token, span)
        elif kind == "close":
            self._close(span)
        elif self._open and not apart:
            self._refuse(span, "a blank is missing before this")
        elif kind == "open":
            if len(self._open) >= MAX_CHAIN:
                raise too_deep(self._limits)
            self._open.append(_Open(span[0]))
        else:
            self._add(self._atom(kind, token, span))

    def _begin(self, kind: str, token: str, span: Span) -> None:
        if kind not in {"name", "sign"}:
            self._refuse(span, "a node begins with its kind", "such as (attr e 'pt')")
        if token not in KINDS:
            hint = close_names(token, KINDS) or f"call a function by (call {token[:40]} ...)"
            self._refuse(span, f"qastle has no node {token[:40]!r}", hint)
        self._open[-1].kind = token

    def _close(self, span: Span) -> None:
        if not self._open:
            self._refuse(span, "nothing is open here")
        node = self._open.pop()
        self._add(make(self._build, node.kind, tuple(node.parts), (node.start, span[1])))

    def _add(self, tree: Tree) -> None:
        if self._open:
            self._open[-1].parts.append(tree)
        else:
            self._done = tree

    # -- atoms -----------------------------------------------------------------------------

    def _atom(self, kind: str, token: str, span: Span) -> Tree:
        if kind == "string":
            return Value(unquote(self._source, *span).text, span)
        if len(token) > (_MAX_DIGITS if kind == "number" else _MAX_WORD):
            self._refuse(span, f"{kind} of {len(token)} characters")
        if kind == "number":
            return self._number(token, span)
        if kind == "sign":
            self._refuse(span, "an operator stands first in its node", f"({token} a b)")
        if token in _CONSTANTS:
            return Value(_CONSTANTS[token], span)
        return self._build.name(token, span)

    def _number(self, token: str, span: Span) -> Tree:
        after = self._source.text[span[1] : span[1] + 1]
        if after.isalnum() or after in {"_", "."}:
            self._refuse(span, "this is neither a number nor a name")
        digits = token.lstrip("+-")
        if not digits.isdecimal():
            return self._build.number(float(token), span)
        if digits.startswith("0") and digits.strip("0"):
            self._refuse(span, "a whole number does not begin with 0")
        return self._build.number(int(token), span)

    def _text_lambda(self, value: Value) -> Tree:
        piece = unquote(self._source, *(value.span or (0, 0)))
        return read_lambda(piece, self._source, self._limits, len(self._open))
