"""What a lowered table costs, as the plain numbers that `explain` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.core.bounds import ZoneAll, ZoneAny, ZoneCompare, ZoneTest
from sxdask.plan.explain import BranchRow, PhysicalSummary, Role, format_bytes

if TYPE_CHECKING:
    from sxdask.core.types import Schema
    from sxdask.graph.lower import Lowered
    from sxdask.graph.split import Cuts


def physical_summary(table: Lowered, schema: Schema) -> PhysicalSummary:
    """Return branches, partitions and bytes of one lowered table.

    Parameters
    ----------
    table
        What the planner made of the request.
    schema
        Columns of the tree, for their types.
    """
    predicate = {name for item in table.reader.conjuncts for name in item.columns}
    outputs = table.reader.output_columns
    rows = tuple(
        BranchRow(
            name=name,
            type=str(schema[name].type) if name in schema else "",
            role=_role(name, predicate, outputs),
            num_bytes=num_bytes,
        )
        for name, num_bytes in table.column_bytes.items()
    )
    tests = (zone_text(item.zone) for item in table.reader.conjuncts if item.zone is not None)
    return PhysicalSummary(
        output=table.output.name,
        tree=schema.tree,
        branches=rows,
        num_files=table.num_files,
        partitions_kept=len(table.pieces),
        partitions_pruned=len(table.pruned),
        num_entries=table.num_entries,
        bytes_to_read=table.bytes_to_read,
        bytes_in_files=table.bytes_in_files,
        zone_tests=tuple(tests),
        split=split_text(table.cuts),
    )


def split_text(cuts: Cuts) -> str:
    """Return why and how partitions were cut, nothing if none was.

    Examples
    --------
    >>> from sxdask.graph.split import Cuts
    >>> split_text(Cuts(ranges=1, parts=3, inside=2, largest=1_300_000_000, limit=500_000_000))
    'because 1.3 GB decoded exceed 500.0 MB: 1 range in 3 parts, 2 cuts inside clusters'
    """
    if not cuts.ranges:
        return ""
    where = f"{cuts.inside:,} cuts inside clusters" if cuts.inside else "at cluster edges"
    where = where.replace("cuts", "cut", 1) if cuts.inside == 1 else where
    ranges = "1 range" if cuts.ranges == 1 else f"{cuts.ranges:,} ranges"
    return (
        f"because {format_bytes(cuts.largest)} decoded exceed {format_bytes(cuts.limit)}: "
        f"{ranges} in {cuts.parts:,} parts, {where}"
    )


def _role(name: str, predicate: set[str], outputs: frozenset[str]) -> Role:
    if name in predicate:
        return "both" if name in outputs else "predicate"
    return "output"


def zone_text(test: ZoneTest) -> str:
    """Return a zone test as a condition on basket statistics.

    Examples
    --------
    >>> zone_text(ZoneCompare("MET_pt", ">", 50))
    'max(MET_pt) > 50'
    """
    match test:
        case ZoneCompare(column, op, constant, stat):
            name = f"num({column})" if stat == "count" else column
            if op == "==":
                return f"min({name}) <= {constant} <= max({name})"
            return f"{'max' if op in {'>', '>='} else 'min'}({name}) {op} {constant}"
        case ZoneAll(tests):
            return " & ".join(_inner(item) for item in tests)
        case ZoneAny(tests):
            return " | ".join(_inner(item) for item in tests)


def _inner(test: ZoneTest) -> str:
    return zone_text(test) if isinstance(test, ZoneCompare) else f"({zone_text(test)})"
