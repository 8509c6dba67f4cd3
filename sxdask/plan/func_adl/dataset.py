"""The query over all events: which rows, which columns, what is read.

`Where` over events becomes a filter over branches, also after a `Select`;
what comes after a `SelectMany` acts on the items within each event, and the
lists are joined at the very end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sxdask.core.errors import close_names
from sxdask.core.results import Shape, Total
from sxdask.core.types import Unknown
from sxdask.plan.func_adl import arithmetic, fields, sequences, xaod
from sxdask.plan.func_adl.algebra import Algebra
from sxdask.plan.func_adl.results import RESULTS, names_of_columns, require_answerable
from sxdask.plan.func_adl.tree import (
    OPERATORS,
    Attribute,
    Dataset,
    Item,
    Lambda,
    Logical,
    Name,
    Operator,
    Tree,
)
from sxdask.plan.func_adl.tree import Call as CallTree
from sxdask.plan.func_adl.values import Array, Event, Loop, Picks, Struct, Value, is_boolean, leaves
from sxdask.plan.func_adl.xaod_objects import Objects
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, Scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.plan.expr import Expr
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope
    from sxdask.plan.nodes import SchemaSource
    from sxdask.plan.place import SourceText

_PER_EVENT: Final = "inside Select or Where it acts on the lists of each event"
_TOTALS: Final = frozenset({"Count", "Sum", "Min", "Max", "Contains"})


@dataclass(frozen=True, slots=True)
class Rows:
    """The rows at one point of a query.

    `value` is one row, or with `joined` the list of an event's rows. `total`
    is set once all rows have become one value.
    """

    root: Node
    value: Value
    joined: bool = False
    total: Total | None = None


Step: TypeAlias = Operator | CallTree | Attribute | Item
"""What is done to the dataset, or to what an earlier step has made of it."""


def chain_of(tree: Tree) -> tuple[Tree, list[Step]]:
    """Return what a query begins with, and what is done to it, in order."""
    steps: list[Step] = []
    while True:
        match tree:
            case Operator(source=source) | Attribute(value=source) | Item(value=source):
                steps.append(tree)
            case CallTree(function=Name(id=name), arguments=(source, *_)) if name in RESULTS:
                steps.append(tree)
            case _:
                return tree, steps[::-1]
        tree = source


def _tree_of(start: Tree, source: SchemaSource, text: SourceText) -> str:
    """Return the name of the tree that the dataset `start` is read from."""
    place = 0 if start.span is None else start.span[0]
    if isinstance(start, CallTree) and isinstance(start.function, Attribute):
        name = start.function.name
        end = start.function.span[1] if start.function.span else place + len(name)
        known = f"the operators are {', '.join(OPERATORS)}"
        raise text.syntax_error(
            end - len(name),
            f"there is no operator {name!r}",
            hint=close_names(name, tuple(OPERATORS)) or known,
        )
    if not isinstance(start, Dataset):
        raise text.syntax_error(
            place,
            "a query begins with the dataset",
            hint="such as EventDataset('file.root', 'Events').Select(lambda e: e.MET_pt)",
        )
    tree = start.tree or source.default_tree
    if tree is None:
        trees = ", ".join(map(repr, source.trees[:20]))
        raise text.syntax_error(
            place,
            "the data have several trees and the query names none",
            hint=f"EventDataset('file.root', tree) with one of {trees}",
        )
    return tree


def plan_rows(
    tree: Tree,
    source: SchemaSource,
    text: SourceText,
    make_evaluator: Callable[[Algebra], Evaluator],
) -> Plan:
    """Return the plan of the query `tree`."""
    start, steps = chain_of(tree)
    name = _tree_of(start, source, text)
    evaluator = make_evaluator(Algebra(source.schema(name), replace(text, tree=name)))
    rows = Rows(Scan(name), Event(Loop(0)))
    scope = evaluator.scope()
    named = False
    for step in steps:
        if named:
            evaluator.refuse(step, "nothing can follow what names the columns of the result")
        match step:
            case CallTree(function=Name(id="MetaData")):
                require_answerable(evaluator, step)
            case CallTree():
                rows, named = _with_names(evaluator, step, rows), True
            case _ if rows.total is not None:
                evaluator.refuse(step, "all events have become one value already")
            case Operator():
                rows = _operator(evaluator, step, rows, scope)
            case Attribute() | Item():
                rows = replace(rows, value=evaluator.follow(step, rows.value, scope))
    return Plan((_output(evaluator, rows),))


def _operator(evaluator: Evaluator, step: Operator, rows: Rows, scope: Scope) -> Rows:
    if rows.joined:
        return _over_items(evaluator, step, rows, scope)
    match step.name:
        case "Where":
            return _where(evaluator, step, rows, scope)
        case "Select" | "SelectMany" | "Any" | "All":
            function = _function(step)
            inner = scope.also(**{function.parameters[0]: rows.value})
            return _with_body(
                evaluator, step, rows, evaluator.value(function.body, inner), function
            )
        case "Count":
            one = evaluator.algebra.constant(1, step.span)
            return replace(rows, value=one, total=Total("count"))
        case "Sum" | "Min" | "Max" | "Contains":
            return _total(evaluator, step, rows)
        case _:
            return evaluator.refuse(
                step, f"{step.name} over all events is not possible", _PER_EVENT
            )


def _function(step: Operator) -> Lambda:
    function = step.arguments[0]
    assert isinstance(function, Lambda)  # noqa: S101  the parsers have seen to it
    return function


def _where(evaluator: Evaluator, step: Operator, rows: Rows, scope: Scope) -> Rows:
    function = _function(step)
    inner = scope.also(**{function.parameters[0]: rows.value})
    parts: tuple[Tree, ...] = (function.body,)
    if isinstance(function.body, Logical) and function.body.op == "and":
        # conditions of their own: what can fail is evaluated after what cannot
        parts = function.body.operands
    values = [evaluator.value(part, inner) for part in parts]
    if not all(isinstance(item, Array) and is_boolean(item.type) for item in values):
        parts, values = (function.body,), [evaluator.value(function.body, inner)]
    root = rows.root
    for part, value in zip(parts, values, strict=True):
        root = Filter(root, _condition(evaluator, value, part))
    return replace(rows, root=root)


def _with_body(
    evaluator: Evaluator, step: Operator, rows: Rows, body: Value, function: Lambda
) -> Rows:
    match step.name:
        case "Select":
            return replace(rows, value=sequences.zipped(evaluator, body))
        case "SelectMany":
            many = sequences.require(
                evaluator,
                sequences.zipped(evaluator, body),
                function.body,
                "the lambda of SelectMany",
            )
            return replace(rows, value=many, joined=True)
        case _:
            test = evaluator.as_array(body, function.body, "a condition")
            if test.lists > 0:
                evaluator.refuse(function.body, "the condition has a list for each event")
            kind: Literal["any", "all"] = "any" if step.name == "Any" else "all"
            return replace(rows, value=test, total=Total(kind))


def _condition(evaluator: Evaluator, value: Value, place: Tree) -> Expr:
    test = evaluator.as_array(value, place, "a condition")
    if test.lists > 0:
        evaluator.refuse(
            place,
            f"the condition has a list for each event ({test.type}), and one boolean is needed",
            "use .Any(lambda x: ...) or .Count() > 0",
        )
    if not is_boolean(test.type) and not isinstance(test.type, Unknown):
        evaluator.refuse(
            place, f"the condition is {test.type} and not boolean", "compare it: ... > 0"
        )
    return test.expr


def _over_items(evaluator: Evaluator, step: Operator, rows: Rows, scope: Scope) -> Rows:
    """Go on after a `SelectMany`: the rows are the items of each event's list."""
    name = step.name
    if name in {"Select", "Where", "SelectMany"}:
        return replace(rows, value=evaluator.follow(step, rows.value, scope))
    if name in {"Any", "All"}:
        test = evaluator.follow(replace(step, name="Select"), rows.value, scope)
        kind: Literal["any", "all"] = "any" if name == "Any" else "all"
        return replace(rows, value=test, total=Total(kind))
    if name in _TOTALS:
        return _total(evaluator, step, rows)
    return evaluator.refuse(step, f"{name} over all events is not possible", _PER_EVENT)


