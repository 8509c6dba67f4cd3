"""Filter(Project(x, outs), p)  ->  Project(Filter(x, p[outs]), outs)."""

from __future__ import annotations

from sxdask.plan.compose import compose
from sxdask.plan.nodes import Filter, Node, Project, Schemas


def push_filter_below_project(node: Node, _: Schemas) -> Node | None:
    """Evaluate a filter before the projection whose outputs it reads.

    Legal for every projection because expressions are pure and row-wise: the
    predicate over outputs equals the predicate with each output name replaced
    by its definition.
    """
    match node:
        case Filter(Project(source, outputs), predicate):
            return Project(Filter(source, compose(predicate, dict(outputs))), outputs)
        case _:
            return None
