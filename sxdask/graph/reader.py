"""The one task of a partition: read, filter, compute the outputs.

`PlanReader` is what travels in the graph: programs, column layouts and the
form of its result; no plan node, no index, no schema of the whole file. It is a
dask-awkward IO function with the projection protocol, so that code that users
write on ``q.dask()`` prunes the outputs, and through them the branches, that
it does not touch.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import awkward as ak

from sxdask.core.errors import SxdaskError
from sxdask.core.results import EVENTS
from sxdask.graph.kernel import Program, run
from sxdask.graph.shape import assemble, parts_of
from sxdask.rootio.model import ColumnLayout, ColumnZones, Conjunct, Piece, ReadOptions, ScanSpec

if TYPE_CHECKING:
    from awkward.forms import Form

    from sxdask.core.events import ReadReport
    from sxdask.core.results import Shape

Layouts = Mapping[str, ColumnLayout]


@dataclass(frozen=True, slots=True)
class PartitionRead:
    """The rows of one partition, what reading cost and what it taught."""

    array: ak.Array
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)


@dataclass(frozen=True)
class PlanReader:
    """Read one `Piece` and return its outputs as a record array.

    `names` and `program` are the outputs; `conjuncts` the predicate;
    `layouts` one mapping of column layouts per kind of file in the dataset
    (`Piece.layout` says which). `form` is the awkward form of the result, as
    JSON, `shape` what its rows look like. `wanted` names the outputs that a
    graph really uses; None is all.
    """

    names: tuple[str, ...]
    program: Program
    conjuncts: tuple[Conjunct, ...]
    layouts: tuple[Layouts, ...]
    form: str
    token: str
    options: ReadOptions
    wanted: tuple[str, ...] | None = None
    shape: Shape = EVENTS

    def __call__(self, piece: Piece | bytes) -> ak.Array:
        """Read `piece`, pickled or not; outputs that are not wanted are placeholders."""
        if isinstance(piece, bytes):
            piece = cast("Piece", pickle.loads(piece))  # noqa: S301  from our own graph
        array = self.read(piece).array
        return array if self.wanted is None else self._with_placeholders(array)

    def read(self, piece: Piece) -> PartitionRead:
        """Read `piece`; the array has the wanted outputs only.

        Raises
        ------
        SxdaskError
            With file, tree and entry range in its context.
        """
        from sxdask.rootio.scan import scan

        try:
            found = scan(piece, self.layouts[piece.layout], self._spec, self.options)
            values = run(self._active, found.arrays)
        except SxdaskError as error:
            raise error.add(
                file=piece.url,
                tree=piece.tree,
                entry_start=piece.entry_start,
                entry_stop=piece.entry_stop,
            ) from error.__cause__
        array = assemble(self._active_names, values, found.num_rows, self.shape)
        return PartitionRead(array, found.report, found.learned)

    @cached_property
    def _active_names(self) -> tuple[str, ...]:
        return self.names if self.wanted is None else self.wanted

    @cached_property
    def _active(self) -> Program:
        if self.wanted is None:
            return self.program
        place = dict(zip(self.names, self.program.results, strict=True))
        return restrict(self.program, tuple(place[name] for name in self.wanted))

    @cached_property
    def _spec(self) -> ScanSpec:
        return ScanSpec(self._active.columns, self.conjuncts)

    @property
    def output_columns(self) -> frozenset[str]:
        """Branches that the outputs are made of."""
        return frozenset(self._active.columns)

    @property
    def columns(self) -> frozenset[str]:
        """Branches that a partition may read: of the outputs and of the predicate."""
        predicate = (name for item in self.conjuncts for name in item.columns)
        return self.output_columns.union(predicate)

    # --- dask-awkward's projection protocol ---------------------------------

    @cached_property
    def awkward_form(self) -> Form:
        """The form of the result."""
        return ak.forms.from_json(self.form)

    def mock(self) -> ak.Array:
        """Return the result as a typetracer."""
        return ak.typetracer.typetracer_from_form(self.awkward_form)

    def mock_empty(self, backend: str = "cpu") -> ak.Array:
        """Return the result of a partition without rows."""
        return ak.to_backend(ak.Array(self.awkward_form.length_zero_array()), backend)

    def prepare_for_projection(self) -> tuple[ak.Array, Any, dict[str, str]]:
        """Return a typetracer, its report and which output each form key belongs to."""
        owner: dict[str, str] = {}
        form = _keyed(self.awkward_form, self.names, self.shape, owner)
        meta, report = ak.typetracer.typetracer_with_report(form, highlevel=True)
        return meta, report, owner

    def necessary_columns(self, report: Any, state: dict[str, str]) -> frozenset[str]:
        """Return the outputs whose data or shape were touched."""
        touched = {*report.data_touched, *report.shape_touched}
        return frozenset(state[key] for key in touched if key in state)

    def project(self, report: Any, state: dict[str, str]) -> PlanReader:
        """Return the reader of the outputs that the graph touches."""
        return self.project_manually(self.necessary_columns(report, state))

    def project_manually(self, columns: frozenset[str]) -> PlanReader:
        """Return the reader of these outputs; the row count needs none, that of items needs one."""
        if self.shape.bare:
            return self
        wanted = tuple(name for name in self.names if name in columns)
        if self.shape.items and not wanted:
            wanted = self.names[:1]
        return replace(self, wanted=wanted)

    def __dask_tokenize__(self) -> tuple[str, ...]:
        return ("sxdask", self.token, *(self.wanted or ("*",)))

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    def _with_placeholders(self, array: ak.Array) -> ak.Array:
        from dask_awkward.lib.unproject_layout import unproject_layout

        parts = parts_of(self.awkward_form, self.names, self.shape)
        missing = [name for name in self.names if name not in self._active_names]
        rest = ak.forms.RecordForm([parts[name] for name in missing], missing)
        none = ak.contents.RecordArray([], [], length=len(array))
        holes = unproject_layout(rest, none)
        here = set(self._active_names)
        known = dict(zip(self._active_names, array.layout.contents, strict=True))
        contents = [known[name] if name in here else holes.content(name) for name in self.names]
        fields = None if self.shape.is_tuple else list(self.names)
        return ak.Array(ak.contents.RecordArray(contents, fields, length=len(array)))


def restrict(program: Program, results: tuple[int, ...]) -> Program:
    """Return `program` with only the steps and columns that `results` need."""
    num_columns = len(program.columns)
    needed = set(results)
    for number in range(len(program.steps) - 1, -1, -1):
        if num_columns + number in needed:
            needed.update(program.steps[number].args)
    kept = sorted(needed)
    place = {slot: new for new, slot in enumerate(kept)}
    columns = tuple(program.columns[slot] for slot in kept if slot < num_columns)
    steps = tuple(
        replace(step, args=tuple(place[arg] for arg in step.args))
        for slot in kept
        if slot >= num_columns
        for step in (program.steps[slot - num_columns],)
    )
    return Program(columns, steps, tuple(place[slot] for slot in results))


def _keyed(form: Form, names: tuple[str, ...], shape: Shape, owner: dict[str, str]) -> Form:
    """Give every node below an output its own key and note the output's name."""

    def visit(node: dict[str, Any], name: str) -> None:
        key = f"sxdask-{len(owner)}"
        owner[key] = name
        node["form_key"] = key
        content = node.get("content")
        if isinstance(content, dict):
            visit(content, name)
        for part in node.get("contents") or ():
            visit(part, name)

    tree = form.to_dict(verbose=True)
    if shape.bare:
        visit(tree, names[0])
        return ak.forms.from_dict(tree)
    for name, part in zip(names, tree["contents"], strict=True):
        visit(part, name)
    tree["form_key"] = "sxdask-record"
    return ak.forms.from_dict(tree)