def _total(evaluator: Evaluator, step: Operator, rows: Rows) -> Rows:
    if step.name == "Count":
        return replace(rows, value=next(leaves(rows.value)), total=Total("count"))
    value = evaluator.as_array(rows.value, step, f"{step.name} over all events")
    if value.lists > (1 if rows.joined else 0):
        evaluator.refuse(
            step,
            f"{step.name} over all events needs one number a row, and these are lists",
            "reduce the lists first, or use SelectMany",
        )
    match step.name:
        case "Contains":
            wanted = evaluator.array(step.arguments[0], evaluator.scope(), "Contains")
            equal = arithmetic.compare(evaluator, "==", value, wanted, step.span)
            return replace(rows, value=equal, total=Total("any"))
        case "Sum":
            return replace(rows, value=value, total=Total("sum"))
        case _:
            return replace(rows, value=value, total=Total("min" if step.name == "Min" else "max"))


# -- the result ----------------------------------------------------------------------------


def _output(evaluator: Evaluator, rows: Rows) -> Output:
    value = rows.value
    if isinstance(value, Event):
        if not value.prefix:
            return Output("", rows.root)
        value = fields.all_branches(evaluator, value)
    shape = Shape(items=rows.joined)
    if type(value) is Struct and value.lists == int(rows.joined):
        pairs = zip(value.names, value.values, strict=True)
        outputs = tuple((name, expression(evaluator, item)) for name, item in pairs)
        shape = replace(shape, is_tuple=value.is_tuple)
    else:
        outputs = (("", expression(evaluator, value)),)
        shape = replace(shape, bare=True)
    return Output("", Project(rows.root, outputs), shape=shape, reduction=rows.total)


def _with_names(evaluator: Evaluator, step: CallTree, rows: Rows) -> Rows:
    names = names_of_columns(evaluator, step)
    value = rows.value
    if not names:
        return rows
    if isinstance(value, Event):
        value = fields.all_branches(evaluator, value)
    columns: tuple[Value, ...] = (value,)
    if isinstance(value, Struct) and value.lists == int(rows.joined):
        columns = value.values
    if len(columns) != len(names):
        evaluator.refuse(
            step, f"there are {len(names)} names of columns, and the result has {len(columns)}"
        )
    return replace(rows, value=Struct(names, columns, lists=int(rows.joined)))


def expression(evaluator: Evaluator, value: Value) -> Expr:
    """Return the one expression that makes `value`, records put together."""
    return assembled(evaluator, value).expr


def assembled(evaluator: Evaluator, value: Value) -> Array:
    """Return `value` as one array, records put together."""
    match value:
        case Array():
            return value
        case Picks():
            return assembled(evaluator, sequences.listed(evaluator, value))
        case Event():
            return assembled(evaluator, fields.all_branches(evaluator, value))
        case Objects():
            return xaod.refuse_result(evaluator, value)
        case Struct(names=names, values=values, lists=lists):
            return evaluator.algebra.zip(
                None if value.is_tuple else names,
                tuple(assembled(evaluator, item) for item in values),
                lists,
            )
