"""A fileset bound to what is known of it: indexes, conditions, coffea's forms."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from sxdask.core.errors import RequestError, SxdaskError
from sxdask.core.results import Shape
from sxdask.core.types import ENTRY_COLUMNS
from sxdask.datasets.model import FileEntry, FileSet
from sxdask.pipeline.compile import optimized_plan, read_options, tree_of
from sxdask.pipeline.source import Source
from sxdask.plan.expr import Column, columns_of
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, Scan
from sxdask.plan.selection import parse_predicate
from sxdask.processing.columns import Computed
from sxdask.processing.forms import base_form
from sxdask.processing.task import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sxdask.core.settings import Settings
    from sxdask.graph.lower import Lowered
    from sxdask.plan.expr import Expr
    from sxdask.processing.fileset import FilesetDataset, FilesetFile
    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.layout import TreeLayout
    from sxdask.rootio.model import Conjunct, Piece

Request: TypeAlias = "Callable[[Source], Output]"
"""What is asked of a dataset before the processor sees it."""

CanSkip: TypeAlias = "Callable[[SxdaskError], bool]"


@dataclass(frozen=True, slots=True)
class BoundFile:
    """A file with its index; `kind` says which of the run's kinds it is, `first` what precedes."""

    file: FilesetFile
    index: FileIndex
    kind: int
    first_entry: int = 0


@dataclass(frozen=True, slots=True)
class BoundDataset:
    """A dataset, ready to be cut into chunks; `needed` are the columns of its conditions."""

    name: str
    source: Source
    files: tuple[BoundFile, ...]
    conjuncts: tuple[Conjunct, ...] = ()
    needed: tuple[str, ...] = ()
    zoned: tuple[str, ...] = ()

    def piece(self, number: int, file: BoundFile, span: tuple[int, int], names: Any) -> Piece:
        """Return an entry range of a file with the index rows of `names` and the conditions."""
        wanted = tuple(dict.fromkeys((*self.needed, *names)))
        piece = file.index.piece(number, *span, wanted, self.zoned)
        return replace(piece, first_entry=file.first_entry)

    def can_match(self, file: BoundFile, span: tuple[int, int]) -> bool:
        """Say whether some event of the range may pass the conditions."""
        if not self.conjuncts:
            return True
        from sxdask.graph.pruning import can_match

        counted = any(name in ENTRY_COLUMNS for item in self.conjuncts for name in item.columns)
        return can_match(self.piece(0, file, span, ()), self.conjuncts, counted=counted)


@dataclass(frozen=True, slots=True)
class Bound:
    """All datasets, what their files have in common by kind, and the files left out."""

    datasets: tuple[BoundDataset, ...]
    kinds: tuple[Kind, ...]
    skipped: tuple[tuple[str, str, SxdaskError], ...] = ()


def bind(
    datasets: Sequence[FilesetDataset],
    schema: Any,
    settings: Settings,
    *,
    request: Request | None = None,
    source: Source | None = None,
    can_skip: CanSkip = lambda _: False,
) -> Bound:
    """Return the datasets with all that is needed to process them; no event is read.

    Parameters
    ----------
    datasets
        What to process.
    schema
        The schema class.
    settings
        For cache directory and sizes.
    request
        Conditions and columns; all of it if None.
    source
        Where the one dataset comes from, if it is a user's.
    can_skip
        Says whether a file that cannot be indexed is left out.

    Raises
    ------
    SxdaskError
        If a file cannot be indexed and not be left out, the request does not
        fit a dataset, or the schema cannot be made of its branches.
    """
    from sxdask.rootio.store import IndexStore

    store = source.store if source is not None else IndexStore(settings.cache_dir / "index")
    options = source.storage_options if source is not None else {}
    wanted = [(file.url, file.tree) for item in datasets for file in item.files]
    found = iter(
        store.ensure(
            wanted, workers=settings.index_workers, storage_options=options, on_error="collect"
        )
    )
    binder = _Binder(schema, settings, request, options)
    skipped: list[tuple[str, str, SxdaskError]] = []
    bound = []
    for item in datasets:
        good: list[tuple[FilesetFile, FileIndex]] = []
        for file in item.files:
            index = next(found)
            if not isinstance(index, SxdaskError):
                good.append((file, index))
            elif can_skip(index):
                skipped.append((item.name, file.name, index))
            else:
                raise index.add(dataset=item.name)
        if good:
            bound.append(binder.dataset(item, good, source))
    return Bound(tuple(bound), tuple(binder.kinds), tuple(skipped))


