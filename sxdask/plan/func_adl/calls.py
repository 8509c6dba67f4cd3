"""Calls: functions of NumPy, Python's own few, methods of values, lambdas called at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NoReturn

from sxdask.core.errors import close_names
from sxdask.plan.binding import Argument, BindingError, bind
from sxdask.plan.expr import BinaryOp, Call, Column, CompareOp, Constant, Expr
from sxdask.plan.func_adl import arithmetic, sequences, vectors, xaod
from sxdask.plan.func_adl.tree import (
    OPERATORS,
    Attribute,
    Binary,
    Compare,
    Item,
    Lambda,
    Name,
    Sequence,
    Tree,
    Unary,
)
from sxdask.plan.func_adl.tree import Call as CallTree
from sxdask.plan.func_adl.values import Array, Event, Picks, Struct, Value, is_boolean
from sxdask.plan.func_adl.xaod_objects import Objects
from sxdask.plan.functions import MODULES, Function, find_function, function_names

if TYPE_CHECKING:
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope

_MODULES: Final = MODULES | {"math"}

_OPERATORS: Final[dict[str, BinaryOp]] = {
    "add": "+",
    "subtract": "-",
    "multiply": "*",
    "divide": "/",
    "true_divide": "/",
    "floor_divide": "//",
    "mod": "%",
    "remainder": "%",
    "power": "**",
    "pow": "**",
    "bitwise_and": "&",
    "bitwise_or": "|",
    "bitwise_xor": "^",
    "left_shift": "<<",
    "right_shift": ">>",
}
_COMPARISONS: Final[dict[str, CompareOp]] = {
    "less": "<",
    "less_equal": "<=",
    "greater": ">",
    "greater_equal": ">=",
    "equal": "==",
    "not_equal": "!=",
}
_UNARY: Final[dict[str, Literal["-", "+", "~"]]] = {
    "negative": "-",
    "positive": "+",
    "invert": "~",
    "bitwise_not": "~",
}
_OVER_LISTS: Final = {
    **{name: name for name in ("sum", "min", "max", "any", "all", "prod", "mean", "std", "var")},
    **{name: name for name in ("argmin", "argmax", "count_nonzero")},
    "amin": "min",
    "amax": "max",
}
"""Functions that give one value for a list; without the axis that a query never names."""

_PAIRWISE: Final = {"min": "minimum", "max": "maximum", "amin": "minimum", "amax": "maximum"}
_OTHER: Final = frozenset({"len", "float", "int", "bool", "square", "clip"})
_MATH: Final = {"fabs": "fabs", "pow": "pow", "fmod": "fmod"}
_DATASET_ONLY: Final = frozenset(
    {"MetaData", "ResultTTree", "ResultParquet", "ResultPandasDF", "ResultAwkwardArray"}
)


def is_function(name: str) -> bool:
    """Whether a query may call `name`."""
    return name in _names()


def _names() -> tuple[str, ...]:
    own = (*_OPERATORS, *_COMPARISONS, *_UNARY, *_OVER_LISTS, *_OTHER)
    elementwise = (
        name
        for name in function_names()
        if (found := find_function(name)) is not None and found.kind == "elementwise"
    )
    return tuple(dict.fromkeys((*elementwise, *own)))


def call(evaluator: Evaluator, tree: CallTree, scope: Scope) -> Value:
    """Return the value of a call."""
    function = tree.function
    match function:
        case Lambda():
            return _at_once(evaluator, function, tree, scope)
        case Name(id=name) if name in _DATASET_ONLY:
            return evaluator.refuse(tree, f"{name} stands around the whole query only")
        case Name(id=name):
            return _function(evaluator, name, tree, scope)
        case Attribute(value=Name(id=module), name=name) if (
            module in _MODULES and module not in scope.variables
        ):
            return _function(evaluator, name, tree, scope)
        case Attribute():
            return _method(evaluator, function, tree, scope)
        case Item(value=Attribute(value=owner)):
            value = evaluator.value(owner, scope)
            if not isinstance(value, Objects):
                evaluator.refuse(tree, "only functions can be called")
            return xaod.typed_method(evaluator, value, function, tree, scope)
        case _:
            return evaluator.refuse(tree, "only functions can be called")


def _at_once(evaluator: Evaluator, function: Lambda, tree: CallTree, scope: Scope) -> Value:
    if len(function.parameters) != len(tree.arguments) or tree.keywords:
        evaluator.refuse(tree, _takes("the lambda", len(function.parameters)))
    values = [evaluator.value(item, scope) for item in tree.arguments]
    inner = scope.also(**dict(zip(function.parameters, values, strict=True)))
    return evaluator.value(function.body, inner)


def _method(evaluator: Evaluator, function: Attribute, tree: CallTree, scope: Scope) -> Value:
    value = evaluator.value(function.value, scope)
    if xaod.is_accessor(value, function.name):
        assert isinstance(value, Event)  # noqa: S101  narrows for the type checker
        return xaod.collection(evaluator, value, function, tree, scope)
    if isinstance(value, Objects):
        return xaod.method(evaluator, value, function, tree, scope)
    if function.name in vectors.CONVERSIONS:
        return vectors.convert(evaluator, value, tree)
    if vectors.is_momentum(value):
        return vectors.method(evaluator, value, function.name, tree, scope)
    what = {
        Event: "the event",
        Struct: "a record",
        Picks: "a list",
        Array: "this value",
    }[type(value)]
    hint = close_names(function.name, (*OPERATORS, *vectors.CONVERSIONS)) or None
    if is_function(function.name):
        hint = f"call the function: {function.name}(...)"
    if isinstance(value, Event) and value.prefix + function.name in evaluator.algebra.schema:
        hint = f"a branch is not called: e.{function.name}"
    place = None if function.span is None else (function.span[1] - len(function.name),) * 2
    return evaluator.refuse_at(place, f"{what} has no method {function.name!r}", hint)


def _takes(what: str, count: int) -> str:
    return f"{what} takes {count} argument{'s' if count != 1 else ''}"


# -- functions -----------------------------------------------------------------------------


def _function(evaluator: Evaluator, name: str, tree: CallTree, scope: Scope) -> Value:
    if name in scope.variables:
        evaluator.refuse(tree.function, f"{name!r} is a variable and cannot be called")
    if name in _PAIRWISE and len(tree.arguments) == 2:
        name = _PAIRWISE[name]
    if name in _OVER_LISTS:
        return _over_list(evaluator, _OVER_LISTS[name], tree, scope)
    if name in _OTHER:
        return _other(evaluator, name, tree, scope)
    if name in _UNARY or name in _OPERATORS or name in _COMPARISONS:
        return _operator(evaluator, name, tree, scope)
    function = find_function(name)
    if function is None or function.kind != "elementwise":
        return _refuse_function(evaluator, name, tree)
    if function.name == "where":
        return _where(evaluator, tree, scope)
    return _elementwise(evaluator, function, tree, scope)


def _operator(evaluator: Evaluator, name: str, tree: CallTree, scope: Scope) -> Value:
    """Return the operator of Python that a function of NumPy is."""
    wanted = 1 if name in _UNARY else 2
    if len(tree.arguments) != wanted or tree.keywords:
        evaluator.refuse(tree, _takes(name, wanted))
    if name in _UNARY:
        return evaluator.value(Unary(_UNARY[name], tree.arguments[0], tree.span), scope)
    if name in _OPERATORS:
        left, right = tree.arguments
        return evaluator.value(Binary(_OPERATORS[name], left, right, tree.span), scope)
    return evaluator.value(Compare(tree.arguments, (_COMPARISONS[name],), tree.span), scope)


def _refuse_function(evaluator: Evaluator, name: str, tree: CallTree) -> NoReturn:
    known = find_function(name)
    hint = close_names(name, _names())
    if known is not None:
        hint = _INSTEAD.get(known.name, "use the query operators: Select, Where, Choose, ...")
    evaluator.refuse(tree.function, f"there is no function {name!r} in a query", hint)


_INSTEAD: Final = {
    "num": "use .Count()",
    "firsts": "use .First()",
    "sort": "use .OrderBy(lambda x: x)",
    "argsort": "use .OrderBy(lambda x: ...)",
    "concatenate": "use .Concat(...)",
    "combinations": "use .Choose(n)",
    "cartesian": "nest a Select in a Select",
    "flatten": "use .SelectMany(lambda x: ...)",
}


def _over_list(evaluator: Evaluator, function: str, tree: CallTree, scope: Scope) -> Value:
    if len(tree.arguments) != 1 or tree.keywords:
        evaluator.refuse(tree, f"{function} takes one list, and nothing else")
    (argument,) = tree.arguments
    if isinstance(argument, Sequence) and function in {"min", "max", "sum", "any", "all"}:
        return _fold(evaluator, function, argument, tree, scope)
    value = evaluator.value(argument, scope)
    sequence = sequences.require(evaluator, value, argument, function)
    if vectors.is_momentum(sequence) and function == "sum":
        return vectors.total(evaluator, sequence, tree)
    return sequences.reduced(evaluator, sequence, function, tree)


def _fold(
    evaluator: Evaluator, function: str, items: Sequence, tree: CallTree, scope: Scope
) -> Array:
    """Return ``max([a, b, c])``: the items are values of one event each."""
    arrays = [evaluator.array(item, scope, function) for item in items.items]
    if not arrays:
        evaluator.refuse(items, f"{function} of nothing")
    if function in {"any", "all"}:
        return arithmetic.logical(
            evaluator, "or" if function == "any" else "and", arrays, tree.span
        )
    result = arrays[0]
    for item in arrays[1:]:
        if function == "sum":
            result = arithmetic.arithmetic(evaluator, "+", result, item, tree.span)
        else:
            result = elementwise(evaluator, _PAIRWISE[function], (result, item), tree)
    return result


def _where(evaluator: Evaluator, tree: CallTree, scope: Scope) -> Value:
    if len(tree.arguments) != 3 or tree.keywords:
        evaluator.refuse(tree, "where takes a condition and two values", "where(test, a, b)")
    test = evaluator.array(tree.arguments[0], scope, "a condition")
    body, orelse = (evaluator.value(item, scope) for item in tree.arguments[1:])
    return arithmetic.choose(evaluator, test, body, orelse, tree)


def elementwise(
    evaluator: Evaluator, function: str, operands: tuple[Array, ...], tree: Tree
) -> Array:
    """Return the call of a function without options, turn by turn."""
    return evaluator.algebra.elementwise(
        lambda *args: Call(function, args, (), tree.span), *operands
    )


def _elementwise(evaluator: Evaluator, function: Function, tree: CallTree, scope: Scope) -> Array:
    operands: dict[str, Array] = {}

    def argument(item: Tree) -> Argument:
        array = evaluator.array(item, scope, function.name)
        column = 0 if item.span is None else item.span[0]
        if isinstance(array.expr, Constant):
            return Argument(column, array.expr, array.expr.value, is_constant=True)
        name = f"#{len(operands)}"
        operands[name] = array
        return Argument(column, Column(name))

    positional = [argument(item) for item in tree.arguments]
    named = {name: argument(item) for name, item in tree.keywords}
    try:
        args, options = bind(function, positional, named)
    except BindingError as error:
        column = error.column
        span = tree.span if column is None else (column, column)
        evaluator.refuse_at(span, error.problem, error.hint)
    arrays = tuple(
        operands[item.name] if isinstance(item, Column) else _constant(evaluator, item)
        for item in args
    )
    return evaluator.algebra.elementwise(
        lambda *parts: Call(function.name, parts, options, tree.span), *arrays
    )


def _constant(evaluator: Evaluator, item: Expr) -> Array:
    assert isinstance(item, Constant)  # noqa: S101  what is no column is one
    return evaluator.algebra.constant(item.value, item.span)


def _other(evaluator: Evaluator, name: str, tree: CallTree, scope: Scope) -> Value:
    wanted = 3 if name == "clip" else 1
    if len(tree.arguments) != wanted or tree.keywords:
        evaluator.refuse(tree, _takes(name, wanted))
    first = tree.arguments[0]
    if name == "len":
        value = evaluator.value(first, scope)
        return sequences.count(evaluator, sequences.require(evaluator, value, first, "len"), tree)
    array = evaluator.array(first, scope, name)
    match name:
        case "square":
            return arithmetic.arithmetic(evaluator, "*", array, array, tree.span)
        case "clip":
            low, high = (evaluator.array(item, scope, name) for item in tree.arguments[1:])
            raised = elementwise(evaluator, "maximum", (array, low), tree)
            return elementwise(evaluator, "minimum", (raised, high), tree)
        case "bool":
            if is_boolean(array.type):
                return array
            zero = evaluator.algebra.constant(0, tree.span)
            return arithmetic.compare(evaluator, "!=", array, zero, tree.span)
        case "int":
            return elementwise(evaluator, "int64", (array,), tree)
        case _:
            return elementwise(evaluator, "float64", (array,), tree)
