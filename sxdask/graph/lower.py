"""Optimised plan + file indexes -> a reader and the pieces it reads.

Nothing here opens a file: branches, encodings, clusters and basket places come
from the index, so the cost does not depend on how wide the files are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial, reduce
from typing import TYPE_CHECKING, Any, Final, cast

import awkward as ak
import numpy as np

from sxdask.core.bounds import ZoneAll, zone_columns
from sxdask.core.errors import (
    RequestError,
    SchemaMismatchError,
    SxdaskError,
    UnknownBranchError,
    UnreadableBranchError,
)
from sxdask.core.results import EVENTS
from sxdask.core.types import ENTRY_COLUMNS
from sxdask.graph.kernel import MaskProgram, Program, compile_program, run
from sxdask.graph.partition import partition_entries
from sxdask.graph.pruning import can_match
from sxdask.graph.reader import PlanReader
from sxdask.graph.shape import assemble, parts_of, widened
from sxdask.graph.split import Cuts, fitting_ranges
from sxdask.plan.bounds import is_fallible, zone_test
from sxdask.plan.expr import Binary, Column, Expr, columns_of
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.nodes import Output, Project, Scan
from sxdask.plan.text import clipped_text
from sxdask.rootio.model import ColumnLayout, Conjunct, Piece, ReadOptions

if TYPE_CHECKING:
    from sxdask.core.results import Shape
    from sxdask.core.types import Schema
    from sxdask.graph.chain import ChainReader
    from sxdask.graph.function import FunctionReader
    from sxdask.graph.outputs import OutputReader
    from sxdask.rootio.index import FileIndex

Layouts = Mapping[str, ColumnLayout]

LEAST_ENTRY_BYTES: Final = 128
"""What an event counts at least towards the size of a partition.

