"""A plan over a source, made ready to run; and what `explain` says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sxdask.core.errors import EmptyDatasetError, UnknownTreeError
from sxdask.plan.explain import explain_html, explain_text
from sxdask.plan.nodes import Scan
from sxdask.plan.optimize import optimize

if TYPE_CHECKING:
    import dask_awkward as dak

    from sxdask.core.types import Schema
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.source import IndexProgress, Source
    from sxdask.plan.nodes import Output, Plan
    from sxdask.plan.optimize import Step
    from sxdask.rootio.model import ReadOptions


@dataclass(frozen=True)
class Compiled:
    """A plan over a source, ready to run: one lowered table per output."""

    plan: Plan
    optimized: Plan
    steps: tuple[Step, ...]
    tables: tuple[Lowered, ...]
    source: Source


def compile_plan(plan: Plan, source: Source, *, progress: IndexProgress | None = None) -> Compiled:
    """Optimise `plan` and lower it over the indexes of `source`.

    The plan was checked against the first file when it was parsed, so that a
    wrong branch fails before any other file is looked at.

    Raises
    ------
    EmptyDatasetError
        If no file has any of the trees (where missing trees are allowed).
    """
    from sxdask.graph.lower import lower

    optimized, steps = optimized_plan(plan, source)
    options = read_options(source)
    tables: list[Lowered] = []
    for output in optimized.outputs:
        indexes = source.indexes(
            tree_of(output), allow_missing=output.allow_missing_tree, progress=progress
        )
        if indexes:
            target = source.settings.partition_bytes
            tables.append(lower(output, indexes, partition_bytes=target, options=options))
    if optimized.outputs and not tables:
        names = ", ".join(sorted({repr(tree_of(output)) for output in optimized.outputs}))
        raise EmptyDatasetError(
            f"no file of {source.files.name!r} has the tree {names}",
            hint=f"the first file has {', '.join(map(repr, source.trees))}",
        )
    return Compiled(plan, optimized, steps, tuple(tables), source)


def optimized_plan(plan: Plan, source: Source) -> tuple[Plan, tuple[Step, ...]]:
    """Return the optimised plan and the rewrites that led to it."""
    return optimize(plan, _schemas(plan, source))


def read_options(source: Source) -> ReadOptions:
    """Return how workers read this source."""
    from sxdask.rootio.model import ReadOptions

    return ReadOptions(
        threads=source.settings.threads,
        learn_zones=source.settings.learn_zones,
        storage_options=tuple(sorted(source.storage_options.items())),
    )


def _schemas(plan: Plan, source: Source) -> dict[str, Schema]:
    schemas: dict[str, Schema] = {}
    for output in plan.outputs:
        tree = tree_of(output)
        if tree not in schemas:
            try:
                schemas[tree] = source.schema(tree)
            except UnknownTreeError:
                if not output.allow_missing_tree:
                    raise
    return schemas


def tree_of(output: Output) -> str:
    """Return the name of the tree that `output` is read from."""
    node = output.root
    while not isinstance(node, Scan):
        node = node.source
    return node.tree


def to_dask(compiled: Compiled) -> dak.Array | dict[str, dak.Array]:
    """Return one lazy collection per output, or the only one."""
    from sxdask.graph.collection import collection

    arrays = {table.output.name: collection(table) for table in compiled.tables}
    return arrays if len(compiled.plan.outputs) > 1 else next(iter(arrays.values()))


def explain(compiled: Compiled, *, html: bool = False) -> str:
    """Return logical plan, fired rewrites and physical plan, as text or HTML."""
    from sxdask.graph.summary import physical_summary

    parts = []
    for table in compiled.tables:
        number = [item.name for item in compiled.optimized.outputs].index(table.output.name)
        logical = compiled.plan.outputs[number]
        steps = tuple(step for step in compiled.steps if step.output == table.output.name)
        show = explain_html if html else explain_text
        only = replace(compiled.plan, outputs=(logical,))
        parts.append(show(only, steps, physical_summary(table)))
    return ("" if html else "\n\n").join(parts)
