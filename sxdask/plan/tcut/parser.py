"""Words and signs -> tree, cut at the operators in the order in which ROOT cuts.

ROOT does not follow the precedence of C++: a formula is cut at the first or the
last operator of the loosest kind that it has, and each side again [1]_. So
``<`` is looser than ``==``, ``>>`` is tighter than ``+``, and ``a < b < c`` is
``a < (b < c)``.

References
----------
.. [1] ROOT 6.40, ``ROOT::v5::TFormula::Analyze``.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeAlias

from sxdask.plan.lexer import too_deep
from sxdask.plan.tcut.tokens import Token, bounded_depth, tokens_of
from sxdask.plan.tcut.tree import Call, Choice, Formula, Infix, Name, Number, Prefix, Size, Text

if TYPE_CHECKING:
    from sxdask.plan.lexer import Limits
    from sxdask.plan.place import SourceText

Which: TypeAlias = Literal["all", "first", "last"]

_LEVELS: Final[tuple[tuple[str, Which], ...]] = (
    ("||", "all"),
    ("&&", "all"),
    ("|", "first"),
    ("&", "first"),
    ("<", "first"),
    (">", "first"),
    ("<=", "first"),
    (">=", "first"),
    ("==", "first"),
    ("!=", "first"),
    ("+", "last"),
    ("-", "last"),
    ("%", "first"),
    (">>", "first"),
    ("<<", "first"),
    ("*", "first"),
    ("/", "last"),
    ("^", "last"),
)
_BINARY: Final = frozenset(sign for sign, _ in _LEVELS)
_SHIFT: Final = {"<": "<<", ">": ">>"}


def parse_formula(source: SourceText, limits: Limits) -> Formula:
    """Return the tree of the formula that is the text of `source`.

    Raises
    ------
    SelectionSyntaxError
        With a caret under the mistake.
    RequestTooLargeError
        If it is too long or nests too deep.
    """
    tokens = tokens_of(source, limits)
    if not tokens:
        raise source.syntax_error(0, "the formula is empty", hint="such as: Muon_pt > 20")
    with bounded_depth(limits):
        return _Parser(source, tokens, limits).formula(0, len(tokens))


class _Parser:
    """Cuts ``tokens[low:high]``; the recursion is as deep as the formula nests."""

    def __init__(self, source: SourceText, tokens: tuple[Token, ...], limits: Limits) -> None:
        self._source = source
        self._tokens = tokens
        self._limits = limits
        self._depth = 0

    def formula(self, low: int, high: int) -> Formula:
        """Return the tree of a part of the formula."""
        self._depth += 1
        if self._depth > self._limits.max_nesting:
            raise too_deep(self._limits)
        while high - low > 1 and self._tokens[low].text == "(" and self._match(low) == high - 1:
            low, high = low + 1, high - 1
        if low >= high:
            self._refuse(low, "a value is expected here")
        found = self._cut(low, high)
        self._depth -= 1
        return found

    def _cut(self, low: int, high: int) -> Formula:
        signs = self._signs(low, high)
        choice = self._choice(signs, low, high)
        if choice is not None:
            return choice
        for sign, which in _LEVELS:
            at = [place for place in signs if self._tokens[place].text == sign]
            if sign == "<":
                self._require_no_template(signs)
            if sign in _SHIFT:
                at = self._seen(at, sign, signs)
            elif sign == "+":
                at = [place for place in at if place > low]
            elif sign == "-":
                at = [place for place in at if self._text(place - 1, low) not in {"*", "/", "^"}]
            if at:
                chosen = at if which == "all" else at[-1:] if which == "last" else at[:1]
                return self._split(sign, chosen, low, high)
        return self._primary(low, high)

    def _signs(self, low: int, high: int) -> list[int]:
        """Return the places of operators that are in no bracket."""
        found, place = [], low
        while place < high:
            token = self._tokens[place]
            if token.kind == "open":
                place = token.match
            elif token.kind == "sign":
                found.append(place)
            place += 1
        return found

    def _seen(self, at: list[int], sign: str, signs: list[int]) -> list[int]:
        """Return the places of ``<`` or ``>`` that ROOT sees.

        It does not see them behind a shift, nor before ``<=`` or ``>=``.
        """
        shifts = [place for place in signs if self._tokens[place].text == _SHIFT[sign]]
        equal = [place for place in signs if self._tokens[place].text == f"{sign}="]
        if len(equal) > 1:
            self._refuse(
                equal[1], f"a second '{sign}=' at the same level", f"write a{sign}=b && b{sign}=c"
            )
        return [
            place
            for place in at
            if not (shifts and shifts[0] < place) and not (equal and place < equal[0])
        ]

    def _require_no_template(self, signs: list[int]) -> None:
        for first, second in pairwise(signs):
            texts = (self._tokens[first].text, self._tokens[second].text)
            plain = all(
                item.kind in {"name", "number"} for item in self._tokens[first + 1 : second]
            )
            if texts[0] == "<" and texts[1] in {">", ">=", ">>"} and plain:
                self._refuse(first, "ROOT reads <...> as a template argument", "put parentheses")

    def _choice(self, signs: list[int], low: int, high: int) -> Choice | None:
        begin = next((place for place in signs if self._tokens[place].text == "?"), None)
        colon = next((place for place in signs if self._tokens[place].text == ":"), None)
        if begin is None:
            if colon is not None:
                self._refuse(colon, "':' without '?' before it", "a cut is one formula")
            return None
        colon = next((p for p in signs if p > begin and self._tokens[p].text == ":"), None)
        if colon is None:
            self._refuse(begin, "'?' without ':' after it", "write condition ? value : value")
        return Choice(
            self.formula(low, begin),
            self.formula(begin + 1, colon),
            self.formula(colon + 1, high),
            self._tokens[low].start,
            self._tokens[high - 1].stop,
        )

    def _split(self, sign: str, at: list[int], low: int, high: int) -> Formula:
        start, stop = self._tokens[low].start, self._tokens[high - 1].stop
        if sign == "-" and at[0] == low:
            return Prefix("-", self._side(at[0], low + 1, high), start, stop)
        edges = [low - 1, *at, high]
        operands = tuple(
            self._side(at[min(number, len(at) - 1)], begin + 1, end)
            for number, (begin, end) in enumerate(pairwise(edges))
        )
        return Infix(sign, operands, start, stop)

    def _side(self, sign: int, low: int, high: int) -> Formula:
        if low >= high:
            self._refuse(sign, f"{self._tokens[sign].text!r} needs a value on both sides")
        return self.formula(low, high)

    # -- what has no operator at its outside ------------------------------------------------

    def _primary(self, low: int, high: int) -> Formula:
        token = self._tokens[low]
        if token.text == "!" and high - low > 1:
            return Prefix(
                "!", self.formula(low + 1, high), token.start, self._tokens[high - 1].stop
            )
        if token.kind in {"number", "text"} or token.text == "+":
            return self._literal(low, high)
        if token.text == "@":
            return self._size(low, high)
        if token.kind != "name":
            self._refuse(low, f"a value is expected here, not {token.text!r}")
        after = self._text(low + 1, low, high)
        if after == "(":
            return self._call(low, high)
        return self._name(low, high)

    def _literal(self, low: int, high: int) -> Formula:
        token = self._tokens[low]
        if token.text == "+":
            if self._tokens[min(low + 1, high - 1)].kind != "number":
                self._refuse(low, "ROOT knows no + before a name", "leave it out")
            low, token = low + 1, self._tokens[low + 1]
        if high - low > 1:
            self._refuse(low + 1, "an operator is expected here")
        if token.kind == "text":
            return Text(token.text[1:-1], token.start, token.stop)
        return Number(_number(token.text), token.start, token.stop)

    def _call(self, low: int, high: int) -> Formula:
        close = self._match(low + 1)
        if close != high - 1:
            self._refuse(close + 1, "an operator is expected here")
        token = self._tokens[low]
        args: list[Formula] = []
        begin = low + 2
        for comma in [p for p in self._signs(begin, close) if self._tokens[p].text == ","] + [
            close
        ]:
            if comma > begin or args or comma != close:
                args.append(self.formula(begin, comma))
            begin = comma + 1
        return Call(token.text, tuple(args), token.start, self._tokens[close].stop)

    def _name(self, low: int, high: int) -> Formula:
        """Return a branch: its name, cut by dots, with indices anywhere between."""
        name, indices, place = self._tokens[low].text, list[Formula | None](), low + 1
        while place < high:
            token = self._tokens[place]
            following = self._text(place + 1, low, high)
            if token.text == "[":
                close = self._match(place)
                inner = close > place + 1
                indices.append(self._index(place + 1, close) if inner else None)
                place = close + 1
            elif token.text == "@":
                return self._size(low, high)
            elif token.text in {".", "->"} and place + 1 == high and token.text == ".":
                name, place = f"{name}.", place + 1
            elif token.text in {".", "->"} and self._tokens[place + 1].kind == "name":
                if self._text(place + 2, low, high) == "(":
                    self._refuse(
                        place + 1,
                        f"methods such as {following}() cannot be called without C++",
                        "use @name.size() for the number of items, or a branch",
                    )
                name, place = f"{name}.{following}", place + 2
            else:
                self._refuse(place, "an operator is expected here")
        stop = self._tokens[high - 1].stop
        return Name(name, tuple(indices), self._tokens[low].start, stop)

    def _index(self, low: int, high: int) -> Formula:
        found = self.formula(low, high)
        if isinstance(found, Number) and high - low > 1:
            # only a number as it stands is an item by position: x[(1)] is computed
            return Number(float(found.value), found.start, found.stop)
        return found

    def _size(self, low: int, high: int) -> Formula:
        """Return ``@name.size()`` or ``name@.size()``."""
        texts = [token.text for token in self._tokens[low:high]]
        if texts[-4:] != [".", "size", "(", ")"] or texts.count("@") != 1:
            self._refuse(low, "'@' stands in @name.size() alone")
        name = "".join(texts[:-4]).replace("@", "")
        kinds = {token.kind for token in self._tokens[low : high - 4] if token.text not in ".@"}
        if kinds != {"name"}:
            self._refuse(low, "'@' stands in @name.size() alone")
        return Size(name, self._tokens[low].start, self._tokens[high - 1].stop)

    # -- places -----------------------------------------------------------------------------

    def _match(self, place: int) -> int:
        return self._tokens[place].match

    def _text(self, place: int, low: int, high: int | None = None) -> str:
        inside = low <= place < (len(self._tokens) if high is None else high)
        return self._tokens[place].text if inside else ""

    def _refuse(self, place: int, problem: str, hint: str | None = None) -> NoReturn:
        here = place < len(self._tokens)
        column = self._tokens[place].start if here else len(self._source.text)
        if here and hint is None:
            hint = _WORDS.get(self._tokens[place].text.lower())
        raise self._source.syntax_error(column, problem, hint=hint)


_WORDS: Final = {"and": "write &&", "or": "write ||", "not": "write !"}


def _number(text: str) -> float | int:
    if text[:2] in {"0x", "0X"}:
        return int(text, 16)
    return int(text) if text.isdigit() else float(text)