Offsets, masks and combinations take memory and time that the stored bytes of
a few narrow branches do not tell.
"""

_ENTRY_FORM: Final[str] = ak.forms.NumpyForm("int64").to_json()


@dataclass(frozen=True)
class Lowered:
    """One output table, ready to run: one task per piece.

    `pruned` pieces cannot hold a passing row, by the statistics in the index,
    and are not read; their index is that of the next piece. `empty_piece` reads
    nothing and stands in where a graph needs one partition. `bytes_in_files`
    counts the compressed bytes of all branches of the tree, `bytes_to_read`
    those of the pieces and columns kept.
    `position` is the place of the output in the plan, `cuts` what was too
    large for one partition.
    """

    output: Output
    reader: PlanReader | ChainReader | FunctionReader | OutputReader
    pieces: tuple[Piece, ...]
    pruned: tuple[Piece, ...]
    empty_piece: Piece
    num_files: int
    num_entries: int
    bytes_to_read: int
    bytes_in_files: int
    column_bytes: Mapping[str, int]
    position: int = 0
    cuts: Cuts = field(default_factory=Cuts)

    @property
    def output_columns(self) -> tuple[tuple[str, Expr], ...]:
        """Name and expression of each column of the result."""
        return _parts(self.output)[1]

    @property
    def exact_rows(self) -> bool:
        """Whether the rows of each partition are known before reading."""
        several = self.output.shape.items or self.output.function is not None
        return not (self.reader.conjuncts or several)


def lower(
    output: Output,
    indexes: Sequence[FileIndex],
    *,
    partition_bytes: int,
    options: ReadOptions,
    partition_memory: int = 0,
) -> Lowered:
    """Lower one optimised output over the files that `indexes` describe.

    Parameters
    ----------
    output
        Its root is a projection of a scan, as the optimiser leaves it.
    indexes
        One per file, in dataset order; files without the tree are left out
        by the caller. At least one.
    partition_bytes
        Wanted compressed bytes of the projected columns per partition.
    options
        How workers read.
    partition_memory
        Most decoded bytes of those columns; larger partitions are cut. 0 is no limit.

    Raises
    ------
    UnknownBranchError, UnreadableBranchError
        If the first file lacks a branch or cannot deliver it.
    SchemaMismatchError
        If a later file lacks a branch, or gives an output another type.
    """
    scan, outputs = _parts(output)
    program = compile_program([expr for _, expr in outputs])
    predicate_columns = [name for expr in scan.predicate for name in columns_of(expr)]
    needed = tuple(dict.fromkeys((*predicate_columns, *program.columns)))
    stored = tuple(name for name in needed if name not in ENTRY_COLUMNS)
    layouts = _Layouts(needed)
    positions = [layouts.place(file) for file in indexes]
    # Zone tests may be exact about a column's type only where all files agree on it.
    schema = indexes[0].layout.schema if layouts.agree(predicate_columns) else None
    conjuncts, possible = _conjuncts(scan.predicate, schema)
    zoned = tuple(name for name in _zone_columns(conjuncts) if name not in ENTRY_COLUMNS)
    counted = len(stored) < len(needed)
    pieces: list[Piece] = []
    pruned: list[Piece] = []
    column_bytes = np.zeros(len(stored), dtype=np.int64)
    kept_bytes = 0.0
    cuts = Cuts()
    bytes_in_files = num_entries = 0
    for file, position in zip(indexes, positions, strict=True):
        sizes = file.compressed_bytes(stored)
        column_bytes += sizes
        bytes_in_files += file.total_bytes
        per_entry = float(sizes.sum()) / max(file.num_entries, 1)
        ranges = partition_entries(
            file.cluster_starts,
            bytes_per_entry=max(per_entry, LEAST_ENTRY_BYTES),
            target_bytes=partition_bytes,
        )
        ranges, decoded, cut = fitting_ranges(file, ranges, stored, partition_memory)
        cuts += cut
        for start, stop in ranges:
            piece = file.piece(len(pieces), start, stop, stored, zoned, position)
            size, first = round(decoded * (stop - start)), num_entries if counted else 0
            piece = replace(piece, first_entry=first, decoded_bytes=size)
            if possible and can_match(piece, conjuncts, counted=counted):
                pieces.append(piece)
                kept_bytes += per_entry * (stop - start)
            else:
                pruned.append(piece)
        num_entries += file.num_entries
    names = tuple(name for name, _ in outputs)
    kinds = [indexes[positions.index(position)] for position in range(len(layouts.found))]
    _require_same_conditions(conjuncts, layouts.found, kinds)
    form = _common_form(output, names, program, layouts.found, kinds)
    reader = PlanReader(
        names=names,
        program=program,
        conjuncts=conjuncts,
        layouts=tuple(layouts.found),
        form=form,
        token=fingerprint(output),
        options=options,
        shape=output.shape,
    )
    return Lowered(
        output=output,
        reader=reader,
        pieces=tuple(pieces),
        pruned=tuple(pruned),
        empty_piece=indexes[0].piece(0, 0, 0, stored),
        num_files=len(indexes),
        num_entries=num_entries,
        bytes_to_read=round(kept_bytes),
        bytes_in_files=bytes_in_files,
        column_bytes=dict(zip(stored, column_bytes.tolist(), strict=True)),
        cuts=cuts,
    )


def _parts(output: Output) -> tuple[Scan, tuple[tuple[str, Expr], ...]]:
    match output.root:
        case Project(Scan() as scan, outputs):
            return scan, outputs
        case Scan(columns=columns) as scan if columns is not None:
            return scan, tuple((name, Column(name)) for name in columns)
        case _:
            raise TypeError("only an optimised plan can be lowered")


def _conjuncts(
    predicate: Sequence[Expr], schema: Schema | None
) -> tuple[tuple[Conjunct, ...], bool]:
    """Compile the predicate; the flag is False if a constant part can never hold.

    Conditions on the same columns become one, so that what they share (an
    invariant mass between two bounds) is computed once.
    """
    groups: dict[tuple[tuple[str, ...], bool], list[Expr]] = {}
    for expr in predicate:
        columns = columns_of(expr)
        if columns:
            groups.setdefault((tuple(sorted(columns)), is_fallible(expr)), []).append(expr)
        elif not MaskProgram(compile_program([expr]))({}).all():
            return (), False
    return tuple(
        _conjunct(group, schema, fallible=fallible) for (_, fallible), group in groups.items()
    ), True


def _conjunct(group: Sequence[Expr], schema: Schema | None, *, fallible: bool) -> Conjunct:
    expr = reduce(partial(Binary, "&"), group)
    found = (zone_test(part, schema) for part in group)
    tests = [test for test in found if test is not None]
    return Conjunct(
        columns=columns_of(expr),
        mask=MaskProgram(compile_program([expr])),
        text=clipped_text(expr),
        zone=ZoneAll(tuple(tests)) if len(tests) > 1 else next(iter(tests), None),
        fallible=fallible,
    )


def _zone_columns(conjuncts: Sequence[Conjunct]) -> tuple[str, ...]:
    names = (name for item in conjuncts if item.zone for name in sorted(zone_columns(item.zone)))
    return tuple(dict.fromkeys(names))


class _Layouts:
    """The different column layouts of a dataset's files, in order of appearance."""

    def __init__(self, needed: tuple[str, ...]) -> None:
        self.needed = needed
        self.found: list[dict[str, ColumnLayout]] = []
        self._by_digest: dict[str, int] = {}

    def place(self, file: FileIndex) -> int:
        """Return the position of the layout of `file`, adding it if it is new."""
        digest = file.layout.digest
        known = self._by_digest.get(digest)
        if known is not None:
            return known
        columns = {name: self._column(file, name) for name in self.needed}
        if columns in self.found:
            position = self.found.index(columns)
        else:
            position = len(self.found)
            self.found.append(columns)
        self._by_digest[digest] = position
        return position

    def agree(self, names: Sequence[str]) -> bool:
        """Return whether all files hold these columns with the same types."""
        return len({tuple(item[name].form for name in names) for item in self.found}) == 1

    def _column(self, file: FileIndex, name: str) -> ColumnLayout:
        if name in ENTRY_COLUMNS:
            return ColumnLayout(name, "", "entry", _ENTRY_FORM)
        layout = file.layout
        if name in layout.columns:
            return layout.columns[name]
        error: SxdaskError
        if name in layout.unreadable:
            error = UnreadableBranchError(
                f"branch {name!r} cannot become an array: {layout.unreadable[name]}"
            )
        elif self.found:
            error = SchemaMismatchError(
                f"tree {file.tree!r} of {file.url!r} has no branch {name!r}; earlier files do",
                hint="leave the file out of the dataset, or ask for branches that all files have",
            )
        else:
            error = UnknownBranchError.among(name, layout.names, tree=file.tree)
        raise error.add(file=file.url, tree=file.tree, branch=name)


