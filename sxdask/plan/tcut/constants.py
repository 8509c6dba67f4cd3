"""Functions of constants alone, computed while the formula is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from sxdask.plan.constants import UnboundedError, constant_value
from sxdask.plan.expr import Call, Constant, Expr, with_children

if TYPE_CHECKING:
    from collections.abc import Callable

_FUNCTIONS: Final[dict[str, Callable[..., float | bool]]] = {
    **{name: getattr(math, name) for name in ("cos", "sin", "tan", "cosh", "sinh", "tanh", "exp")},
    **{name: getattr(math, name) for name in ("log", "log2", "log10", "log1p", "sqrt", "cbrt")},
    **{name: getattr(math, name) for name in ("exp2", "expm1", "isnan", "isinf", "isfinite")},
    **{name: getattr(math, name) for name in ("fmod", "hypot", "copysign")},
    **{f"arc{name}": getattr(math, f"a{name}") for name in ("cos", "sin", "tan", "tan2")},
    **{f"arc{name}": getattr(math, f"a{name}") for name in ("cosh", "sinh", "tanh")},
    "floor": lambda x: float(math.floor(x)),
    "ceil": lambda x: float(math.ceil(x)),
    "trunc": lambda x: float(math.trunc(x)),
    "abs": abs,
    "fmax": max,
    "fmin": min,
    "minimum": min,
    "rint": lambda x: float(round(x)),
    "signbit": lambda x: math.copysign(1.0, x) < 0,
    "float64": float,
    "int64": int,
    "where": lambda condition, yes, no: yes if condition else no,
}
_POLE: Final = {"log": -math.inf, "log2": -math.inf, "log10": -math.inf, "log1p": -math.inf}


def constant_of(expr: Expr) -> float | bool | None:
    """Return the value of an expression without columns, None if it has one.

    What has no value is not a number, and what is too large is infinite, as in
    the C library.
    """
    match expr:
        case Constant(bool() | int() | float() as value):
            return value
        case Call(function, args) if function in _FUNCTIONS:
            values = [constant_of(item) for item in args]
            return None if None in values else _called(function, values)
        case Call():
            return None
        case _:
            return _operated(expr)


def _operated(expr: Expr) -> float | bool | None:
    from sxdask.plan.expr import children

    values = [constant_of(item) for item in children(expr)]
    if not values or None in values:
        return None
    try:
        return constant_value(with_children(expr, tuple(Constant(item) for item in values)))
    except UnboundedError:
        return math.nan


def _called(function: str, values: list[float | bool | None]) -> float | bool:
    try:
        return _FUNCTIONS[function](*values)
    except OverflowError:
        return math.inf
    except ValueError:
        return _POLE.get(function, math.nan) if values == [0] else math.nan
