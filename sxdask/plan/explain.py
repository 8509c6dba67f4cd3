"""Say what a request will do: the plan as a tree, the rules that fired, what is read.

`PhysicalSummary` carries plain values, so that the stage that knows files can
fill it and nothing here imports that stage.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from sxdask.core.results import Axis, Histogram, Total
from sxdask.plan.expr import Column, Expr
from sxdask.plan.nodes import Filter, Function, Node, Output, Plan, Project, Scan
from sxdask.plan.text import column_text, expression_text, with_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.plan.optimize import Step

__all__ = [
    "BranchRow",
    "PhysicalSummary",
    "explain_text",
    "expression_text",
    "format_bytes",
    "show",
]

Role: TypeAlias = Literal["predicate", "output", "both"]

_MOST_NAMES: Final = 12
_MOST_ROWS: Final = 40


@dataclass(frozen=True, slots=True)
class BranchRow:
    """One branch that will be read; `num_bytes` are compressed bytes over all files."""

    name: str
    type: str
    role: Role
    num_bytes: int


@dataclass(frozen=True, slots=True)
class PhysicalSummary:
    """What one output table costs: branches, partitions and bytes, in numbers.

    `bytes_to_read` counts the kept partitions of the branches above,
    `bytes_in_files` everything in the tree. `zone_tests` are the conditions
    that the reader holds against basket statistics, `split` why partitions
    were cut, `stored` how many of them are kept results and `cached` of which
    columns baskets are kept, all as text.
    """

    output: str
    tree: str
    branches: tuple[BranchRow, ...]
    num_files: int
    partitions_kept: int
    partitions_pruned: int
    num_entries: int
    bytes_to_read: int
    bytes_in_files: int
    zone_tests: tuple[str, ...] = ()
    split: str = ""
    stored: str = ""
    cached: str = ""


def show(item: Plan | Output | Node) -> str:
    """Return a plan or a node as an indented tree, sources below.

    Examples
    --------
    >>> print(show(Project(Scan("Events"), (("pt", Column("Muon_pt")),))))
    Project [pt=Muon_pt]
      Scan Events [*]
    """
    match item:
        case Plan(outputs, copies):
            blocks = [show(output) for output in outputs]
            if copies:
                blocks.append("Copy " + ", ".join(copies))
            return "\n".join(blocks) if blocks else "(nothing)"
        case Output(name, root, allow_missing):
            per_file = item.function is not None and item.function.per == "file"
            tree = "" if per_file else "\n".join(_lines(root))
            above = _above(item)
            tree = "\n".join([*above, _indent(tree)]).rstrip() if above else tree
            notes = [f"as {name}"] if name else []
            notes += ["files without the tree are skipped"] if allow_missing else []
            return f"Output {', '.join(notes)}\n{_indent(tree)}" if notes else tree
        case _:
            return "\n".join(_lines(item))


def _above(output: Output) -> list[str]:
    """Return what happens to the rows of `output` after the last node, outermost first."""
    lines: list[str] = []
    match output.reduction:
        case Total(function):
            lines.append(f"Total {function}")
        case tuple(histograms):
            lines += [f"Fill {_histogram(item)}" for item in histograms]
    if output.shape.items:
        lines.append("Flatten (one row per item)")
    if output.shape.bare and output.reduction is None:
        lines.append("Value (no field name)")
    if output.shape.is_tuple:
        lines.append("Tuple (fields by position)")
    if output.function is not None:
        lines += _call(output.function)
    return lines


def _call(function: Function) -> list[str]:
    text = function.text.strip("\n").splitlines()
    shown = text if len(text) <= _MOST_ROWS else [*text[:_MOST_ROWS], "..."]
    each = f"for each {function.per}"
    around = " with the values around it" if function.pickled else ""
    head = f"Call {function.name}({function.argument}) {each}{around}"
    return [head, *(f"  | {line}".rstrip() for line in shown)]


def _histogram(histogram: Histogram) -> str:
    axes = " x ".join(_axis(axis) for axis in histogram.axes)
    weight = f" weighted by {histogram.weight}" if histogram.weight is not None else ""
    return f"{histogram.name} ({axes}{weight})"


def _axis(axis: Axis) -> str:
    if axis.bins:
        return f"{axis.column or 'value'}: {axis.bins} bins from {axis.start:g} to {axis.stop:g}"
    if axis.edges:
        return f"{axis.column or 'value'}: {len(axis.edges) - 1} bins"
    return f"{axis.column or 'value'}: {len(axis.categories)} categories"


def _lines(node: Node) -> list[str]:
    lines: list[str] = []
    level = 0
    while True:
        pad = "  " * level
        match node:
            case Scan(tree, columns, predicate):
                names = "*" if columns is None else _names([column_text(name) for name in columns])
                lines.append(f"{pad}Scan {tree} [{names}]")
                conditions, parts = with_names(predicate)
                lines += [f"{pad}  where {expression_text(expr)}" for expr in conditions]
                return lines + _parts(parts, pad)
            case Filter(source, predicate):
                (condition,), parts = with_names([predicate])
                lines += [f"{pad}Filter {expression_text(condition)}", *_parts(parts, pad)]
                node = source
            case Project(source, outputs):
                shown, parts = with_names([expr for _, expr in outputs[:_MOST_NAMES]])
                pairs = [
                    _output(name, expr) for (name, _), expr in zip(outputs, shown, strict=False)
                ]
                pairs += [name for name, _ in outputs[_MOST_NAMES:]]
                lines += [f"{pad}Project [{_names(pairs)}]", *_parts(parts, pad)]
                node = source
        level += 1


def _parts(parts: Sequence[tuple[str, Expr]], pad: str) -> list[str]:
    return [f"{pad}  with {name} = {expression_text(expr)}" for name, expr in parts]


def _output(name: str, expr: Expr) -> str:
    if isinstance(expr, Column) and expr.name == name:
        return column_text(name)
    text = expression_text(expr)
    return f"{name}={text}" if name != text else text


def _names(names: Sequence[str]) -> str:
    if len(names) <= _MOST_NAMES:
        return ", ".join(names)
    return ", ".join(names[:_MOST_NAMES]) + f", ... {len(names) - _MOST_NAMES} more"


def _indent(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def format_bytes(num_bytes: int) -> str:
    """Return a size for people, in powers of 1000.

    Examples
    --------
    >>> format_bytes(1_234_567)
    '1.2 MB'
    """
    if num_bytes < 1000:
        return f"{num_bytes} B"
    size = float(num_bytes)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} PB"


def explain_text(
    plan: Plan, derivation: Sequence[Step] = (), physical: PhysicalSummary | None = None
) -> str:
    """Return the whole explanation as text.

    Parameters
    ----------
    plan
        The logical plan, as the frontend gave it.
    derivation
        The rewrites that fired on it, in order.
    physical
        What is read, where files were looked at.
    """
    sections = [("logical plan", show(plan))]
    if derivation:
        sections.append(("rewrites", "\n".join(fired_rules(derivation))))
        sections.append(("optimised plan", show(derived(plan, derivation))))
    if physical is not None:
        sections.append((physical_title(physical), _physical(physical)))
    return "\n\n".join(f"{title}\n{_indent(body)}" for title, body in sections)


def derived(plan: Plan, derivation: Sequence[Step]) -> Plan:
    """Return the plan that `derivation` leads to from `plan`."""
    if len(plan.outputs) == 1 and derivation:
        (output,) = plan.outputs
        return replace(plan, outputs=(replace(output, root=derivation[-1].after),))
    last = {step.table: step.after for step in derivation}
    outputs = tuple(
        replace(output, root=last.get(table, output.root))
        for table, output in enumerate(plan.outputs)
    )
    return replace(plan, outputs=outputs)


def fired_rules(derivation: Sequence[Step]) -> list[str]:
    """Return the names of the rules that fired, each run of one rule as one line."""
    lines: list[str] = []
    counts: list[int] = []
    for step in derivation:
        if lines and lines[-1] == step.rule:
            counts[-1] += 1
        else:
            lines.append(step.rule)
            counts.append(1)
    return [
        f"{line} x {count}" if count > 1 else line
        for line, count in zip(lines, counts, strict=True)
    ]


def physical_title(summary: PhysicalSummary) -> str:
    """Return the heading of one table's physical plan."""
    return f"physical plan of {summary.output}" if summary.output else "physical plan"


