"""Random queries that have a meaning, as text: a grammar with types, bounded in depth.

Numbers are multiples of 1/8 and stay small, so that sums and comparisons are
exact in any order; only a last division rounds. A constant stands alone on the
right of an operator: two of them would be folded into one that an int8 does
not hold.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from hypothesis import strategies as st

from tests.differential.func_adl.write_small_tree import LISTS, NESTED, ONE

if TYPE_CHECKING:
    from collections.abc import Callable

PARTS: Final = {"pt": "mu_pt", "eta": "mu_eta", "q": "mu_q"}
ZIPPED: Final = "Zip({" + ", ".join(f'"{key}": e.{name}' for key, name in PARTS.items()) + "})"
VARIABLES: Final = "abcghijkmn"


@dataclass(frozen=True)
class Scope:
    """What an expression may use, by its type, and how deep it may still go.

    The first four are columns of the row, the last three variables of lambdas
    within it: a number, a list, a record of `PARTS`.
    """

    depth: int
    columns: tuple[str, ...]
    flags: tuple[str, ...]
    column_lists: tuple[str, ...]
    nested: tuple[str, ...]
    zipped: str = ZIPPED
    numbers: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    records: tuple[str, ...] = ()

    @property
    def present(self) -> tuple[str, ...]:
        """Return numbers that are never missing, as Max of nothing is."""
        return self.columns if self.zipped == ZIPPED else ("1", "2.5")

    def below(self) -> Scope:
        """Return the scope of an operand."""
        return replace(self, depth=self.depth - 1)

    def name(self) -> str:
        """Return a name for the next variable."""
        return VARIABLES[len(self.numbers) + len(self.lists) + len(self.records)]

    def bind(self, kind: str) -> Scope:
        """Return the scope within a lambda over a list of numbers, lists or records."""
        known: tuple[str, ...] = getattr(self, kind)
        added = {kind: (*known, self.name()), "depth": self.depth - 1}
        return replace(self, **added)  # type: ignore[arg-type]


EVENT: Final = Scope(
    depth=0,
    columns=tuple(f"e.{name}" for name, kind in ONE.items() if kind != "b" and name != "odd"),
    flags=tuple(f"e.{name}" for name, kind in ONE.items() if kind == "b"),
    column_lists=tuple(
        f"e.{group}_{name}"
        for group, columns in LISTS.items()
        for name, kind in columns.items()
        if kind != "b"
    ),
    nested=tuple(f"e.{name}" for name in NESTED),
)
# A row that an earlier Select made, with these columns.
ROW: Final = Scope(0, ("d.x",), ("d.f",), ("d.l",), ("d.h",), zipped="d.z")


class Grammar:
    """Draw texts; every method returns an expression of the type in its name."""

    def __init__(self, draw: Callable[[st.SearchStrategy[str]], str]) -> None:
        self._draw = draw

    def pick(self, *choices: str) -> str:
        """Return one of `choices`, the simplest first."""
        return self._draw(st.sampled_from(choices))

    def _item_or_column(self, items: list[str], columns: tuple[str, ...]) -> str:
        # func_adl_uproot is wrong where a lambda leaves its own variable out: mostly take it
        if items and self.pick("item", "item", "column") == "item":
            return self.pick(*items)
        return self.pick(*columns)

    def number(self, scope: Scope) -> str:
        """One number: of the row, of an item, or of a list."""
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
                return f"({self.number(below)} {self.pick('+', '-')} {self.number(below)})"
            case "unary":
                function = self.pick("abs", "np.square", "np.abs", "np.floor", "-")
                return f"({function}({self._plain_number(scope)}))"
            case "condition":
                orelse = self.pick(self.number(below), "0", "-1", "0.5")
                return f"({self.number(below)} if {self.truth(below)} else {orelse})"
            case _:
                return self._reduction(below)

    def _plain_number(self, scope: Scope) -> str:
        fields = [f"{item}.{name}" for item in scope.records for name in PARTS]
        return self._item_or_column([*scope.numbers, *fields], scope.columns)

    def _reduction(self, scope: Scope) -> str:
        match self.pick("Count", "Sum", "Max", "Min", "of lists", "first"):
            case "of lists":
                inner, name = self.pick("Count()", "Sum()"), scope.name()
                return f"{self.lists(scope)}.Select(lambda {name}: {name}.{inner}).Sum()"
            case "first":
                items, one = self.numbers(scope), self.pick("First()", "Last()")
                return f"({items}.{one} if {items}.Count() > 0 else {self._plain_number(scope)})"
            case name:
                return f"{self.numbers(scope)}.{name}()"

    def truth(self, scope: Scope) -> str:
        """One boolean."""
        below = scope.below()
        if scope.depth <= 0:
            return f"({self.number(below)} > 1)"
        match self.pick("compare", "flag", "chain", "joined", "not", "any", "in"):
            case "flag":
                return self.pick(*scope.flags)
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
                operator, body = self.pick("Any", "All"), self.truth(scope.bind("numbers"))
                return f"{self.numbers(below)}.{operator}(lambda {scope.name()}: {body})"
            case _:
                op = self.pick("in", "not in")
                if self.pick("choices", "list") == "choices":
                    return (
                        f"({self._plain_number(scope)} {op} {self.pick('[1, 2, 1.5]', '(0, 3)')})"
                    )
                return f"({self.pick(*scope.present)} {op} {self.numbers(below)})"

    def numbers(self, scope: Scope) -> str:
        """A list of numbers."""
        if scope.depth <= 0:
            return self._item_or_column(list(scope.lists), scope.column_lists)
        source, name = self.numbers(scope.below()), scope.name()
        match self.pick("as is", "Where", "Select", "OrderBy", "times", "Concat", "of", "of"):
            case "as is":
                return source
            case "Where":
                return f"{source}.Where(lambda {name}: {self.truth(scope.bind('numbers'))})"
            case "Select":
                return f"{source}.Select(lambda {name}: {self.number(scope.bind('numbers'))})"
            case "OrderBy":
                order = self.pick("OrderBy", "OrderByDescending")
                key = self.pick(name, f"abs({name} - 2)", f"-{name}", f"({name} % 3)")
                return f"{source}.{order}(lambda {name}: {key})"
            case "times":
                return f"({source} * {self.pick('2', '0.5', *scope.columns)})"
            case "Concat":
                return f"{source}.Concat({self.numbers(scope.below())})"
            case _:
                return self._numbers_of_others(scope)

    def _numbers_of_others(self, scope: Scope) -> str:
        """A list of numbers made of records, of lists, or of pairs."""
        below, name = scope.below(), scope.name()
        match self.pick("records", "SelectMany", "pairs", "pairs of records"):
            case "records":
                body = self.number(scope.bind("records"))
                return f"{self.records(below)}.Select(lambda {name}: {body})"
            case "SelectMany":
                body = self.numbers(scope.bind("lists"))
                return f"{self.lists(below)}.SelectMany(lambda {name}: {body})"
            case "pairs":
                body = f"{name}.First() {self.pick('-', '+')} {name}.{self.pick('Last()', 'Max()')}"
                return f"{self.numbers(below)}.Choose(2).Select(lambda {name}: {body})"
            case _:
                test = f"{name}.First().q {self.pick('!=', '==')} {name}.Last().q"
                body = f"{name}.First().pt + {name}.ElementAt(1).{self.pick(*PARTS)}"
                pairs = f"{self.records(below)}.Choose(2).Where(lambda {name}: {test})"
                return f"{pairs}.Select(lambda {name}: {body})"

    def lists(self, scope: Scope) -> str:
        """A list of lists of numbers."""
        if scope.depth <= 0:
            return self.pick(*scope.nested)
        below, inner, name = scope.below(), scope.bind("lists"), scope.name()
        match self.pick("plain", "Where", "Select", "captured", "Choose"):
            case "plain":
                return self.pick(*scope.nested)
            case "Where":
                return f"{self.lists(below)}.Where(lambda {name}: {self.truth(inner)})"
            case "Select":
                return f"{self.lists(below)}.Select(lambda {name}: {self.numbers(inner)})"
            case "captured":
                body = self.numbers(scope.bind("numbers"))
                return f"{self.numbers(below)}.Select(lambda {name}: {body})"
            case _:
                return f"{self.numbers(below)}.Choose({self.pick('2', '3')})"

    def records(self, scope: Scope) -> str:
        """A list of records of numbers."""
        if scope.depth <= 0:
            return scope.zipped
        source, name = self.records(scope.below()), scope.name()
        match self.pick("as is", "Where", "OrderBy", "made"):
            case "as is":
                return source
            case "made":
                inner = scope.bind("records")
                fields = f'"pt": {name}.eta, "eta": {self.number(inner)}, "q": {name}.q'
                return f"{source}.Select(lambda {name}: {{{fields}}})"
            case "Where":
                return f"{source}.Where(lambda {name}: {self.truth(scope.bind('records'))})"
            case _:
                return f"{source}.OrderBy(lambda {name}: {name}.{self.pick(*PARTS)})"

    def column(self, scope: Scope) -> str:
        """What a column of the result may be."""
        kinds = ("number", "truth", "numbers", "lists", "records", "quotient", "made")
        match self.pick(*kinds):
            case "quotient":
                return f"({self.number(scope)} / {self.pick('3', *scope.columns)})"
            case "made":
                name, inner = scope.name(), scope.bind("numbers")
                fields = f'"v": {name}, "w": {self.number(inner)}'
                return f"{self.numbers(scope)}.Select(lambda {name}: {{{fields}}})"
            case kind:
                return str(getattr(self, kind)(scope))

    def query(self, depth: int) -> str:
        """A whole query."""
        scope, row, text = replace(EVENT, depth=depth), "e", "EventDataset()"
        if self.pick("all", "some") == "some":
            text += f".Where(lambda e: {self.truth(scope)})"
        if self.pick("events", "events", "rows") == "rows":
            columns = f'"x": {self.number(scope)}, "f": {self.truth(scope)}, "z": {ZIPPED}, '
            columns += f'"l": {self.numbers(scope)}, "h": {self.lists(scope)}'
            text += f".Select(lambda e: {{{columns}}})"
            scope, row = replace(ROW, depth=depth), "d"
            if self.pick("all", "some") == "some":
                text += f".Where(lambda d: {self.truth(scope)})"
        return text + self._result(scope, row)

    def _result(self, scope: Scope, row: str) -> str:
        match self.pick("one", "record", "tuple", "first", "items", "items of items"):
            case "one":
                return f".Select(lambda {row}: {self.column(scope)})"
            case "record":
                keys = self.pick("a", "ab", "abc")
                fields = ", ".join(f'"{key}": {self.column(scope)}' for key in keys)
                return f".Select(lambda {row}: {{{fields}}})"
            case "tuple":
                return f".Select(lambda {row}: ({self.column(scope)}, {self.number(scope)}))"
            case "first":
                items, operator = self.numbers(scope), self.pick("First()", "Last()")
                text = f".Where(lambda {row}: {items}.Count() > 0)"
                return f"{text}.Select(lambda {row}: {items}.{operator})"
            case "items":
                items = getattr(self, self.pick("numbers", "records"))(scope)
                return f".SelectMany(lambda {row}: {items})"
            case _:
                after = self.pick("", ".Select(lambda a: a.Count())", ".SelectMany(lambda a: a)")
                return f".SelectMany(lambda {row}: {self.lists(scope)}){after}"


@st.composite
def queries(draw: st.DrawFn, depth: int = 3) -> str:
    """Return the text of a query over the small tree, in Python notation."""
    return Grammar(draw).query(depth)
