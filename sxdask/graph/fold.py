"""What becomes of all rows together: histograms and totals, made where the rows are.

A fold turns the rows of a partition into a small state and joins states, so
that no row leaves the worker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import awkward as ak
import hist
import numpy as np

from sxdask.core.errors import RequestError
from sxdask.core.results import Axis, Histogram, Total

if TYPE_CHECKING:
    import numpy.typing as npt

    from sxdask.core.results import Reduction


class Fold(Protocol):
    """Rows -> state, joined in any order."""

    def rows(self, array: ak.Array) -> Any:
        """Return the state of one partition."""
        ...

    def join(self, left: Any, right: Any) -> Any:
        """Return the state of both, which stay as they are."""
        ...

    def result(self, state: Any) -> Any:
        """Return what the user gets."""
        ...


def fold_of(reduction: Reduction) -> Fold:
    """Return the fold for `reduction`."""
    if isinstance(reduction, Total):
        return TotalFold(reduction.function)
    return HistogramFold(reduction)


@dataclass(frozen=True)
class HistogramFold:
    """Fill histograms; the state is one `hist.Hist` per histogram, by name."""

    histograms: tuple[Histogram, ...]

    def rows(self, array: ak.Array) -> dict[str, hist.Hist[Any]]:
        """Return the histograms of one partition.

        Raises
        ------
        RequestError
            If axes, or an axis and the weight, have lists of other lengths.
        """
        filled = {item.name: _empty(item) for item in self.histograms}
        for item in self.histograms:
            self._fill(filled[item.name], item, array)
        return filled

    def join(
        self, left: dict[str, hist.Hist[Any]], right: dict[str, hist.Hist[Any]]
    ) -> dict[str, hist.Hist[Any]]:
        """Return the sums."""
        return {name: item + right[name] for name, item in left.items()}

    def result(self, state: dict[str, hist.Hist[Any]]) -> Any:
        """Return the only histogram, or all of them by name."""
        return next(iter(state.values())) if len(state) == 1 else state

    def _fill(self, target: hist.Hist[Any], item: Histogram, array: ak.Array) -> None:
        names = [axis.column for axis in item.axes]
        names += [item.weight] if item.weight is not None else []
        values = _lined_up([array[name] for name in names], item)
        weight = values.pop() if item.weight is not None else None
        if all(len(value) for value in values):
            target.fill(*values, weight=weight)


def _lined_up(columns: list[ak.Array], item: Histogram) -> list[npt.NDArray[Any]]:
    """Return flat arrays of one length, without the places where one of them is missing."""
    if len(columns) > 1:
        try:
            columns = ak.broadcast_arrays(*columns)
        except ValueError as error:
            raise RequestError(
                f"histogram {item.name!r}: its axes and weight do not line up: "
                f"{str(error).splitlines()[0]}",
                hint="fill from columns of one collection, or of one value per event",
            ) from None
    flat = [ak.flatten(column, axis=None) if column.ndim > 1 else column for column in columns]
    if len(columns) == 1:
        return [ak.to_numpy(ak.drop_none(flat[0]))]
    if any(column.layout.is_option or _has_option(column.layout) for column in columns):
        leaves = [ak.ravel(column) for column in columns]
        missing = np.any([ak.to_numpy(ak.is_none(leaf)) for leaf in leaves], axis=0)
        return [ak.to_numpy(ak.drop_none(leaf[~missing])) for leaf in leaves]
    return [ak.to_numpy(column) for column in flat]


def _has_option(layout: Any) -> bool:
    while not layout.is_option:
        if not layout.is_list:
            return False
        layout = layout.content
    return True


def _empty(item: Histogram) -> hist.Hist[Any]:
    storage: Any = hist.storage.Double() if item.weight is None else hist.storage.Weight()
    columns = [axis.column for axis in item.axes]
    axes = [
        _axis(axis, axis.column if columns.count(axis.column) == 1 else "") for axis in item.axes
    ]
    return hist.Hist(*axes, storage=storage, name=item.name)


def _axis(axis: Axis, name: str) -> Any:
    # the arguments of Hist.fill cannot be names of axes
    name = "" if name in {"weight", "sample", "threads"} else name
    labels = {"name": name, "label": axis.label or axis.column}
    if axis.categories:
        texts = isinstance(axis.categories[0], str)
        kind: Any = hist.axis.StrCategory if texts else hist.axis.IntCategory
        return kind(list(axis.categories), **labels)
    if axis.edges:
        return hist.axis.Variable(list(axis.edges), **labels)
    return hist.axis.Regular(axis.bins, axis.start, axis.stop, **labels)


@dataclass(frozen=True)
class TotalFold:
    """One value of all rows; the state is that of the rows so far, None for an extreme of none."""

    function: str

    def rows(self, array: ak.Array) -> Any:
        """Return the value of one partition."""
        if self.function == "count":
            return np.int64(len(array))
        return getattr(ak, self.function)(array, axis=0)

    def join(self, left: Any, right: Any) -> Any:
        """Return the value of both."""
        if left is None or right is None:
            return right if left is None else left
        match self.function:
            case "count" | "sum":
                return left + right
            case "min" | "max":
                return getattr(np, f"{self.function}imum")(left, right)
            case _:
                return getattr(np, f"logical_{'or' if self.function == 'any' else 'and'}")(
                    left, right
                )

    def result(self, state: Any) -> Any:
        """Return the value."""
        return state
