"""Random queries that have a meaning, as text: a grammar with types, bounded in depth.

Numbers are multiples of 1/8 and stay small, so that sums and comparisons are
exact in any order; only a last division rounds. A constant stands alone on the
right of an operator: two of them would be folded into one that an int8 does
not hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from hypothesis import strategies as st

from tests.differential.func_adl.write_small_tree import LISTS, NESTED, NUMBERS, ONE

if TYPE_CHECKING:
    from collections.abc import Callable

REALS = ("x", "y", "f32", "f64")
WHOLES = (*(name for name in NUMBERS if name[0] in "iu"), "n")
FLAGS = tuple(name for name, kind in ONE.items() if kind == "b")
NUMBER_LISTS = tuple(
    f"{group}_{name}"
    for group, columns in LISTS.items()
    for name, kind in columns.items()
    if kind != "b"
)
PARTS = {"pt": "mu_pt", "eta": "mu_eta", "q": "mu_q"}
VARIABLES = "abcdfghijk"


@dataclass(frozen=True)
class Scope:
    """Variables that an expression may use, by what they are, and how deep it may still go."""

    depth: int
    numbers: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    used: int = 0

    def below(self) -> Scope:
        """Return the scope of an operand."""
        return replace(self, depth=self.depth - 1)

    def name(self) -> str:
        """Return a name for the next variable."""
        return VARIABLES[self.used]

    def bind(self, kind: str) -> Scope:
        """Return the scope within a lambda over a list of numbers, lists or records."""
        known: tuple[str, ...] = getattr(self, kind)
        added = {kind: (*known, self.name()), "used": self.used + 1, "depth": self.depth - 1}
        return replace(self, **added)  # type: ignore[arg-type]


class Grammar:
    """Draw texts; every method returns an expression of the type in its name."""

    def __init__(self, draw: Callable[[st.SearchStrategy[str]], str]) -> None:
        self._draw = draw

    def pick(self, *choices: str) -> str:
        """Return one of `choices`, the simplest first."""
        return self._draw(st.sampled_from(choices))

    def number(self, scope: Scope) -> str:
        """One number: of the event, of an item, or of a list."""
        if scope.depth <= 0:
            return self._plain_number(scope)
        below = scope.below()
        match self.pick("plain", "constant", "two", "unary", "condition", "reduction"):
            case "plain":
                return self._plain_number(scope)
            case "constant":
                op, right = self.pick("+", "-", "*", "//", "%"), self.pick("2", "3", "1.5")
                return f"({self.number(below)} {op} {right})"
            case "two":
                op = self.pick("+", "-")
                return f"({self.number(below)} {op} {self.number(below)})"
            case "unary":
                return self.pick("abs({})", "np.square({})", "np.abs({})").format(
                    self._plain_number(scope)
                )
            case "condition":
                orelse = self.pick(self.number(below), "0", "-1", "0.5")
                return f"({self.number(below)} if {self.truth(below)} else {orelse})"
            case _:
                return self._reduction(below)

    def _plain_number(self, scope: Scope) -> str:
        events = [f"e.{name}" for name in (*REALS, *WHOLES)]
        items = [*scope.numbers, *(f"{item}.{name}" for item in scope.records for name in PARTS)]
        # func_adl_uproot is wrong where a lambda leaves its own variable out: mostly take it
        return (
            self.pick(*items)
            if items and self.pick("item", "item", "event") == "item"
            else (self.pick(*events))
        )

    def _reduction(self, scope: Scope) -> str:
        match self.pick("Count", "Sum", "Max", "Min", "of lists"):
            case "of lists":
                inner = self.pick("Count()", "Sum()")
                name = scope.name()
                return f"{self.nested(scope)}.Select(lambda {name}: {name}.{inner}).Sum()"
            case name:
                return f"{self.numbers(scope)}.{name}()"

    def truth(self, scope: Scope) -> str:
        """One boolean."""
        below = scope.below()
        if scope.depth <= 0:
            return f"({self.number(below)} > 1)"
        match self.pick("compare", "flag", "chain", "joined", "not", "any", "in"):
            case "flag":
                return self.pick(*(f"e.{name}" for name in FLAGS))
            case "compare":
                op = self.pick(">", "<=", "==", "!=")
                return f"({self.number(below)} {op} {self.pick('1', '2.5', self.number(below))})"
            case "chain":
                return f"(0 < {self.number(below)} <= 3)"
            case "joined":
                return f"({self.truth(below)} {self.pick('and', 'or')} {self.truth(below)})"
            case "not":
                return f"(not {self.truth(below)})"
            case "any":
                inner = scope.bind("numbers")
                operator = self.pick("Any", "All")
                body = self.truth(inner)
                return f"{self.numbers(below)}.{operator}(lambda {scope.name()}: {body})"
            case _:
                return f"({self.number(below)} in [1, 2, 1.5])"

    def numbers(self, scope: Scope) -> str:
        """A list of numbers."""
        if scope.depth <= 0:
            return self._plain_numbers(scope)
        below, inner, name = scope.below(), scope.bind("numbers"), scope.name()
        shape = ("plain", "Where", "Select", "OrderBy", "times", "Concat", "records", "SelectMany")
        match self.pick(*shape):
            case "plain":
                return self._plain_numbers(scope)
            case "Where":
                return f"{self.numbers(below)}.Where(lambda {name}: {self.truth(inner)})"
            case "Select":
                return f"{self.numbers(below)}.Select(lambda {name}: {self.number(inner)})"
            case "OrderBy":
                order = self.pick("OrderBy", "OrderByDescending")
                key = self.pick(name, f"abs({name} - 2)", f"-{name}", f"({name} % 3)")
                return f"{self.numbers(below)}.{order}(lambda {name}: {key})"
            case "times":
                return f"({self.numbers(below)} * {self.pick('2', '0.5', 'e.x')})"
            case "Concat":
                return f"{self.numbers(below)}.Concat({self.numbers(below)})"
            case "records":
                body = self.number(scope.bind("records"))
                return f"{self.records(below)}.Select(lambda {name}: {body})"
            case _:
                body = self.numbers(scope.bind("lists"))
                return f"{self.nested(below)}.SelectMany(lambda {name}: {body})"

    def _plain_numbers(self, scope: Scope) -> str:
        if scope.lists and self.pick("item", "item", "event") == "item":
            return self.pick(*scope.lists)
        return self.pick(*(f"e.{name}" for name in NUMBER_LISTS))

    def nested(self, scope: Scope) -> str:
        """A list of lists of numbers."""
        plain = tuple(f"e.{name}" for name in NESTED)
        if scope.depth <= 0:
            return self.pick(*plain)
        below, inner, name = scope.below(), scope.bind("lists"), scope.name()
        match self.pick("plain", "Where", "Select", "captured", "Choose"):
            case "plain":
                return self.pick(*plain)
            case "Where":
                return f"{self.nested(below)}.Where(lambda {name}: {self.truth(inner)})"
            case "Select":
                return f"{self.nested(below)}.Select(lambda {name}: {self.numbers(inner)})"
            case "captured":
                body = self.numbers(scope.bind("numbers"))
                return f"{self.numbers(below)}.Select(lambda {name}: {body})"
            case _:
                return f"{self.numbers(below)}.Choose({self.pick('2', '3')})"

    def records(self, scope: Scope) -> str:
        """A list of records of numbers."""
        zipped = "Zip({" + ", ".join(f'"{key}": e.{name}' for key, name in PARTS.items()) + "})"
        if scope.depth <= 0:
            return zipped
        inner, name = scope.bind("records"), scope.name()
        match self.pick("plain", "Where", "OrderBy"):
            case "plain":
                return zipped
            case "Where":
                return f"{self.records(scope.below())}.Where(lambda {name}: {self.truth(inner)})"
            case _:
                return f"{zipped}.OrderBy(lambda {name}: {name}.{self.pick(*PARTS)})"

    def any_value(self, scope: Scope) -> str:
        """What a column may be."""
        kind = self.pick("number", "truth", "numbers", "nested", "records", "quotient")
        if kind == "quotient":
            return f"({self.number(scope)} / {self.pick('3', 'e.n', 'e.y')})"
        return str(getattr(self, kind)(scope))

    def query(self, depth: int) -> str:
        """A whole query."""
        scope, text = Scope(depth), "EventDataset()"
        if self.pick("all", "some") == "some":
            text += f".Where(lambda e: {self.truth(scope)})"
        match self.pick("one", "record", "tuple", "items", "items of items"):
            case "one":
                return f"{text}.Select(lambda e: {self.any_value(scope)})"
            case "record":
                keys = self.pick("a", "ab", "abc")
                fields = ", ".join(f'"{key}": {self.any_value(scope)}' for key in keys)
                return f"{text}.Select(lambda e: {{{fields}}})"
            case "tuple":
                return f"{text}.Select(lambda e: ({self.any_value(scope)}, {self.number(scope)}))"
            case "items":
                items = self.pick(self.numbers(scope), self.records(scope))
                return f"{text}.SelectMany(lambda e: {items})"
            case _:
                return f"{text}.SelectMany(lambda e: {self.nested(scope)})"


@st.composite
def queries(draw: st.DrawFn, depth: int = 3) -> str:
    """Return the text of a query over the small tree, in Python notation."""
    return Grammar(draw).query(depth)
