"""Bind the arguments of a call to a function of the table, every default made explicit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from sxdask.core.errors import close_names
from sxdask.plan.expr import Expr, Pack, Scalar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.plan.functions import Function, Keyword

Value: TypeAlias = "Scalar | tuple[Scalar, ...]"


class BindingError(Exception):
    """Arguments that a function does not take; `column` is where, if it is an argument's."""

    def __init__(self, problem: str, hint: str | None = None, column: int | None = None) -> None:
        super().__init__(problem)
        self.problem = problem
        self.hint = hint
        self.column = column


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument as written: an expression, or a constant, or both.

    `value` is set where the argument is a constant; `is_constant` tells None
    from nothing.
    """

    column: int
    expr: Expr | None
    value: Value = None
    is_constant: bool = False


def bind(
    function: Function,
    positional: list[Argument],
    named: Mapping[str, Argument],
    *,
    standard_axis: bool = False,
) -> tuple[tuple[Expr, ...], tuple[tuple[str, Value], ...]]:
    """Return the array arguments and the sorted options of a call.

    Options at their default are left out, so that equal calls are equal; the
    axis alone is always there. With `standard_axis` a missing axis is
    awkward's default and not ServiceX's.

    Raises
    ------
    BindingError
        If an argument is missing, unknown, given twice or of the wrong kind.
    """
    arrays, rest = _arrays(function, positional, named)
    options = _options(function, rest, named)
    values: dict[str, Value] = {}
    for keyword in function.keywords:
        argument = options.get(keyword.name)
        if argument is not None:
            values[keyword.name] = _value(function, keyword, argument)
        elif keyword.required:
            raise BindingError(f"{function.name} needs {keyword.name}")
        elif keyword.kind == "axis":
            values["axis"] = function.awkward_axis if standard_axis else function.axis
        else:
            values[keyword.name] = keyword.default
    kept = {
        key: value
        for key, value in values.items()
        if key == "axis" or _differs(function, key, value)
    }
    return arrays, tuple(sorted(kept.items()))


def _differs(function: Function, key: str, value: Value) -> bool:
    keyword = function.keyword(key)
    return keyword is None or keyword.required or keyword.default != value


def _arrays(
    function: Function, positional: list[Argument], named: Mapping[str, Argument]
) -> tuple[tuple[Expr, ...], list[Argument]]:
    if function.variadic:
        if not positional:
            raise BindingError(f"{function.name} needs at least one argument")
        return tuple(_expr(function, item) for item in positional), []
    count = len(function.arrays)
    taken = [_expr(function, item) for item in positional[:count] if _is_array(function, item)]
    rest = positional[len(taken) :]
    for name in function.arrays[len(taken) :]:
        if name in named:
            taken.append(_expr(function, named[name]))
        elif len(taken) < function.num_required:
            raise BindingError(f"{function.name} needs {_arguments(function)}")
        else:
            break
    for name in function.arrays[: len(positional) - len(rest)]:
        if name in named:
            raise BindingError(f"{function.name} gets {name} twice", column=named[name].column)
    return tuple(taken), rest


def _is_array(function: Function, argument: Argument) -> bool:
    # moment(x, 2) and var(x, 1): what follows the array may already be a constant option
    if not argument.is_constant or function.num_required >= len(function.arrays):
        return True
    return argument.expr is not None and isinstance(argument.value, str)


def _arguments(function: Function) -> str:
    if function.takes_list:
        return "a list of arrays, such as [a, b]"
    required = function.arrays[: function.num_required]
    return f"{len(required)} argument{'s' if len(required) > 1 else ''} ({', '.join(required)})"


def _expr(function: Function, argument: Argument) -> Expr:
    expr = argument.expr
    if expr is None:
        raise BindingError(f"{function.name} does not take this here", column=argument.column)
    if isinstance(expr, Pack) != function.takes_list:
        raise BindingError(
            f"{function.name} takes {_arguments(function)}",
            f"{function.name}([a, b])" if function.takes_list else None,
            argument.column,
        )
    return expr


def _options(
    function: Function, rest: list[Argument], named: Mapping[str, Argument]
) -> dict[str, Argument]:
    options: dict[str, Argument] = {}
    slots = [keyword.name for keyword in function.keywords if keyword.positional]
    for position, argument in enumerate(rest):
        if position >= len(slots):
            raise BindingError(
                f"{function.name} takes fewer arguments without a name",
                _by_name(function),
                argument.column,
            )
        options[slots[position]] = argument
    for name, argument in named.items():
        if name in function.arrays:
            continue
        if function.keyword(name) is None:
            known = [keyword.name for keyword in function.keywords]
            listed = ", ".join(known) or "none"
            hint = close_names(name, known) or f"the arguments with a name are: {listed}"
            raise BindingError(f"{function.name} has no argument {name!r}", hint, argument.column)
        if name in options:
            raise BindingError(f"{function.name} gets {name} twice", column=argument.column)
        options[name] = argument
    return options


def _by_name(function: Function) -> str | None:
    if function.name in {"min", "max"}:
        return f"{function.name}imum(a, b) compares two; an axis is given by name: axis=1"
    return "give the axis by name: axis=1" if function.has_axis else None


def _value(function: Function, keyword: Keyword, argument: Argument) -> Value:
    value = argument.value
    if not argument.is_constant or not _fits(keyword, value):
        raise BindingError(
            f"{keyword.name} of {function.name} must be {_KINDS[keyword.kind]}",
            column=argument.column,
        )
    if keyword.kind == "number" and isinstance(value, int):
        return float(value) if isinstance(keyword.default, float) else value
    return value


_KINDS = {
    "bool": "True or False",
    "int": "a whole number",
    "number": "a number",
    "axis": "a whole number",
    "str": "a text",
    "names": 'a list of texts, such as ["a", "b"]',
}


def _fits(keyword: Keyword, value: Value) -> bool:
    match keyword.kind:
        case "bool":
            return isinstance(value, bool)
        case "int":
            return type(value) is int
        case "axis":
            return type(value) is int or value is None
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "names":
            return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