@dataclass(slots=True)
class _Binder:
    """Binds dataset after dataset; forms and layouts are packed once each."""

    schema: Any
    settings: Settings
    request: Request | None
    storage_options: dict[str, Any]
    kinds: list[Kind] = field(default_factory=list)
    forms: dict[str, bytes] = field(default_factory=dict)
    layouts: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def dataset(
        self,
        item: FilesetDataset,
        files: Sequence[tuple[FilesetFile, FileIndex]],
        source: Source | None,
    ) -> BoundDataset:
        if source is None:
            entries = tuple(FileEntry(file.url, index.tree) for file, index in files)
            source = Source(FileSet(item.name, entries), self.settings)
        asked = None if self.request is None else self._asked(source, [index for _, index in files])
        numbers: dict[str, int] = {}
        bound: list[BoundFile] = []
        first = 0
        for file, index in files:
            digest = index.layout.digest
            if digest not in numbers:
                numbers[digest] = len(self.kinds)
                self.kinds.append(self._kind(item, source, index, asked))
            bound.append(BoundFile(file, index, numbers[digest], first))
            first += index.num_entries
        if asked is None:
            return BoundDataset(item.name, source, tuple(bound))
        return BoundDataset(
            item.name, source, tuple(bound), asked.conjuncts, asked.needed, asked.zoned
        )

    def _kind(
        self, item: FilesetDataset, source: Source, index: FileIndex, asked: _Asked | None
    ) -> Kind:
        digest = index.layout.digest
        if digest not in self.forms:
            self.forms[digest] = base_form(index, self.schema, self.settings, self.storage_options)
            packed = zlib.compress(index.layout.to_json().encode(), 1)
            self.layouts[digest] = (digest, packed)
        return Kind(
            dataset=item.name,
            metadata=item.metadata,
            layout=self.layouts[digest],
            form=self.forms[digest],
            conjuncts=asked.conjuncts if asked else (),
            options=read_options(source),
            allowed=asked.allowed(index.layout) if asked else None,
            computed=asked.computed if asked else Computed(),
        )

    def _asked(self, source: Source, indexes: list[FileIndex]) -> _Asked:
        from sxdask.graph.lower import lower

        assert self.request is not None  # noqa: S101  narrows for the type checker
        output = self.request(source)
        plan, _ = optimized_plan(Plan((output,)), source)
        scan, outputs = _parts(plan.outputs[0].root)
        chosen = None
        made: tuple[tuple[str, Expr], ...] = ()
        if _selects(output.root):
            chosen = tuple(name for name, expr in outputs if expr == Column(name))
            made = tuple((name, expr) for name, expr in outputs if expr != Column(name))
            self._require_base(made)
        table = lower(
            replace(plan.outputs[0], root=Project(scan, made)),
            indexes,
            partition_bytes=self.settings.partition_bytes,
            options=read_options(source),
        )
        return _Asked(table, chosen, scan.predicate)

    def _require_base(self, made: Sequence[tuple[str, Expr]]) -> None:
        from coffea.nanoevents import BaseSchema

        if made and self.schema is not BaseSchema:
            name = getattr(self.schema, "__name__", self.schema)
            raise RequestError(
                f"{name} makes its collections of branches, and {made[0][0]!r} is computed",
                hint="use schema=BaseSchema, or compute it in the processor",
            )


class _Asked:
    """What a request asks of one dataset."""

    def __init__(
        self, table: Lowered, chosen: tuple[str, ...] | None, predicate: Sequence[Expr]
    ) -> None:
        reader: Any = table.reader
        program = reader.program
        self.conjuncts: tuple[Conjunct, ...] = reader.conjuncts
        columns = (name for expr in predicate for name in columns_of(expr))
        self.needed = tuple(name for name in dict.fromkeys(columns) if name not in ENTRY_COLUMNS)
        self.zoned = self.needed
        self._chosen = chosen
        self.computed = Computed()
        if reader.names:
            self.computed = _computed(reader.names, program)

    def allowed(self, layout: TreeLayout) -> frozenset[str] | None:
        """Return the columns that are left, with the counters of their lists; None is all."""
        if self._chosen is None:
            return None
        counters = (layout.counters.get(name) for name in self._chosen)
        return frozenset((*self._chosen, *(name for name in counters if name)))


def _computed(names: tuple[str, ...], program: Any) -> Computed:
    from sxdask.graph.reader import restrict

    slots = zip(names, program.results, strict=True)
    return Computed({name: restrict(program, (slot,)) for name, slot in slots})


def _parts(root: Node) -> tuple[Scan, tuple[tuple[str, Expr], ...]]:
    if isinstance(root, Project) and isinstance(root.source, Scan):
        return root.source, root.outputs
    if isinstance(root, Scan):
        return root, tuple((name, Column(name)) for name in root.columns or ())
    raise TypeError("only an optimised plan can be processed")


def _selects(root: Node) -> bool:
    while not isinstance(root, Scan):
        if isinstance(root, Project):
            return True
        root = root.source
    return False


def condition(text: str) -> Request:
    """Return the request for the events that pass a native expression."""

    def ask(source: Source) -> Output:
        tree = source.default_tree
        expr = parse_predicate(text, source.schema(tree), source.settings)
        return Output("", Filter(Scan(tree), expr))

    return ask


def planned(plan: Plan) -> Request:
    """Return the request that a plan is, for whatever tree a dataset has.

    Raises
    ------
    RequestError
        If its rows are not events, or there are several tables.
    """
    if len(plan.outputs) != 1:
        raise RequestError(
            f"the request has {len(plan.outputs)} output trees, and a processor takes one",
            hint="process them one by one",
        )
    (output,) = plan.outputs
    if output.function is not None or output.reduction is not None or output.shape != Shape():
        raise RequestError(
            "the rows of this request are not events",
            hint="give the processor a request with conditions and columns only",
        )

    def ask(source: Source) -> Output:
        tree = source.default_tree
        root = output.root if tree_of(output) == tree else _rebased(output.root, tree)
        return replace(output, root=root)

    return ask


def _rebased(root: Node, tree: str) -> Node:
    if isinstance(root, Scan):
        return replace(root, tree=tree)
    return replace(root, source=_rebased(root.source, tree))
