"""Zone tests: what a block of entries must contain for any row of it to pass.

The planner derives them from a predicate; the reader holds them against the
minimum and maximum it knows of each basket. They are necessary conditions: a
zone that fails its test holds no passing row; a zone that passes may or may not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ZoneOp: TypeAlias = Literal["<", "<=", ">", ">=", "=="]


@dataclass(frozen=True, slots=True)
class ZoneCompare:
    """Some value of `column` in the zone must satisfy ``value op constant``.

    With ``stat="count"`` the number of list items of an entry is compared in
    place of the values. NaN satisfies no comparison.
    """

    column: str
    op: ZoneOp
    constant: int | float
    stat: Literal["value", "count"] = "value"


@dataclass(frozen=True, slots=True)
class ZoneAll:
    """Every one of `tests` must hold in the zone."""

    tests: tuple[ZoneTest, ...]


@dataclass(frozen=True, slots=True)
class ZoneAny:
    """At least one of `tests` must hold in the zone."""

    tests: tuple[ZoneTest, ...]


ZoneTest: TypeAlias = ZoneCompare | ZoneAll | ZoneAny


def zone_columns(test: ZoneTest) -> frozenset[str]:
    """Return the columns whose statistics `test` asks for."""
    match test:
        case ZoneCompare(column=column):
            return frozenset({column})
        case ZoneAll(tests) | ZoneAny(tests):
            return frozenset().union(*(zone_columns(item) for item in tests))
