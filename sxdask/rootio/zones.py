"""Statistics of baskets: computed from decoded values, held against zone tests."""

from __future__ import annotations

from operator import ge, gt, le, lt
from typing import TYPE_CHECKING, Any, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from sxdask.core.bounds import ZoneAll, ZoneAny, ZoneCompare, ZoneTest, zone_columns
from sxdask.core.types import ENTRY, LOCAL_ENTRY
from sxdask.rootio.model import ColumnBaskets, ColumnZones

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sxdask.rootio.decode import ColumnValues
    from sxdask.rootio.model import BoolArray, Int64Array, Piece

Number: TypeAlias = int | float


def zone_dtype(dtype: str) -> npt.DTypeLike:
    """Return the dtype that holds every value of `dtype` exactly: int64, uint64 or float64."""
    kind = np.dtype(dtype).kind
    return {"u": np.uint64, "f": np.float64}.get(kind, np.int64)


def _extreme_limits(dtype: npt.DTypeLike) -> tuple[Any, Any]:
    """Return the largest and the smallest value: what an empty zone has as low and high."""
    if np.dtype(dtype).kind == "f":
        return np.inf, -np.inf
    limits = np.iinfo(np.dtype(dtype))
    return limits.max, limits.min


def _extremes(
    values: npt.NDArray[Any], edges: Int64Array, dtype: npt.DTypeLike
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Return the minimum and maximum of ``values[edges[i]:edges[i + 1]]``; NaN is ignored."""
    most, least = _extreme_limits(dtype)
    low = np.full(len(edges) - 1, most, dtype)
    high = np.full(len(edges) - 1, least, dtype)
    filled = np.flatnonzero(edges[1:] > edges[:-1])
    if len(filled):
        flat = values.view(np.uint8) if values.dtype == np.bool_ else values
        starts = edges[filled]
        trimmed = flat[: edges[-1]]
        low[filled] = np.fmin.reduceat(trimmed, starts)
        high[filled] = np.fmax.reduceat(trimmed, starts)
        if np.dtype(dtype).kind == "f":  # all-NaN zones look like empty ones
            low[np.isnan(low)] = most
            high[np.isnan(high)] = least
    return low, high


def compute_zones(column: ColumnValues, edges: Int64Array, whole: BoolArray) -> ColumnZones:
    """Return the statistics of baskets that a decoded column holds.

    Parameters
    ----------
    column
        The decoded rows.
    edges
        Row of the column where each basket's rows begin, and the end, shape
        ``(n_baskets + 1,)``.
    whole
        Baskets of which all rows are in the column, shape ``(n_baskets,)``;
        the others are reported as not known.
    """
    values = column.values
    dtype = zone_dtype(values.dtype.str)
    items = edges if column.offsets is None else column.offsets[edges]
    per_item = int(np.prod(values.shape[1:], dtype=np.int64))
    low, high = _extremes(values.reshape(-1), items * per_item, dtype)
    if column.offsets is None:
        return ColumnZones(whole.copy(), low, high)
    counts = np.diff(column.offsets)
    count_low, count_high = _extremes(counts, edges, np.int64)
    return ColumnZones(whole.copy(), low, high, count_low, count_high)


def merge_zones(old: ColumnZones | None, new: ColumnZones) -> ColumnZones:
    """Return `new` with what only `old` knows (same baskets)."""
    if old is None:
        return new

    def pick(mine: Any, theirs: Any) -> Any:
        if mine is None or theirs is None:
            return None
        return np.where(new.known, mine, theirs)

    return ColumnZones(
        new.known | old.known,
        pick(new.low, old.low),
        pick(new.high, old.high),
        pick(new.count_low, old.count_low),
        pick(new.count_high, old.count_high),
    )


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"<": lt, "<=": le, ">": gt, ">=": ge}


def _may_hold(op: str, low: Number, high: Number, constant: Number) -> bool:
    """Say whether some number from `low` to `high` satisfies ``number op constant``."""
    if low > high:
        return False
    if op == "==":
        return low <= constant <= high
    return _COMPARE[op](low if op in {"<", "<="} else high, constant)


def _rounded(low: Number, high: Number, constant: Number) -> list[tuple[Number, Number, Number]]:
    """Return the comparison as numpy may do it: in float32 or float64 in place of exactly.

    numpy compares float32 values with a constant rounded to float32, and
    integers with a fraction after both are rounded to float64. Rounding keeps
    the order, so looking at the extremes is enough.
    """
    views: list[tuple[Number, Number, Number]] = [(low, high, constant)]
    if isinstance(low, float) or isinstance(constant, float):
        double = _as_float(constant)
        views.append((float(low), float(high), double))
        with np.errstate(over="ignore"):
            views.append((float(low), float(high), float(np.float32(double))))
    return views


def _as_float(number: Number) -> float:
    try:
        return float(number)
    except OverflowError:  # an integer beyond float64
        return np.inf if number > 0 else -np.inf


def _compare(test: ZoneCompare, zones: ColumnZones) -> BoolArray:
    low, high = (zones.low, zones.high)
    if test.stat == "count":
        if zones.count_low is None or zones.count_high is None:
            return np.ones(len(zones.known), np.bool_)
        low, high = zones.count_low, zones.count_high
    may = np.ones(len(zones.known), np.bool_)
    for index in np.flatnonzero(zones.known):
        # .item() gives Python numbers, whose comparisons are exact for any size.
        smallest, largest = low[index].item(), high[index].item()
        empty = smallest > largest
        may[index] = not empty and any(
            _may_hold(test.op, *numbers) for numbers in _rounded(smallest, largest, test.constant)
        )
    return may


def _covered(
    may: BoolArray, entry_starts: Int64Array, starts: Int64Array, stops: Int64Array
) -> BoolArray:
    """Return for each entry range whether any basket that overlaps it may match."""
    first = np.searchsorted(entry_starts, starts, side="right") - 1
    last = np.searchsorted(entry_starts, stops, side="left")
    inside = (first >= 0) & (last < len(entry_starts))  # entries outside any known basket
    total = np.concatenate(([0], np.cumsum(may)))
    first, last = np.clip(first, 0, len(may)), np.clip(last, 0, len(may))
    return ~inside | (total[last] > total[first])


def may_match(
    test: ZoneTest,
    zones: Mapping[str, ColumnZones],
    baskets: Mapping[str, ColumnBaskets],
    starts: Int64Array,
    stops: Int64Array,
) -> BoolArray:
    """Return for each entry range whether a row of it may pass `test`.

    Parameters
    ----------
    zones, baskets
        Statistics and baskets by column; a column without either says nothing
        and the answer is yes.
    starts, stops
        Half-open entry ranges, shape ``(n_ranges,)``.
    """
    match test:
        case ZoneCompare():
            if test.column not in zones or test.column not in baskets:
                return np.ones(len(starts), np.bool_)
            may = _compare(test, zones[test.column])
            return _covered(may, baskets[test.column].entry_starts, starts, stops)
        case ZoneAll(tests):
            may = np.ones(len(starts), np.bool_)
            for part in tests:
                may &= may_match(part, zones, baskets, starts, stops)
            return may
        case ZoneAny(tests):
            may = np.zeros(len(starts), np.bool_)
            for part in tests:
                may |= may_match(part, zones, baskets, starts, stops)
            return may
        case _:
            assert_never(test)


def zone_blocks(
    cluster_starts: Int64Array, tests: Sequence[ZoneTest], baskets: Mapping[str, ColumnBaskets]
) -> Int64Array:
    """Return the edges of the entry ranges that `tests` can tell apart.

    Clusters, cut further where a basket of a tested column begins: baskets
    may be smaller than clusters.
    """
    names = {name for test in tests for name in zone_columns(test) if name in baskets}
    known = [cluster_starts, *(baskets[name].entry_starts for name in sorted(names))]
    edges: Int64Array = np.unique(np.concatenate(known))
    first, last = np.searchsorted(edges, [cluster_starts[0], cluster_starts[-1]])
    return edges[first : last + 1]


def entry_zones(piece: Piece) -> tuple[dict[str, ColumnZones], dict[str, ColumnBaskets]]:
    """Return statistics of the entry columns of `piece`, as if each cluster were a basket."""
    edges = piece.cluster_starts
    low, high = edges[:-1], edges[1:] - 1
    known = np.ones(len(low), np.bool_)
    none = np.zeros(len(low), np.int64)
    zones = {
        LOCAL_ENTRY: ColumnZones(known, low, high),
        ENTRY: ColumnZones(known, low + piece.first_entry, high + piece.first_entry),
    }
    return zones, dict.fromkeys(zones, ColumnBaskets(none, none, edges))
