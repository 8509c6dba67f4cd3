"""Relational nodes and the plan: what is read, which rows stay, which columns leave.

Nodes say nothing about files: the same plan runs over any dataset, and a
partition's content key joins the plan's fingerprint with the file's identity.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from sxdask.core.results import EVENTS, Reduction, Shape
from sxdask.core.types import Schema

if TYPE_CHECKING:
    from sxdask.plan.expr import Expr


@dataclass(frozen=True, slots=True)
class Scan:
    """Read `tree`; after optimisation with the branches and conjuncts it needs.

    `columns` is None before pruning (all readable branches). `predicate` holds
    the conjuncts in evaluation order; a row stays if all of them hold.
    """

    tree: str
    columns: tuple[str, ...] | None = None
    predicate: tuple[Expr, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter:
    """Keep the rows of `source` where `predicate` (one boolean per row) holds."""

    source: Node
    predicate: Expr


@dataclass(frozen=True, slots=True)
class Project:
    """Compute `outputs`, pairs of name and expression, from each row of `source`."""

    source: Node
    outputs: tuple[tuple[str, Expr], ...]


Node: TypeAlias = Scan | Filter | Project


def num_steps(root: Node) -> int:
    """Return how many nodes lie between the result and the scan."""
    count = 0
    while not isinstance(root, Scan):
        root, count = root.source, count + 1
    return count


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the user, which workers call in place of giving the rows.

    Attributes
    ----------
    name
        What it is called in `text`.
    argument
        The name of its only argument, for people.
    per
        It is called with the path of each file, or with the events of each
        partition of `Output.root`, whose outputs are the columns that it names.
    text
        Python that defines it; empty where only `pickled` has it.
    imports
        Names that `text` uses without defining them, and the modules they are.
    pickled
        Base64 of what cloudpickle makes of it, where the text does not say all.
    """

    name: str
    argument: str
    per: Literal["file", "partition"]
    text: str
    imports: tuple[tuple[str, str], ...] = ()
    pickled: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """One resulting table; `name` is the output tree's name (empty: the only one).

    With a `reduction` the result is not the table but what that makes of it,
    with a `function` what that gives: one table, or several by name.
    """

    name: str
    root: Node
    allow_missing_tree: bool = False
    shape: Shape = EVENTS
    reduction: Reduction | None = None
    function: Function | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that one request asks of each file.

    `copies` are name filters (exact, glob, ``/regex/``) of ROOT objects, such
    as histograms, to be copied as they are. With `by_file` the result of
    ``compute`` is an Arrow table for each file, and the table itself where
    there is one file; it says nothing of what is computed, so the fingerprint
    leaves it out.
    """

    outputs: tuple[Output, ...]
    copies: tuple[str, ...] = ()
    by_file: bool = False


class SchemaSource(Protocol):
    """What a frontend may know of the data: names and types, from the first file."""

    @property
    def trees(self) -> tuple[str, ...]:
        """Names of the trees, without cycle, in file order."""
        ...

    @property
    def default_tree(self) -> str | None:
        """The tree that the dataset names, or the only one there is."""
        ...

    def schema(self, tree: str) -> Schema:
        """Return the columns of `tree`; raises `UnknownTreeError`."""
        ...

    def cycles(self, tree: str) -> tuple[int, ...]:
        """Return the cycles of `tree` in the file, newest first; the newest is read."""
        ...


Schemas: TypeAlias = Mapping[str, Schema]
