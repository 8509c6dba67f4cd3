"""What the tables of a compiled request say about it, whoever computes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.core.types import ListOf, Primitive
from sxdask.pipeline.compile import tree_of
from sxdask.plan.expr import Column

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.core.types import Type
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
        counters=_counters(compiled, table),
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


def _counters(compiled: Compiled, table: Lowered) -> dict[str, str]:
    """Return the branch that counts the items of each output that is a branch of lists.

    By the convention of NanoAOD: ``nMuon`` for ``Muon_pt`` and its like, or for
    ``Muon``. Where a request selects the counter, that is here too.
    """
    if table.output.function is not None:
        return {}
    schema = compiled.source.schema(tree_of(table.output))
    own = [name for name, expr in table.output_columns if expr == Column(name) and name in schema]
    found: dict[str, str] = {}
    for name in own:
        counter = next((item for item in _names(name) if item in schema), None)
        if counter is not None and _counts(schema[counter].type, schema[name].type):
            found[name] = counter
    return found | {name: name for name in own if name in found.values()}


def _names(column: str) -> tuple[str, str]:
    """Return the counters that a column of lists may have."""
    return f"n{column}", f"n{column.partition('_')[0]}"


def _counts(counter: Type, lists: Type) -> bool:
    whole = isinstance(counter, Primitive) and counter.dtype.lstrip("u").startswith("int")
    return whole and isinstance(lists, ListOf) and isinstance(lists.item, Primitive)
