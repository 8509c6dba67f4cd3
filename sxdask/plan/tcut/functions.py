"""Functions that a formula may call, as ROOT's formulas and ROOT's TMath define them.

The plain names are the formula's own, which never give what is no number:
``sqrt`` takes the absolute value, ``log`` of what is not positive is zero.
Names with ``TMath::`` or ``std::`` are those of the C library.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from sxdask.plan.expr import Binary, BinaryOp, Call, Compare, CompareOp, Constant, Expr, Unary
from sxdask.plan.tcut.operators import deep, power, strong
from sxdask.plan.tcut.values import BOOL, DOUBLE, Value, integer, number

if TYPE_CHECKING:
    from collections.abc import Callable

Build: TypeAlias = "Callable[..., Expr]"

SAME: Final = "same"
"""The type of a result that is a real number of the precision of the argument."""


@dataclass(frozen=True, slots=True)
class Known:
    """A function: how many arguments it takes, how it is computed, what type it gives."""

    arity: int
    build: Build
    dtype: str = DOUBLE


def _call(name: str, *args: Expr) -> Expr:
    return Call(name, args)


def _where(condition: Expr, yes: Expr | float, no: Expr | float) -> Expr:
    pair = [Constant(float(item)) if isinstance(item, int | float) else item for item in (yes, no)]
    return Call("where", (condition, *pair))


def _compare(left: Expr, op: CompareOp, right: Expr | float) -> Expr:
    return Compare(op, left, Constant(right) if isinstance(right, int | float) else right)


def _binary(op: BinaryOp, left: Expr, right: Expr | float) -> Expr:
    return Binary(op, left, Constant(right) if isinstance(right, int | float) else right)


def _one(name: str) -> Known:
    """Return a function of one number that is NumPy's of another name."""
    return Known(1, lambda x: _call(name, strong(x)))


def _two(name: str) -> Known:
    return Known(2, lambda x, y: _call(name, strong(x), strong(y)))


def _guarded(name: str, valid: Callable[[Expr], Expr]) -> Known:
    """Return a function that is zero where `valid` does not hold."""
    return Known(1, lambda x: _where(valid(strong(x)), _call(name, strong(x)), 0))


def _within_one(x: Expr) -> Expr:
    # what is not a number passes through
    return Unary("~", _compare(_call("abs", x), ">", 1))


def _absolute(x: Value) -> Expr:
    return _call("abs", x.expr if x.dtype == "float32" else number(x))


def _exp(x: Value) -> Expr:
    # beyond 700 the exponent is that of 700, below -700 it is zero
    least = _call("exp", _call("minimum", strong(x), Constant(700.0)))
    return _where(_compare(strong(x), "<", -700), 0, least)


def _less(x: Value, y: Value) -> Expr:
    return _where(_compare(strong(y), "<", strong(x)), strong(y), strong(x))


def _greater(x: Value, y: Value) -> Expr:
    return _where(_compare(strong(x), "<", strong(y)), strong(y), strong(x))


def _tmath_min(x: Value, y: Value) -> Expr:
    return _where(_compare(strong(x), "<=", strong(y)), strong(x), strong(y))


def _tmath_max(x: Value, y: Value) -> Expr:
    return _where(_compare(strong(x), ">=", strong(y)), strong(x), strong(y))


def _sign_of(x: Value) -> Expr:
    return _where(_compare(strong(x), "<", 0), -1, 1)


def _round(x: Value) -> Expr:
    size = _call("abs", strong(x))
    whole = _call("floor", size)
    up = _compare(_binary("-", size, whole), ">=", 0.5)
    return _call("copysign", _where(up, _binary("+", whole, 1), whole), strong(x))


def _odd(x: Value, result: int) -> Expr:
    return _compare(_binary("&", integer(x), 1), "==", result)


def _range(low: Value, high: Value, x: Value) -> Expr:
    below = Value(_compare(strong(x), "<", strong(low)), BOOL, max(x.depth, low.depth))
    above = _compare(strong(x), ">", strong(high))
    return _where(deep(below, high), strong(low), _where(above, strong(high), strong(x)))


def _phi(x: Value, *, centre: float) -> Expr:
    """Return an angle brought within half a turn of `centre`."""
    turn = 2 * math.pi
    turns = _call("rint", _binary("/", _binary("-", strong(x), centre), turn))
    return _binary("-", strong(x), _binary("*", turns, turn))