def _require_same_conditions(
    conjuncts: Sequence[Conjunct], layouts: Sequence[Layouts], files: Sequence[FileIndex]
) -> None:
    """Check each condition on every kind of file; it was checked on the first alone.

    `files` holds the first file of each of `layouts`.
    """
    for conjunct in conjuncts:
        program = cast("MaskProgram", conjunct.mask).program
        first = _result_type(program, layouts[0])
        for columns, file in zip(layouts[1:], files[1:], strict=True):
            if _result_type(program, columns) != first:
                raise _misfit(f"the condition {conjunct.text}", program, layouts[0], columns, file)


def _result_type(program: Program, layouts: Layouts) -> Any:
    """Return the type of the one result of `program`, or None if it cannot be evaluated."""
    try:
        form = result_form(("",), program, _column_forms(program, layouts))
    except RequestError:
        return None
    return ak.forms.from_json(form).content("").type


def _misfit(
    what: str, program: Program, first: Layouts, other: Layouts, file: FileIndex
) -> SchemaMismatchError:
    """Return the error for an expression that a later kind of file cannot answer."""
    name = next(name for name in program.columns if other[name].form != first[name].form)
    kinds = [ak.forms.from_json(item[name].form).type for item in (first, other)]
    return SchemaMismatchError(
        f"{what} does not fit {file.url!r}: branch {name!r} is {kinds[1]} there"
        f" and {kinds[0]} in the first file",
        hint="ask for the two kinds of file as two datasets",
        file=file.url,
        tree=file.tree,
        branch=name,
    )


def _common_form(
    output: Output,
    names: tuple[str, ...],
    program: Program,
    layouts: Sequence[Layouts],
    indexes: Sequence[FileIndex],
) -> str:
    """Return the form of the rows; those that fill histograms may have any kind of numbers."""
    shape = output.shape
    fills = isinstance(output.reduction, tuple)
    first = result_form(names, program, _column_forms(program, layouts[0]), shape)
    for position, columns in enumerate(layouts[1:], start=1):
        try:
            other = result_form(names, program, _column_forms(program, columns), shape)
        except RequestError as error:
            what = "the selection"
            raise _misfit(what, program, layouts[0], columns, indexes[position]) from error
        if other == first:
            continue
        pair = [parts_of(ak.forms.from_json(form), names, shape) for form in (first, other)]
        for name in names:
            kinds = [item[name].type for item in pair]
            alike = [widened(item[name]).type for item in pair] if fills else kinds
            if alike[0] != alike[1]:
                file = indexes[position].url
                what = f"output {name!r}" if name else "the result"
                raise SchemaMismatchError(
                    f"{what} is {kinds[0]} in the first file and {kinds[1]} in {file!r}",
                    hint="ask for the two kinds of file as two datasets",
                    file=file,
                    branch=name,
                )
    return first


def _column_forms(program: Program, layouts: Layouts) -> tuple[str, ...]:
    return tuple(layouts[name].form for name in program.columns)


@lru_cache(maxsize=4096)
def result_form(
    names: tuple[str, ...],
    program: Program,
    column_forms: tuple[str, ...],
    shape: Shape = EVENTS,
) -> str:
    """Return the form (JSON) of the result that `program` gives, from no rows at all."""
    arrays: dict[str, Any] = {
        name: ak.Array(ak.forms.from_json(form).length_zero_array())
        for name, form in zip(program.columns, column_forms, strict=True)
    }
    rows = assemble(names, run(program, arrays), 0, shape)
    text: str = rows.layout.form.to_json()
    return text
