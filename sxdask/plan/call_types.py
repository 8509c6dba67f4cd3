"""Result types of function calls, from the types of their arguments.

Each rule mirrors what awkward 2.9+ and NumPy 2 return; where that depends on
the data or is a union the answer is `Unknown`, never a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from sxdask.core.types import FixedList, ListOf, Option, Primitive, Record, String, Type, Unknown
from sxdask.plan.broadcast import MismatchError, broadcast, optional
from sxdask.plan.expr import Constant
from sxdask.plan.functions import FUNCTIONS, Function
from sxdask.plan.promotion import (
    Number,
    TypeOrWeak,
    Weak,
    float_of,
    is_bool,
    is_known,
    merge,
    promote,
    settle,
    settle_number,
)
from sxdask.plan.structural_types import STRUCTURAL, reduced

if TYPE_CHECKING:
    from sxdask.plan.expr import Call

Options: TypeAlias = Mapping[str, object]


def call_type(call: Call, args: Sequence[TypeOrWeak]) -> TypeOrWeak:
    """Return the type of `call`, whose arguments have the types `args`.

    Raises
    ------
    MismatchError
        If the arguments cannot fit, or the call would mix events.
    """
    function = FUNCTIONS[call.function]
    options: Options = dict(call.options)
    if function.rule == "fill_none" and not isinstance(call.args[1], Constant):
        raise MismatchError(
            "fill_none takes a constant", "use where(is_none(x), value, x) for a value per event"
        )
    if function.kind == "reducer":
        return reduced(function.name, [settle(item) for item in args], options)
    if function.rule in STRUCTURAL:
        return STRUCTURAL[function.rule](function.name, [settle(item) for item in args], options)
    if function.rule == "where":
        return _where(*args)
    if function.rule == "across":
        raise MismatchError(
            f"{function.name} compares whole arrays, across events",
            "use isclose, which compares value by value",
        )
    return _elementwise(function, args)


def _elementwise(function: Function, args: Sequence[TypeOrWeak]) -> TypeOrWeak:
    rule = _LEAF_RULES.get(function.rule, _unknown)

    def leaf(kinds: tuple[TypeOrWeak, ...]) -> TypeOrWeak:
        numbers = numbers_of(kinds, function.name)
        return Unknown() if numbers is None else rule(numbers)

    return broadcast(args, leaf)


def numbers_of(kinds: Sequence[TypeOrWeak], operation: str) -> tuple[Number, ...] | None:
    """Return `kinds` if all are numbers, None if one has a dtype that is not modelled.

    Raises
    ------
    MismatchError
        If one is text or a record.
    """
    numbers: list[Number] = []
    for kind in kinds:
        match kind:
            case Weak():
                numbers.append(kind)
            case Primitive(dtype):
                if not is_known(dtype):
                    return None
                numbers.append(kind)
            case String():
                raise MismatchError(f"{operation} does not work on text")
            case Record():
                names = ", ".join(repr(name) for name, _ in kind.fields[:4])
                raise MismatchError(
                    f"{operation} does not work on records", f"take a field first: {names}"
                )
            case _:
                return None
    return tuple(numbers)


def _promote_all(numbers: tuple[Number, ...]) -> Number:
    result = numbers[0]
    for item in numbers[1:]:
        result = promote(result, item)
    return result


def _rounded(numbers: tuple[Number, ...]) -> Primitive:
    kind = settle_number(numbers[0])
    return Primitive("float16") if is_bool(kind) else kind


def _conjugate(numbers: tuple[Number, ...]) -> TypeOrWeak:
    kind = settle_number(numbers[0])
    return Primitive("int8") if is_bool(kind) else kind


def _factorial(numbers: tuple[Number, ...]) -> TypeOrWeak:
    # uproot rounds first, and NumPy rounds booleans to float16
    return settle_number(promote(_rounded(numbers), Weak("float")))


def _unknown(_: tuple[Number, ...]) -> TypeOrWeak:
    return Unknown()


_LEAF_RULES: Final[dict[str, Callable[[tuple[Number, ...]], TypeOrWeak]]] = {
    "float": lambda numbers: float_of(_promote_all(numbers)),
    "float_first": lambda numbers: float_of(settle_number(numbers[0])),
    "float64": lambda _: Primitive("float64"),
    "int64": lambda _: Primitive("int64"),
    "uint64": lambda _: Primitive("uint64"),
    # uproot's formulas are arithmetic with Python floats: integers become float64
    "float_weak": lambda numbers: settle_number(promote(numbers[0], Weak("float"))),
    "factorial": _factorial,
    "same": lambda numbers: settle_number(numbers[0]),
    "conjugate": _conjugate,
    "round": _rounded,
    "bool": lambda _: Primitive("bool"),
    "promote": lambda numbers: settle_number(_promote_all(numbers)),
}


def _where(condition: TypeOrWeak, first: TypeOrWeak, second: TypeOrWeak) -> Type:
    match condition:
        case Unknown():
            return Unknown()
        case Option(item):
            return optional(_where(item, first, second))
        case ListOf() | FixedList():
            options = any(isinstance(kind, Option) for kind in (first, second))
            plain = [kind.item if isinstance(kind, Option) else kind for kind in (first, second)]
            items = [kind.item if isinstance(kind, ListOf | FixedList) else kind for kind in plain]
            inner = _where(condition.item, items[0], items[1])
            if isinstance(inner, Unknown):
                return inner
            regular = all(isinstance(kind, FixedList | Weak) for kind in (condition, *plain))
            size = condition.size if isinstance(condition, FixedList) and regular else None
            result = ListOf(inner) if size is None else FixedList(inner, size)
            return optional(result) if options else result
        case String() | Record():
            raise MismatchError("the condition of where is not boolean")
        case _:
            return merge(first, second)