def physical_facts(summary: PhysicalSummary) -> list[tuple[str, str]]:
    """Return the numbers of one table as pairs of name and value, for any display."""
    if not summary.tree:
        calls = f"{summary.num_files:,}, one a file"
        return [("calls", calls), ("bytes to read", "whatever the function reads")]
    share = summary.bytes_to_read / summary.bytes_in_files if summary.bytes_in_files else 0.0
    to_read, in_files = format_bytes(summary.bytes_to_read), format_bytes(summary.bytes_in_files)
    facts = [
        ("tree", summary.tree),
        ("files", f"{summary.num_files:,}"),
        ("entries", f"{summary.num_entries:,}"),
        ("partitions", f"{summary.partitions_kept:,} kept, {summary.partitions_pruned:,} pruned"),
        ("bytes to read", f"{to_read} of {in_files} ({share:.1%})"),
    ]
    if summary.split:
        facts.insert(4, ("split", summary.split))
    if summary.zone_tests:
        facts.append(("zone tests", "; ".join(summary.zone_tests)))
    facts += [("stored results", summary.stored)] if summary.stored else []
    facts += [("columns cached", summary.cached)] if summary.cached else []
    return facts


def _physical(summary: PhysicalSummary) -> str:
    facts = physical_facts(summary)
    lines = [f"{name:<14} {value}" for name, value in facts]
    rows = summary.branches[:_MOST_ROWS]
    if rows:
        names, types = max(len(row.name) for row in rows), max(len(row.type) for row in rows)
        lines.append("branches")
        lines += [
            f"  {row.name:<{names}}  {row.type:<{types}}  {row.role:<9}"
            f"  {format_bytes(row.num_bytes):>9}"
            for row in rows
        ]
    if len(summary.branches) > _MOST_ROWS:
        lines.append(f"  ... {len(summary.branches) - _MOST_ROWS} more")
    return "\n".join(lines)
