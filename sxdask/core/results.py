"""What a request gives: the shape of its rows, histograms, totals.

Plain values that the planner writes and workers read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Shape:
    """How the rows of a result look, where they are not records of an event each.

    Attributes
    ----------
    bare
        The result is the one column itself, without a field name.
    is_tuple
        Fields have positions and no names; columns are called "0", "1", ...
    items
        One row per item of each event's list: every column has a list per
        event, of one length, and the lists are joined (`SelectMany`).
    """

    bare: bool = False
    is_tuple: bool = False
    items: bool = False


EVENTS: Final = Shape()
"""One record per event."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a histogram over the output column `column`.

    Either `bins` equal bins over ``[start, stop)``, or bins between `edges`,
    or one bin for each of `categories` (whole numbers or texts).
    """

    column: str
    bins: int = 0
    start: float = 0.0
    stop: float = 0.0
    edges: tuple[float, ...] = ()
    categories: tuple[int, ...] | tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True, slots=True)
class Histogram:
    """A histogram over output columns; lists are filled item by item.

    `weight` names an output column of one weight per event or per item; with
    it the histogram keeps the sum of squared weights. Missing values are not
    filled.
    """

    name: str
    axes: tuple[Axis, ...]
    weight: str | None = None


@dataclass(frozen=True, slots=True)
class Total:
    """One value of all rows of the data: ``EventDataset(...).Count()``.

    `function` is ``count``, ``sum``, ``min``, ``max``, ``any`` or ``all``; it is
    taken over the rows of the only output column.
    """

    function: Literal["count", "sum", "min", "max", "any", "all"]


Reduction: TypeAlias = tuple[Histogram, ...] | Total
"""What becomes of all rows together, so that only it leaves the workers."""
