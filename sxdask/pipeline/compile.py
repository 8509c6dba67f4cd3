"""A plan over a source, made ready to run; and what `explain` says of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import RequestError, UnknownTreeError
from sxdask.core.types import Schema
from sxdask.pipeline.recent import lowered
from sxdask.plan.explain import explain_text
from sxdask.plan.explain_html import explain_html
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.nodes import Scan
from sxdask.plan.optimize import optimize
from sxdask.plan.python.functions import require_allowed

if TYPE_CHECKING:
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.source import IndexProgress, Source
    from sxdask.plan.nodes import Output, Plan
    from sxdask.plan.optimize import Step
    from sxdask.rootio.model import ReadOptions


@dataclass(frozen=True)
class Compiled:
    """A plan over a source, ready to run: one lowered table per output.

    `parts` are the sub-queries that some file can answer.
    """

    plan: Plan
    optimized: Plan
    steps: tuple[Step, ...]
    parts: tuple[Lowered, ...]
    source: Source

    @cached_property
    def tables(self) -> tuple[Lowered, ...]:
        """One table per output name; sub-queries with one name fill one table."""
        from sxdask.graph.chain import chain

        named: dict[str, list[Lowered]] = {}
        for part in self.parts:
            named.setdefault(part.output.name, []).append(part)
        return tuple(group[0] if len(group) == 1 else chain(group) for group in named.values())

    @property
    def is_several(self) -> bool:
        """Whether results go by name: there are several output trees, or there is none."""
        return len({output.name for output in self.plan.outputs}) > 1 or not self.tables

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal name of the optimised plan, the same in every process."""
        return fingerprint(self.optimized)


def compile_plan(
    plan: Plan,
    source: Source,
    *,
    progress: IndexProgress | None = None,
    optimized: tuple[Plan, tuple[Step, ...]] | None = None,
) -> Compiled:
    """Optimise `plan` and lower it over the indexes of `source`.

    `optimized` is what `optimized_plan` gave for a source with the same columns.

    The plan was checked against the first file when it was parsed, so that a
    wrong branch fails before any other file is looked at.

    A tree that may be missing and that no file has gives no table.
    """
    best, steps = optimized or optimized_plan(plan, source)
    found = [_lowered(output, source, progress) for output in best.outputs]
    tables = [
        replace(table, position=position)
        for position, table in enumerate(found)
        if table is not None
    ]
    return Compiled(plan, best, steps, tuple(tables), source)


def _lowered(output: Output, source: Source, progress: IndexProgress | None) -> Lowered | None:
    """Return `output` ready to run, None if its tree may be missing and no file has it."""
    if output.function is not None:
        require_allowed(source.settings)
        if output.function.per == "file":
            from sxdask.graph.lower_function import lower_files

            return lower_files(output, source.stamps())
    indexes = source.indexes(
        tree_of(output), allow_missing=output.allow_missing_tree, progress=progress
    )
    if not indexes:
        return None
    sizes = {
        "partition_bytes": source.settings.partition_bytes,
        "partition_memory": source.settings.max_partition_memory,
    }
    if output.function is not None:
        from sxdask.graph.lower_function import lower_events as lower
    else:
        from sxdask.graph.lower import lower
    return lowered(output, indexes, **sizes, options=read_options(source), lower=lower)


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
        column_cache=_column_cache(source),
        column_cache_bytes=source.settings.column_cache_bytes,
        cache_local=source.settings.column_cache == "on",
    )


def _column_cache(source: Source) -> str:
    settings = source.settings
    off = settings.column_cache == "off" or not settings.column_cache_bytes
    return "" if off else str(settings.cache_dir / "columns")


def _schemas(plan: Plan, source: Source) -> dict[str, Schema]:
    schemas: dict[str, Schema] = {}
    for output in plan.outputs:
        tree = tree_of(output)
        if tree and tree not in schemas:
            try:
                schemas[tree] = source.schema(tree)
            except UnknownTreeError:
                if not output.allow_missing_tree:
                    raise
    return schemas


def tree_of(output: Output) -> str:
    """Return the name of the tree that `output` is read from; none for a function of a path."""
    node = output.root
    while not isinstance(node, Scan):
        node = node.source
    return node.tree


def to_dask(compiled: Compiled) -> Any:
    """Return one lazy collection per output, or the only one; a reduction is a `Delayed`."""
    from sxdask.deliver.runner import choose_runner
    from sxdask.graph.collection import collection, reduced
    from sxdask.pipeline.outputs import output_tables

    require_tables(compiled.plan)
    if any(table.output.reduction is not None for table in compiled.tables):
        (table,) = compiled.tables
        return reduced(table)
    tables, several = compiled.tables, compiled.is_several
    if tables and tables[0].output.function is not None:
        tables, several = output_tables(tables[0], choose_runner(), keep=False)
    arrays = {table.output.name: collection(table) for table in tables}
    return arrays if several else next(iter(arrays.values()))


def require_tables(plan: Plan) -> None:
    """Refuse a plan that copies ROOT objects where only tables can be given."""
    if plan.copies:
        raise RequestError(
            f"cannot store histograms in a non-ROOT format: {', '.join(plan.copies)}",
            hint="leave copy_histograms out of requests for arrays, Arrow or Parquet",
        )


def explain(compiled: Compiled, *, html: bool = False) -> str:
    """Return logical plan, fired rewrites and physical plan of each output, as text or HTML."""
    from sxdask.graph.summary import physical_summary
    from sxdask.pipeline.kept import cached_columns, stored_results

    show = explain_html if html else explain_text
    lowered = {table.position: table for table in compiled.parts}
    parts = []
    for position, output in enumerate(compiled.plan.outputs):
        table = lowered.get(position)
        summary = None
        if table is not None:
            tree = tree_of(table.output)
            schema = compiled.source.schema(tree) if tree else Schema(())
            summary = replace(
                physical_summary(table, schema),
                stored=stored_results(table, compiled.source),
                cached=cached_columns(table, read_options(compiled.source)),
            )
        steps = [step for step in compiled.steps if step.table == position]
        parts.append(show(replace(compiled.plan, outputs=(output,)), steps, summary))
    return "\n".join(parts)
