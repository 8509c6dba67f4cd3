"""What a name in a query means: ``Events;75.Muon_eta`` -> tree, cycle and branch."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import UnknownBranchError
from sxdask.core.types import LOCAL_ENTRY
from sxdask.plan.expr import Column

if TYPE_CHECKING:
    from sxdask.core.types import Schema
    from sxdask.plan.nodes import SchemaSource
    from sxdask.plan.place import SourceText

EVENT_ID: Final = "event_id"
"""What a query calls the number of the entry in its tree, counted from 0."""

_CYCLE: Final = re.compile(r"(?P<tree>[^;]*);(?P<cycle>\d{1,9})(?:\.(?P<branch>.*))?", re.DOTALL)


@dataclass
class Columns:
    """Finds columns by the names that queries give them; all are of one tree.

    `wanted` is the tree that the request names beside the query; else the
    first name with a tree decides, and the dataset's tree if there is none.
    """

    source: SourceText
    data: SchemaSource
    wanted: str | None = None
    _tree: str | None = field(default=None, init=False)
    _checked: set[tuple[str, str]] = field(default_factory=set, init=False)

    @property
    def tree(self) -> str:
        """The tree that is read."""
        tree = self._tree or self.wanted or self.data.default_tree
        if tree is None:
            trees = ", ".join(map(repr, self.data.trees[:20]))
            raise self.source.syntax_error(
                0, "the query names no tree, and the dataset has several", hint=f"it has {trees}"
            )
        return tree

    @property
    def schema(self) -> Schema:
        """Columns of the tree."""
        return self.data.schema(self.tree)

    def settle(self, names: list[tuple[str, int]]) -> None:
        """Find the tree that `names`, with their places, are of.

        Raises
        ------
        SelectionSyntaxError
            If they are of two trees, or of a cycle that is not read.
        UnknownTreeError
            If there is no such tree.
        """
        for name, start in names:
            tree, _ = self._parts(name, start)
            if tree is None:
                continue
            if self._tree not in {None, tree} or self.wanted not in {None, tree}:
                raise self.source.syntax_error(
                    start,
                    f"a query is about one tree, and this is of {tree!r}"
                    f" beside {self._tree or self.wanted!r}",
                    hint="ask for the other tree in a query of its own",
                )
            self._tree = tree

    def one(self, name: str, start: int) -> Column:
        """Return the column that `name`, at `start` of the text, means.

        Raises
        ------
        UnknownBranchError, UnreadableBranchError
            If there is no such branch, or it cannot become an array.
        """
        span = (start, start + len(name))
        if name == EVENT_ID:
            return Column(LOCAL_ENTRY, span)
        _, branch = self._parts(name, start)
        place = start + len(name) - len(branch)
        schema = self.schema
        found = schema.get(branch)
        if found is None and branch == EVENT_ID:
            return Column(LOCAL_ENTRY, span)
        if found is None or not branch:
            raise self.source.unknown_name(branch, place, schema)
        if found.reason is not None:
            raise self.source.unreadable(branch, place, found.reason)
        return Column(found.name, span)

    def chosen(self, name: str, start: int) -> list[tuple[str, Column]]:
        """Return the outputs that one entry of ``project`` stands for: name and column."""
        _, branch = (None, name) if name == EVENT_ID else self._parts(name, start)
        if branch in self.schema or not any(sign in branch for sign in "*?["):
            column = self.one(name, start)
            return [(EVENT_ID if column.name == LOCAL_ENTRY else column.name, column)]
        found = [item for item in self.everything() if fnmatchcase(item[0], branch)]
        if not found:
            raise UnknownBranchError(
                f"no branch of tree {self.tree!r} matches {branch!r}",
                hint="list the branches with: sxdask inspect FILE --branches",
                tree=self.tree,
            )
        return found

    def everything(self) -> list[tuple[str, Column]]:
        """Return every column that can be read, with its name."""
        fields = self.schema.fields
        return [(item.name, Column(item.name)) for item in fields if item.reason is None]

    def _parts(self, name: str, start: int) -> tuple[str | None, str]:
        """Return the tree, if the name has one, and the branch."""
        found = _CYCLE.fullmatch(name)
        if found is not None:
            tree, branch = found["tree"].strip("/"), found["branch"]
            if branch is None:
                raise self.source.syntax_error(
                    start + len(name),
                    "a column is missing after the tree",
                    hint=f"such as {name}.Muon_pt, or {name}.* for all of them",
                )
            self._check_cycle(tree, found["cycle"], start + found.start("cycle"))
            return tree, branch
        # Without a cycle a dot may belong to the branch: AnalysisElectronsAuxDyn.pt
        for tree in self.data.trees:
            if name.startswith(f"{tree}."):
                return tree, name[len(tree) + 1 :]
        return None, name

    def _check_cycle(self, tree: str, cycle: str, place: int) -> None:
        if (tree, cycle) in self._checked:
            return
        self.data.schema(tree)  # a tree that does not exist is the first thing to say
        cycles = self.data.cycles(tree)
        if int(cycle) != cycles[0]:
            there_is = ", ".join(f"{tree};{number}" for number in cycles)
            known = int(cycle) in cycles
            problem = "an older cycle is not read" if known else "there is no such cycle"
            raise self.source.syntax_error(
                place,
                f"{problem}: the first file has {there_is}",
                hint=f"write {tree};{cycles[0]}, or leave out the cycle",
            )
        self._checked.add((tree, cycle))
