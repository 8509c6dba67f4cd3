"""Apply the rewrite rules until none fires, and keep the derivation.

The result of every plan is ``Project(Scan(tree, columns, predicate), outputs)``
with only the columns and conditions that it needs, whatever the order of rules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from sxdask.core.errors import RequestError, SxdaskError
from sxdask.plan.expr import Column
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, Scan, Schemas
from sxdask.plan.rewrites.drop_duplicate_conjuncts import drop_duplicate_conjuncts
from sxdask.plan.rewrites.fold_constants import fold_constants
from sxdask.plan.rewrites.merge_projects import merge_projects
from sxdask.plan.rewrites.prune_columns import prune_columns
from sxdask.plan.rewrites.push_filter_below_project import push_filter_below_project
from sxdask.plan.rewrites.push_filter_into_scan import push_filter_into_scan
from sxdask.plan.rewrites.split_conjunctions import split_conjunctions

if TYPE_CHECKING:
    from sxdask.core.types import Schema

Rule: TypeAlias = Callable[[Node, Schemas], Node | None]
"""A rule gives the node that replaces its argument, or None if it does not apply."""

RULES: Final[tuple[Rule, ...]] = (
    push_filter_below_project,
    merge_projects,
    push_filter_into_scan,
    fold_constants,
    split_conjunctions,
    drop_duplicate_conjuncts,
    prune_columns,
)

_MAX_STEPS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Step:
    """One rule that fired, and the plan node it led to.

    `output` is the name of the output table, `table` its position in the plan
    (two tables may have one name).
    """

    rule: str
    output: str
    after: Node
    table: int = 0


def optimize(
    plan: Plan,
    schemas: Schemas | None = None,
    rules: Sequence[Rule] = RULES,
) -> tuple[Plan, tuple[Step, ...]]:
    """Return the plan that reads least, and the steps that led there.

    Parameters
    ----------
    plan
        What a frontend gave.
    schemas
        Columns by tree. A tree that is not there keeps conjunctions whole;
        a plan that asks for all of its columns cannot be optimised.
    rules
        The rules to apply; any order leads to the same result.

    Raises
    ------
    RequestError
        If all columns of a tree are asked for whose columns are not known.
    SxdaskError
        If rules undo each other, which is a mistake in a rule.
    """
    known = schemas or {}
    outputs: list[Output] = []
    steps: list[Step] = []
    for table, output in enumerate(plan.outputs):
        named = name_columns(output.root, known)
        if named is not output.root:
            steps.append(Step("name_columns", output.name, named, table))
        root, fired = _optimize_root(named, output.name, known, rules)
        outputs.append(replace(output, root=root))
        steps.extend(replace(step, table=table) for step in fired)
    return replace(plan, outputs=tuple(outputs)), tuple(steps)


def name_columns(root: Node, schemas: Mapping[str, Schema]) -> Node:
    """Return `root` with a projection of all readable columns if it has none."""
    node = root
    while isinstance(node, Filter):
        node = node.source
    if not isinstance(node, Scan):
        return root
    if node.columns is not None:
        return Project(root, tuple((name, Column(name)) for name in node.columns))
    if node.tree not in schemas:
        raise RequestError(f"the columns of tree {node.tree!r} are not known")
    fields = schemas[node.tree].fields
    readable = tuple((item.name, Column(item.name)) for item in fields if item.reason is None)
    return Project(root, readable)


def _optimize_root(
    root: Node, name: str, schemas: Schemas, rules: Sequence[Rule]
) -> tuple[Node, list[Step]]:
    steps: list[Step] = []
    seen = {fingerprint(root)}
    while (fired := _first(root, schemas, rules)) is not None:
        rule, root = fired
        steps.append(Step(rule.__name__, name, root))
        mark = fingerprint(root)
        if mark in seen or len(steps) > _MAX_STEPS:
            circle = " -> ".join(step.rule for step in steps[-6:])
            raise SxdaskError(
                f"rewrite rules undo each other: {circle}", hint="this is a mistake in sxdask"
            )
        seen.add(mark)
    return root, steps


def _first(root: Node, schemas: Schemas, rules: Sequence[Rule]) -> tuple[Rule, Node] | None:
    """Return the first rule that fires, innermost node first, and the new root."""
    path: list[Filter | Project] = []
    node = root
    while not isinstance(node, Scan):
        path.append(node)
        node = node.source
    for depth in range(len(path), -1, -1):
        for rule in rules:
            after = rule(node, schemas)
            if after is not None:
                for above in reversed(path[:depth]):
                    after = replace(above, source=after)
                return rule, after
        if depth:
            node = path[depth - 1]
    return None
