"""The columns of a chunk by the names that coffea knows them by: its own, groups, computed ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import UnreadableBranchError
from sxdask.core.results import EVENTS
from sxdask.graph.kernel import Program, run
from sxdask.graph.shape import assemble

if TYPE_CHECKING:
    from collections.abc import Mapping

    import awkward as ak

    from sxdask.graph.columns import LazyColumns
    from sxdask.rootio.layout import TreeLayout


@dataclass(frozen=True, slots=True)
class Computed:
    """Columns that a request computes, by name; they are fields besides those of the schema."""

    programs: Mapping[str, Program] = field(default_factory=dict)


class Branches:
    """Finds the column of the index for a branch as coffea names it, by its full path."""

    def __init__(self, layout: TreeLayout) -> None:
        self._names = dict(
            reversed(list(zip(layout.paths, layout.names, strict=True)))
        )  # of two with one path uproot finds the first
        self._groups = {
            path[:place]
            for path in layout.paths
            for place, letter in enumerate(path)
            if letter == "/"
        }
        self.layout = layout

    def column(self, path: str) -> str | None:
        """Return the name of the column at `path`, None if there is none."""
        return self._names.get(path)

    def is_group(self, path: str) -> bool:
        """Say whether `path` is a branch of branches, without values of its own."""
        return path in self._groups and path not in self._names

    def within(self, path: str) -> list[str]:
        """Return the columns at `path`, or below it."""
        found = self._names.get(path)
        if found is not None:
            return [found]
        return [name for item, name in self._names.items() if item.startswith(f"{path}/")]


class ChunkColumns:
    """What events are made of; `touched` are the columns of the file that were asked for."""

    def __init__(self, branches: Branches, lazy: LazyColumns, computed: Computed) -> None:
        self.lazy = lazy
        self.touched: dict[str, None] = {}
        self._branches = branches
        self._computed = computed
        self._made: dict[str, ak.Array] = {}

    def __getitem__(self, path: str) -> ak.Array | Group:
        """Return the array of a branch, or a group of branches.

        Raises
        ------
        SxdaskError
            If it cannot be read.
        """
        name = self._branches.column(path)
        if name is not None:
            return self._read(name)
        if self._branches.is_group(path):
            return Group(self, path)
        error = UnreadableBranchError(
            f"branch {path!r} cannot become an array",
            hint="leave it out of what the processor reads",
            branch=path,
        )
        self.lazy.failure = self.lazy.failure or error
        raise error

    def __contains__(self, path: object) -> bool:
        return bool(isinstance(path, str) and self._branches.within(path))

    @property
    def computed(self) -> tuple[str, ...]:
        """Names of the columns that are computed."""
        return tuple(self._computed.programs)

    def _read(self, name: str) -> ak.Array:
        self.touched[name] = None
        if name not in self.lazy.arrays:
            if name in self._branches.layout.unreadable:
                reason = self._branches.layout.unreadable[name]
                error = UnreadableBranchError(
                    f"branch {name!r} cannot become an array: {reason}"[:380], branch=name
                )
                self.lazy.failure = self.lazy.failure or error
                raise error
            self.lazy.read(name)
        return self.lazy.arrays[name]

    def compute(self, name: str) -> ak.Array:
        """Return a column that is computed, shape ``(num_rows,)``."""
        with self.lazy.lock:
            if name not in self._made:
                program = self._computed.programs[name]
                columns: dict[str, Any] = {item: self._read(item) for item in program.columns}
                rows = assemble((name,), run(program, columns), self.lazy.num_rows, EVENTS)
                self._made[name] = rows[name]
            return self._made[name]


@dataclass(frozen=True, slots=True)
class Group:
    """A branch of branches: nothing is read before one of them is asked for."""

    columns: ChunkColumns
    path: str

    def __getitem__(self, name: str) -> ak.Array | Group:
        return self.columns[f"{self.path}/{name}"]
