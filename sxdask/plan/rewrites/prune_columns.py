"""Project(Scan[all], outs)  ->  Project(Scan[columns of outs and conditions], outs)."""

from __future__ import annotations

from dataclasses import replace

from sxdask.plan.expr import columns_of
from sxdask.plan.nodes import Node, Project, Scan, Schemas


def prune_columns(node: Node, _: Schemas) -> Node | None:
    """Read only what conditions and outputs use, conditions first.

    Legal because nothing above the projection can name another column. The
    order is that of first use, so that equal requests read equal lists.
    """
    match node:
        case Project(Scan(columns=columns, predicate=predicate) as scan, outputs):
            exprs = (*predicate, *(expr for _, expr in outputs))
            used = tuple(dict.fromkeys(name for expr in exprs for name in columns_of(expr)))
            return None if columns == used else Project(replace(scan, columns=used), outputs)
        case _:
            return None
