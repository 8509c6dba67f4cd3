"""The condition of a query: comparisons joined by ``&&``, ``||`` and ``!``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NoReturn

from sxdask.core.errors import RequestTooLargeError
from sxdask.core.types import list_depth
from sxdask.plan.expr import Column, Compare, CompareOp, Constant, Expr, Unary
from sxdask.plan.skyhook.tokens import EXAMPLE
from sxdask.plan.syntax import balanced
from sxdask.plan.types import infer, require_predicate

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.plan.lexer import Limits
    from sxdask.plan.place import SourceText
    from sxdask.plan.skyhook.columns import Columns
    from sxdask.plan.skyhook.tokens import Token

MAX_NESTING: Final = 20
"""Parentheses in parentheses; each takes a few frames of Python's own stack."""

_COMPARE: Final[dict[str, CompareOp]] = {
    "<": "<",
    "<=": "<=",
    ">": ">",
    ">=": ">=",
    "==": "==",
    "=": "==",
    "!=": "!=",
    "<>": "!=",
}
_WORDS: Final = {"and": "&&", "or": "||", "not": "!"}
_SINGLE: Final = {"&": "&&", "|": "||"}


def is_name(token: Token) -> bool:
    """Say whether a word is the name of a column, and not one of ``and or not``."""
    return token.kind == "name" and token.text.lower() not in _WORDS


@dataclass
class Condition:
    """Reads the words of a condition, last of which is the end; see `expression`."""

    source: SourceText
    tokens: tuple[Token, ...]
    columns: Columns
    limits: Limits
    _at: int = 0
    _depth: int = 0

    def expression(self) -> Expr | None:
        """Return the condition, None for ``*``, which all events pass.

        Raises
        ------
        SelectionSyntaxError, SelectionTypeError, UnknownBranchError
            With a caret under the mistake.
        """
        if self._sign() == "*" and self.tokens[1].kind == "end":
            return None
        found = self._any_of()
        if self._now.kind != "end":
            if self._now.kind == "close":
                self._refuse("this parenthesis closes nothing")
            self._refuse(f"{self._now.text!r} is not expected here")
        require_predicate(found, self.columns.schema, self.source)
        return found

    @property
    def _now(self) -> Token:
        return self.tokens[self._at]

    def _sign(self) -> str:
        token = self._now
        if token.kind == "name":
            return _WORDS.get(token.text.lower(), "")
        return token.text if token.kind == "sign" else ""

    def _any_of(self) -> Expr:
        return self._joined("||", lambda: self._joined("&&", self._negation))

    def _joined(self, sign: str, part: Callable[[], Expr]) -> Expr:
        parts = [part()]
        while (found := self._sign()) == sign or found in _SINGLE:
            if found in _SINGLE:
                self._refuse(f"{found!r} does not join conditions", f"write {_SINGLE[found]}")
            self._at += 1
            parts.append(part())
        return balanced("&" if sign == "&&" else "|", parts)

    def _negation(self) -> Expr:
        sign, count = self._now, 0
        while self._sign() == "!":
            self._at, count = self._at + 1, count + 1
        bare = self._now.kind != "open"
        found = self._comparison()
        if count and bare and isinstance(found, Compare) and sign.text == "!":
            raise self.source.syntax_error(
                sign.start,
                "C++ and SQL read ! before a comparison differently",
                hint="write !(...)",
            )
        # a row passes or not: to negate twice is to do nothing
        return Unary("~", found, (sign.start, self._stop)) if count % 2 else found

    def _comparison(self) -> Expr:
        start = self._now.start
        if self._now.kind == "open":
            return self._parenthesis()
        left = self._operand()
        op = _COMPARE.get(self._sign())
        if op is None:
            return left
        self._at += 1
        right = self._operand()
        if self._sign() in _COMPARE:
            self._refuse("a comparison has two sides", "join two with &&: 5 < x && x < 9")
        if not isinstance(left, Column) and not isinstance(right, Column):
            raise self.source.syntax_error(start, "two numbers are compared", hint=EXAMPLE)
        return Compare(op, left, right, (start, self._stop))

    def _parenthesis(self) -> Expr:
        opened = self._take()
        self._depth += 1
        most = min(MAX_NESTING, self.limits.max_nesting)
        if self._depth > most:
            raise RequestTooLargeError(
                f"the condition nests deeper than {most} levels",
                hint="leave out parentheses that && and || do not need",
            )
        found = self._any_of()
        if self._take().kind != "close":
            raise self.source.syntax_error(opened.start, "this parenthesis is not closed")
        self._depth -= 1
        return found

    def _take(self) -> Token:
        token = self._now
        self._at = min(self._at + 1, len(self.tokens) - 1)
        return token

    @property
    def _stop(self) -> int:
        return self.tokens[self._at - 1].stop

    def _operand(self) -> Column | Constant:
        token, minus = self._now, 1
        start = token.start
        if token.text in {"-", "+"}:
            minus = -1 if token.text == "-" else 1
            self._at += 1
            token = self._now
            if token.kind != "number":
                self._refuse("a number is expected here")
        if token.kind == "number":
            self._at += 1
            return Constant(self._number(token) * minus, (start, token.stop))
        if not is_name(token):
            what = "the condition ends here" if token.kind == "end" else f"{token.text!r} is here"
            self._refuse(f"a column or a number is expected, and {what}", EXAMPLE)
        self._at += 1
        column = self.columns.one(token.text, token.start)
        kind = infer(column, self.columns.schema)
        if list_depth(kind) > 0:
            raise self.source.type_error(
                column,
                f"{token.text} has a list per event ({kind}), and a condition is about one value",
                hint="ask in the language 'tcut' or 'native' for conditions on lists",
            )
        return column

    def _number(self, token: Token) -> int | float:
        if not token.text.isdigit():
            return float(token.text)
        value = int(token.text)
        if value >= 2**64:
            raise self.source.syntax_error(token.start, "a whole number of more than 64 bits")
        return value

    def _refuse(self, problem: str, hint: str | None = None) -> NoReturn:
        raise self.source.syntax_error(self._now.start, problem, hint=hint)
