"""The meaning of a query tree: symbolic evaluation over the branches of one tree.

No event is seen here. A lambda is applied once, to a value that stands for
all turns of its loop, and what comes out is one awkward expression over a whole
partition, however deep the lambdas nest.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, NoReturn

from sxdask.core.errors import close_names
from sxdask.core.types import Record
from sxdask.plan.func_adl import arithmetic, calls, fields, operators, sequences
from sxdask.plan.func_adl.dataset import plan_rows
from sxdask.plan.func_adl.tree import (
    Attribute,
    Call,
    Dataset,
    Item,
    Lambda,
    Mapping,
    Name,
    Operator,
    Range,
    Sequence,
    Tree,
)
from sxdask.plan.func_adl.tree import Value as Literal
from sxdask.plan.func_adl.values import Array, Event, Loop, Picks, Struct, Value
from sxdask.plan.functions import MODULES

if TYPE_CHECKING:
    from collections.abc import Mapping as MappingOf

    from sxdask.plan.expr import Span
    from sxdask.plan.func_adl.algebra import Algebra
    from sxdask.plan.nodes import Plan, SchemaSource
    from sxdask.plan.place import SourceText


def plan_of(tree: Tree, source: SchemaSource, text: SourceText) -> Plan:
    """Return the plan that the query `tree` means.

    Parameters
    ----------
    tree
        The whole query, from the dataset on.
    source
        Names and types of the data.
    text
        The user's text, which the spans of `tree` refer to.

    Raises
    ------
    UnknownBranchError, SelectionTypeError, SelectionSyntaxError
        With the place in the text and what was expected there.
    RequestTooLargeError
        If an expression grows beyond a limit.
    """
    return plan_rows(tree, source, text, Evaluator)


@dataclass(frozen=True, slots=True)
class Scope:
    """The variables of the lambdas around, and how many loops are open.

    Within `guarded` an item that is not there is missing and no error: a
    condition decides whether it counts.
    """

    variables: MappingOf[str, Value]
    level: int
    guarded: bool = False

    def also(self, **variables: Value) -> Scope:
        """Return the scope with more variables, and no loop more."""
        return replace(self, variables={**self.variables, **variables})

    def inside(self, **variables: Value) -> Scope:
        """Return the scope of a lambda's body, one loop further in."""
        return replace(
            self, variables={**self.variables, **variables}, level=self.level + 1, guarded=False
        )

    def behind_condition(self) -> Scope:
        """Return the scope of what counts only where a condition holds."""
        return replace(self, guarded=True)

    def loop(self) -> Loop:
        """Return a new loop within those that are open."""
        return Loop(self.level)


class Evaluator:
    """Give every node of a query its value."""

    def __init__(self, algebra: Algebra) -> None:
        self.algebra = algebra

    def scope(self) -> Scope:
        """Return the scope of the whole query: the loop over events is open."""
        return Scope({}, 1)

    def value(self, tree: Tree, scope: Scope) -> Value:
        """Return what `tree` stands for."""
        match tree:
            case Literal(None):
                return self.refuse(tree, "None is no value of a query")
            case Literal(value, span):
                return self.algebra.constant(value, span)
            case Name():
                return self._name(tree, scope)
            case Attribute():
                return fields.attribute(self, tree, scope)
            case Item():
                return fields.item(self, tree, scope)
            case Operator():
                return operators.apply(self, tree, scope)
            case Call():
                return calls.call(self, tree, scope)
            case Sequence() | Mapping():
                return self._record(tree, scope)
            case Lambda() | Dataset():
                return self.refuse(tree, *_NO_VALUE[type(tree)])
            case _:
                return arithmetic.apply(self, tree, scope)

    def _record(self, tree: Sequence | Mapping, scope: Scope) -> Struct:
        if isinstance(tree, Mapping):
            return Struct(tree.keys, tuple(self.value(item, scope) for item in tree.values))
        names = tuple(map(str, range(len(tree.items))))
        return Struct(names, tuple(self.value(item, scope) for item in tree.items), is_tuple=True)

    def follow(self, step: Operator | Attribute | Item, value: Value, scope: Scope) -> Value:
        """Return what `step` gives where `value` stands in place of what it is done to."""
        variable = Name(_HIDDEN, step.span)
        tree: Tree
        if isinstance(step, Operator):
            tree = replace(step, source=variable)
        else:
            tree = replace(step, value=variable)
        return self.value(tree, scope.also(**{_HIDDEN: value}))

    def contains(self, source: Tree, wanted: Tree, scope: Scope, span: Span | None) -> Array:
        """Return whether `wanted` is an item of `source`."""
        return operators.contains(self, source, wanted, scope, span)

    def array(self, tree: Tree, scope: Scope, use: str) -> Array:
        """Return the numbers, booleans or texts that `tree` stands for; `use` says what for."""
        return self.as_array(self.value(tree, scope), tree, use)

    def as_array(self, value: Value, place: Tree | Range, use: str) -> Array:
        """Return `value` if it is an array of plain values.

        Raises
        ------
        SelectionTypeError
            If it is a record, a list of records or the event.
        """
        match value:
            case Array(type=Record()) | Struct(lists=0):
                return self.refuse(
                    place, f"{use} needs a plain value, and this is a record", _FIELD
                )
            case Array():
                return value
            case Picks(lists=0):
                return self.as_array(sequences.listed(self, value), place, use)
            case Event():
                return self.refuse(
                    place, f"{use} needs a plain value, and this is the event", "such as e.MET_pt"
                )
            case _:
                return self.refuse(
                    place, f"{use} needs plain values, and these are records", _FIELD
                )

    def _name(self, tree: Name, scope: Scope) -> Value:
        if tree.id in scope.variables:
            return scope.variables[tree.id]
        if tree.id in MODULES:
            self.refuse(tree, f"{tree.id} is a prefix of functions", f"such as {tree.id}.sqrt(...)")
        if calls.is_function(tree.id):
            self.refuse(tree, f"{tree.id} is a function", f"call it: {tree.id}(...)")
        known = tuple(scope.variables)
        names = ", ".join(map(repr, known))
        return self.refuse(
            tree,
            f"there is no variable {tree.id!r}",
            close_names(tree.id, known) or f"the variables here are {names}; write e.name"
            if known
            else None,
        )

    def refuse(self, place: Tree | Range, problem: str, hint: str | None = None) -> NoReturn:
        """Raise the error that points at `place`."""
        self.algebra.refuse(place.span, problem, hint)

    def refuse_at(self, span: Span | None, problem: str, hint: str | None = None) -> NoReturn:
        """Raise the error that points at `span`."""
        self.algebra.refuse(span, problem, hint)


_HIDDEN: Final = "the value before"  # no variable of a lambda can be called so
_FIELD: Final = "take a field first, such as x.pt"
_NO_VALUE: Final = {
    Lambda: ("a lambda stands where a value is expected", "write what it gives, or use Select"),
    Dataset: (
        "the dataset stands where a value of one event is expected",
        "a query has one EventDataset, at its beginning",
    ),
}