_CMATH: Final[dict[str, Known]] = {
    **{name: _one(name) for name in ("cos", "sin", "tan", "cosh", "sinh", "tanh", "exp", "log")},
    **{name: _one(name) for name in ("sqrt", "log10", "log2", "log1p", "exp2", "expm1", "cbrt")},
    **{name: _one(name) for name in ("floor", "ceil", "trunc", "rint")},
    "acos": _one("arccos"),
    "asin": _one("arcsin"),
    "atan": _one("arctan"),
    "acosh": _one("arccosh"),
    "asinh": _one("arcsinh"),
    "atanh": _one("arctanh"),
    "nearbyint": _one("rint"),
    "abs": Known(1, _absolute, SAME),
    "fabs": Known(1, _absolute, SAME),
    "round": Known(1, _round),
    "atan2": _two("arctan2"),
    "fmod": _two("fmod"),
    "hypot": _two("hypot"),
    "copysign": _two("copysign"),
    "fmax": _two("fmax"),
    "fmin": _two("fmin"),
    "pow": Known(2, power),
    "min": Known(2, _less),
    "max": Known(2, _greater),
    "isnan": Known(1, lambda x: _call("isnan", strong(x)), BOOL),
    "isinf": Known(1, lambda x: _call("isinf", strong(x)), BOOL),
    "isfinite": Known(1, lambda x: _call("isfinite", strong(x)), BOOL),
    "signbit": Known(1, lambda x: _call("signbit", strong(x)), BOOL),
}

_FORMULA: Final[dict[str, Known]] = {
    **_CMATH,
    "sqrt": Known(1, lambda x: _call("sqrt", _call("abs", strong(x)))),
    "log": Known(1, lambda x: _where(_compare(strong(x), ">", 0), _call("log", strong(x)), 0)),
    "log10": Known(1, lambda x: _where(_compare(strong(x), ">", 0), _call("log10", strong(x)), 0)),
    "exp": Known(1, _exp),
    "acos": _guarded("arccos", _within_one),
    "asin": _guarded("arcsin", _within_one),
    "atanh": _guarded("arctanh", _within_one),
    "acosh": _guarded("arccosh", lambda x: Unary("~", _compare(x, "<", 1))),
    "sq": Known(1, lambda x: _binary("*", number(x), number(x))),
    "sign": Known(1, _sign_of),
    "int": Known(1, lambda x: _call("float64", integer(x))),
}

_TMATH: Final[dict[str, Known]] = {
    **{name.capitalize(): _CMATH[name] for name in ("cos", "sin", "tan", "exp", "log", "sqrt")},
    "Abs": _CMATH["abs"],
    "ACos": _CMATH["acos"],
    "ASin": _CMATH["asin"],
    "ATan": _CMATH["atan"],
    "ATan2": _CMATH["atan2"],
    "CosH": _CMATH["cosh"],
    "SinH": _CMATH["sinh"],
    "TanH": _CMATH["tanh"],
    "ACosH": _CMATH["acosh"],
    "ASinH": _CMATH["asinh"],
    "ATanH": _CMATH["atanh"],
    "Ceil": _CMATH["ceil"],
    "CeilNint": _CMATH["ceil"],
    "Floor": _CMATH["floor"],
    "FloorNint": _CMATH["floor"],
    "Nint": _CMATH["rint"],
    "Log10": _CMATH["log10"],
    "Log2": _CMATH["log2"],
    "Hypot": _CMATH["hypot"],
    "Power": _CMATH["pow"],
    "Min": Known(2, _tmath_min),
    "Max": Known(2, _tmath_max),
    "Range": Known(3, _range),
    "Sign": Known(2, lambda x, y: _call("copysign", strong(x), strong(y))),
    "Odd": Known(1, lambda x: _odd(x, 1), BOOL),
    "Even": Known(1, lambda x: _odd(x, 0), BOOL),
    "Finite": _CMATH["isfinite"],
    "IsNaN": _CMATH["isnan"],
}

FUNCTIONS: Final[dict[str, Known]] = {
    **_FORMULA,
    **{f"std::{name}": known for name, known in _CMATH.items()},
    **{f"TMath::{name}": known for name, known in _TMATH.items()},
    "TVector2::Phi_mpi_pi": Known(1, lambda x: _phi(x, centre=0.0)),
    "TVector2::Phi_0_2pi": Known(1, lambda x: _phi(x, centre=math.pi)),
}

CONSTANTS: Final[dict[str, float]] = {
    "TMath::Pi": math.pi,
    "TMath::TwoPi": 2 * math.pi,
    "TMath::PiOver2": math.pi / 2,
    "TMath::PiOver4": math.pi / 4,
    "TMath::InvPi": 1 / math.pi,
    "TMath::RadToDeg": 180 / math.pi,
    "TMath::DegToRad": math.pi / 180,
    "TMath::E": math.e,
    "TMath::Sqrt2": math.sqrt(2),
    "TMath::Infinity": math.inf,
    "TMath::QuietNaN": math.nan,
}
"""Functions without arguments."""

SPECIALS: Final = ("Sum$", "Length$", "Max$", "Min$", "MaxIf$", "MinIf$", "Alt$")
