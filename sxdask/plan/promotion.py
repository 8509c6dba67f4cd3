"""NumPy 2's promotion of dtypes, by name, without NumPy.

Python constants are *weak*: they take the dtype of the array they meet where
its kind is not lower (``float32 * 2.0`` stays ``float32``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from sxdask.core.types import FixedList, ListOf, Option, Primitive, Record, String, Type, Unknown


@dataclass(frozen=True, slots=True)
class Weak:
    """The kind of a Python constant that has no dtype of its own yet."""

    kind: Literal["bool", "int", "float"]


TypeOrWeak: TypeAlias = Type | Weak
Number: TypeAlias = Primitive | Weak

_SIZES: Final[dict[str, tuple[str, int]]] = {
    "bool": ("b", 1),
    **{f"uint{8 * size}": ("u", size) for size in (1, 2, 4, 8)},
    **{f"int{8 * size}": ("i", size) for size in (1, 2, 4, 8)},
    **{f"float{8 * size}": ("f", size) for size in (2, 4, 8)},
}
_RANK: Final = {"b": 0, "u": 1, "i": 2, "f": 3}
_SETTLED: Final = {"bool": "bool", "int": "int64", "float": "float64"}


def is_known(dtype: str) -> bool:
    """Whether `dtype` is a boolean, integer or real number."""
    return dtype in _SIZES


def is_bool(kind: TypeOrWeak) -> bool:
    """Whether `kind` is a boolean, constant or not."""
    return kind in (Primitive("bool"), Weak("bool"))


def is_integer(kind: TypeOrWeak) -> bool:
    """Whether `kind` is an integer, signed or not."""
    if isinstance(kind, Primitive):
        return kind.dtype in _SIZES and _SIZES[kind.dtype][0] in "ui"
    return kind == Weak("int")


def integer_range(dtype: str) -> tuple[int, int] | None:
    """Return the smallest and largest value of an integer `dtype`, None for others."""
    letter, size = _SIZES.get(dtype, ("", 0))
    if letter == "u":
        return 0, 2 ** (8 * size) - 1
    if letter == "i":
        return -(2 ** (8 * size - 1)), 2 ** (8 * size - 1) - 1
    return None


def settle(kind: TypeOrWeak) -> Type:
    """Return the type that a constant has when it stands alone or is merged into an array."""
    return Primitive(_SETTLED[kind.kind]) if isinstance(kind, Weak) else kind


def promote_dtypes(first: str, second: str) -> str:
    """Return the dtype that holds both, as ``numpy.promote_types``.

    Examples
    --------
    >>> promote_dtypes("uint64", "int8"), promote_dtypes("int16", "float32")
    ('float64', 'float32')
    """
    (low, low_size), (high, high_size) = sorted(
        (_SIZES[first], _SIZES[second]), key=lambda item: (_RANK[item[0]], item[1])
    )
    if low in {high, "b"}:
        return _name(high, max(low_size, high_size) if low == high else high_size)
    if high == "i":  # an unsigned and a signed integer
        size = high_size if high_size > low_size else 2 * low_size
        return _name("i", size) if size <= 8 else "float64"
    return _name("f", max(high_size, min(2 * low_size, 8)))  # an integer and a real number


def _name(letter: str, size: int) -> str:
    if letter == "b":
        return "bool"
    return f"{ {'u': 'uint', 'i': 'int', 'f': 'float'}[letter] }{8 * size}"


def promote(first: Number, second: Number) -> Number:
    """Return the common type of two numbers, constants being weak."""
    if isinstance(first, Weak) and isinstance(second, Weak):
        order = ("bool", "int", "float")
        return max(first, second, key=lambda item: order.index(item.kind))
    if isinstance(first, Weak):
        first, second = second, first
    assert isinstance(first, Primitive)  # noqa: S101  narrows for the type checker
    if isinstance(second, Primitive):
        return Primitive(promote_dtypes(first.dtype, second.dtype))
    letter = _SIZES[first.dtype][0]
    if second.kind == "bool" or letter == "f" or (second.kind == "int" and letter != "b"):
        return first
    return settle_number(second)


def settle_number(kind: Number) -> Primitive:
    """Return `kind` as a dtype of its own."""
    return Primitive(_SETTLED[kind.kind]) if isinstance(kind, Weak) else kind


def float_of(kind: Number) -> Primitive:
    """Return the result of a function such as ``sqrt``, which has loops for real numbers only."""
    letter, size = _SIZES[settle_number(kind).dtype]
    return Primitive(f"float{8 * (size if letter == 'f' else min(2 * size, 8))}")


def merge(first: TypeOrWeak, second: TypeOrWeak) -> Type:
    """Return the type of an array that holds items of both, as ``ak.concatenate`` has it.

    Unknown where awkward would make a union.
    """
    match settle(first), settle(second):
        case (Option(one), Option(two)) | (Option(one), two) | (one, Option(two)):
            inner = merge(one, two)
            return inner if isinstance(inner, Unknown) else Option(inner)
        case Primitive(one), Primitive(two) if is_known(one) and is_known(two):
            return Primitive(promote_dtypes(one, two))
        case FixedList(one, size), FixedList(two, other) if size == other:
            inner = merge(one, two)
            return inner if isinstance(inner, Unknown) else FixedList(inner, size)
        case ((ListOf(one) | FixedList(one, _)), (ListOf(two) | FixedList(two, _))):
            inner = merge(one, two)
            return inner if isinstance(inner, Unknown) else ListOf(inner)
        case (String(), String()):
            return String()
        case Record() as one, Record() as two if one == two:
            return one
        case _:
            return Unknown()
