"""Results that are no rows, on the command line: histograms and totals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from sxdask.api import Query


def show_reduced(query: Query, *, quiet: bool, as_json: bool, **common: Any) -> dict[str, Any]:
    """Compute `query`, print its histograms or its total, and return them as plain values."""
    result = query.compute(**common)
    (output,) = query.plan.outputs
    if not isinstance(output.reduction, tuple):
        value = result.item() if hasattr(result, "item") else result
        return {"result": value}
    found = result if isinstance(result, dict) else {output.reduction[0].name: result}
    if as_json:
        return {"histograms": {name: _plain(item) for name, item in found.items()}}
    if not quiet:
        for name, item in found.items():
            typer.echo(f"{name}:\n{item}\n")
    return {"histograms": ", ".join(found)}


def _plain(histogram: Any) -> dict[str, Any]:
    """Return edges or categories of each axis, contents and, if weighted, variances.

    Contents are without underflow and overflow, whose sums stand by themselves.
    """
    axes = [
        {"label": axis.label, "edges": axis.edges.tolist()}
        if axis.traits.continuous
        else {"label": axis.label, "categories": [axis.bin(place) for place in range(axis.size)]}
        for axis in histogram.axes
    ]
    plain = {"axes": axes, "values": histogram.values().tolist()}
    variances = histogram.variances()
    if histogram.kind == "COUNT" and variances is not None:
        plain["variances"] = variances.tolist()
    plain["outside"] = float(histogram.values(flow=True).sum() - histogram.values().sum())
    return plain
