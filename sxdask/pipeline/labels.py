"""What the tables of a compiled request say about it, whoever computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.pipeline.compile import tree_of
from sxdask.plan.expr import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.deliver.tasks import Labels
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.compile import Compiled


def labels_of(
    compiled: Compiled, table: Lowered, facts: Mapping[str, str], format_name: str = "arrow"
) -> Labels:
    """Return the labels of one output; `facts` (title, language) go into every schema."""
    from sxdask.deliver.tasks import Labels

    return Labels(
        fingerprint=compiled.fingerprint,
        format=format_name,
        output=table.output.name,
        metadata=facts,
        units=_units(compiled, table),
    )


def _units(compiled: Compiled, table: Lowered) -> dict[str, str]:
    """Return the units of the outputs that are branches, where the files state them."""
    if table.output.function is not None:
        return {}
    schema = compiled.source.schema(tree_of(table.output))
    found = {
        name: schema[expr.name].unit
        for name, expr in table.output_columns
        if isinstance(expr, Column) and expr.name in schema
    }
    return {name: unit for name, unit in found.items() if unit}
