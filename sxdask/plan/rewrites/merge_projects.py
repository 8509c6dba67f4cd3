"""Project(Project(x, inner), outer)  ->  Project(x, outer[inner])."""

from __future__ import annotations

from sxdask.plan.compose import compose
from sxdask.plan.nodes import Node, Project, Schemas


def merge_projects(node: Node, _: Schemas) -> Node | None:
    """Compute columns of columns in one step.

    Legal because expressions are pure; what is written twice is computed once
    when the plan is lowered, since equal expressions share their value.
    """
    match node:
        case Project(Project(source, inner), outer):
            names = dict(inner)
            return Project(source, tuple((name, compose(expr, names)) for name, expr in outer))
        case _:
            return None
