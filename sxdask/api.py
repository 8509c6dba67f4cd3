"""What users hold: datasets, queries and the partitions that stream out of them.

Everything here is lazy: a `Dataset` opens one file when its schema is asked
for, a `Query` is a value, and only `compute`, `stream`, `deliver` and `dask`
look at all files.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import RecipeError, RequestError
from sxdask.core.settings import Settings, load_settings
from sxdask.pipeline.compile import (
    Compiled,
    compile_plan,
    explain,
    optimized_plan,
    to_dask,
    tree_of,
)
from sxdask.pipeline.run import Run
from sxdask.pipeline.source import IndexProgress, Source
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontend import FRONTENDS, Selection
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, Scan
from sxdask.plan.selection import parse_outputs, parse_predicate
from sxdask.plan.types import schema_of
from sxdask.request.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from os import PathLike

    import awkward as ak
    import dask_awkward as dak
    import pyarrow as pa

    from sxdask.core.events import Progress
    from sxdask.core.types import Schema
    from sxdask.datasets.resolve import Source as Files
    from sxdask.deliver.manifest import Manifest


@dataclass(frozen=True, slots=True)
class Partition:
    """One piece of a result, as Arrow.

    Rows are the events of entries ``[entry_start, entry_stop)`` of `file` that
    passed the selection. `output` names the output tree where a request has
    several. `index` counts the partitions of one output.
    """

    index: int
    file: str
    entry_start: int
    entry_stop: int
    table: pa.Table
    output: str = ""


class Dataset:
    """Files that hold one kind of tree; made by `sxdask.dataset`."""

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def name(self) -> str:
        """A name for people."""
        return self._source.files.name

    @property
    def files(self) -> tuple[str, ...]:
        """URLs or paths of the files, in reading order."""
        return tuple(item.url for item in self._source.files.files)

    @cached_property
    def tree(self) -> str:
        """The tree that selections mean when they name none."""
        return self._source.default_tree

    @property
    def trees(self) -> tuple[str, ...]:
        """Trees of the first file."""
        return self._source.trees

    @property
    def schema(self) -> Schema:
        """Columns of the tree: ordered name -> type, list depth, title."""
        return self._source.schema(self.tree)

    @property
    def num_events(self) -> int:
        """Entries of the tree over all files; indexes the files if need be."""
        return sum(item.num_entries for item in self._source.indexes(self.tree))

    def index(self, *, progress: IndexProgress | None = None, stats: bool = False) -> Dataset:
        """Build the index of every file now, with basket statistics if `stats`."""
        self._source.indexes(self.tree, progress=progress)
        if stats:
            self._source.learn_everything(self.tree)
        return self

    def where(self, predicate: str) -> Query:
        """Keep the events for which `predicate` holds; see `Query.where`."""
        return self._everything().where(predicate)

    def select(self, *names: str, **expressions: str) -> Query:
        """Choose columns by name or glob and compute others; see `Query.select`."""
        return self._everything().select(*names, **expressions)

    def request(self, language: str, selection: Selection) -> Query:
        """Ask in one of the request languages."""
        return request(language, selection, dataset=self)

    def dask(self) -> dak.Array:
        """Return all columns and events as a lazy dask-awkward array."""
        lazy: dak.Array = self._everything().dask()
        return lazy

    def _everything(self) -> Query:
        return Query(self._source, Plan((Output("", Scan(self.tree)),)))

    def __repr__(self) -> str:
        count = len(self.files)
        return f"<Dataset {self.name!r}: {count} file{'s' if count != 1 else ''}>"


class Query:
    """A request over a dataset: a value, nothing is read before it is asked to.

    `plan` is the logical plan; two queries that mean the same over the same
    kind of file have the same `fingerprint`.
    """

    def __init__(self, source: Source, plan: Plan, *, title: str = "") -> None:
        self._source = source
        self.plan = plan
        self.title = title
        self._last: Run | None = None

    @cached_property
    def fingerprint(self) -> str:
        """Hexadecimal name of the optimised plan, the same in every process."""
        return fingerprint(optimized_plan(self.plan, self._source)[0])

    def where(self, predicate: str) -> Query:
        """Keep the rows for which `predicate` holds.

        Parameters
        ----------
        predicate
            A native expression with one boolean per row, such as
            ``"(nMuon >= 2) & any(Muon_pt > 30, axis=1)"``.

        Raises
        ------
        SelectionSyntaxError, SelectionTypeError, UnknownBranchError
            With a caret under the mistake.
        """
        root = self._only_root()
        expr = parse_predicate(predicate, self._schema_of(root), self._limits)
        return self._with(Filter(root, expr))

    def select(self, *names: str, **expressions: str) -> Query:
        """Choose columns by name or glob (``"Muon_*"``) and compute others.

        Parameters
        ----------
        *names
            Columns to keep, in this order.
        **expressions
            New columns: name to native expression.
        """
        root = self._only_root()
        outputs = parse_outputs(names, expressions, self._schema_of(root), self._limits)
        return self._with(Project(root, outputs))

    @property
    def schema(self) -> Schema:
        """Columns of the result and their types, as far as they can be inferred."""
        return self._schema_of(self._only_root())

    def explain(self) -> str:
        """Return the plan as text: logical, rewrites, physical with numbers."""
        return explain(self._compiled)

    def _repr_html_(self) -> str:
        return explain(self._compiled, html=True)

    def __repr__(self) -> str:
        from sxdask.plan.explain import show

        return "\n".join(show(output.root) for output in self.plan.outputs)

    def dask(self) -> dak.Array | dict[str, dak.Array]:
        """Return the result as a lazy dask-awkward array, one task per partition.

        Code that goes on from it keeps the pushdown: branches that only
        outputs need which the code never touches are not read. A request with
        several output trees gives a dictionary.
        """
        return to_dask(self._compiled)

    def compute(
        self,
        client: Any = None,
        *,
        scheduler: Any = None,
        progress: Any = None,
    ) -> ak.Array | dict[str, ak.Array]:
        """Run the request and return all rows, in dataset order.

        Parameters
        ----------
        client
            A distributed Client; by default the active one, else threads here.
        scheduler
            ``"sync"``, ``"threads"``, ``"processes"`` or a dask ``get``
            function, in place of a client.
        progress
            True for a progress bar, or a function that gets every event.
        """
        run = self._run(client, scheduler, progress)
        return run.arrays()

    def stream(
        self,
        *,
        ordered: bool = False,
        client: Any = None,
        scheduler: Any = None,
        progress: Any = None,
    ) -> Iterator[Partition]:
        """Yield partitions as Arrow tables as they finish, or in order.

        A consumer that is slow holds reading back; closing the iterator
        cancels what has not begun.
        """
        run = self._run(client, scheduler, progress)
        for table, piece, value in run.tables(ordered=ordered, title=self.title):
            yield Partition(
                index=piece.index,
                file=piece.url,
                entry_start=piece.entry_start,
                entry_stop=piece.entry_stop,
                table=value,
                output=table.output.name,
            )

    def deliver(
        self,
        target: str | PathLike[str],
        format: str = "arrow",  # noqa: A002  the word users know
        *,
        client: Any = None,
        scheduler: Any = None,
        progress: Any = None,
        overwrite: bool = False,
        resume: bool = False,
    ) -> Manifest:
        """Write one object per partition to a directory or URL, all or nothing.

        The manifest is written last; before that, readers see nothing.

        Parameters
        ----------
        target
            Directory or fsspec URL.
        format
            ``"arrow"`` (IPC file) or ``"parquet"``.
        overwrite
            Replace an earlier, different delivery in the same place.
        resume
            Keep what is stored if this run is cut off, and take up what an
            earlier one left.

        Raises
        ------
        RequestError
            If `target` holds another delivery and `overwrite` is off.
        """
        from sxdask.deliver.sink import SINKS

        sink = SINKS.load("files")(
            str(target),
            format_name=format,
            overwrite=overwrite,
            storage_options=self._source.storage_options,
        )
        run = self._run(client, scheduler, progress)
        return run.deliver(sink, format_name=format, title=self.title, resume=resume)

    def over(self, dataset: Dataset) -> Query:
        """Return the same request over another dataset."""
        return Query(dataset._source, self.plan, title=self.title)  # noqa: SLF001

    @cached_property
    def _compiled(self) -> Compiled:
        return compile_plan(self.plan, self._source)

    def _run(self, client: Any, scheduler: Any, progress: Any) -> Run:
        self._last = Run(self._compiled, client=client, scheduler=scheduler, show=progress)
        return self._last

    @property
    def summary(self) -> Progress | None:
        """Partitions, rows, bytes and seconds of the last run; None before the first."""
        return None if self._last is None else self._last.progress

    @property
    def _limits(self) -> Settings:
        return self._source.settings

    def _only_root(self) -> Node:
        if len(self.plan.outputs) != 1:
            names = ", ".join(repr(item.name) for item in self.plan.outputs)
            raise RequestError(
                f"the request has {len(self.plan.outputs)} output trees ({names})",
                hint="add conditions and columns in the request itself",
            )
        return self.plan.outputs[0].root

    def _schema_of(self, root: Node) -> Schema:
        (output,) = self.plan.outputs
        tree = tree_of(output)
        return schema_of(root, self._source.schema(tree))

    def _with(self, root: Node) -> Query:
        (output,) = self.plan.outputs
        return Query(
            self._source,
            replace(self.plan, outputs=(replace(output, root=root),)),
            title=self.title,
        )


def dataset(
    source: Files,
    tree: str | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    name: str | None = None,
    settings: Settings | None = None,
) -> Dataset:
    """Name the files to read from.

    Parameters
    ----------
    source
        A path, glob, directory or URL (http, s3, root), a list of them, or a
        mapping of path to tree. ``?files=N`` takes the first N in sorted order.
    tree
        Name of the tree; by default the only one, or the usual one (``Events``).
    storage_options
        Options for fsspec. Secrets are refused: they belong to the environment.
    name
        A name for people; by default it is made from `source`.

    Raises
    ------
    FileMissingError, EmptyDatasetError, AccessDeniedError
        If there is nothing to read.
    """
    from sxdask.datasets.resolve import resolve

    values = settings or load_settings()
    files = resolve(source, tree, storage_options=storage_options, settings=values)
    if name is not None:
        files = replace(files, name=name)
    return Dataset(Source(files, values))


def request(language: str, selection: Selection, *, dataset: Dataset, title: str = "") -> Query:
    """Ask in one of the request languages (``sxdask.plan.frontend`` lists them).

    The request is checked against the first file at once: unknown branches and
    mistakes of type are errors here, not on a worker.
    """
    source = dataset._source  # noqa: SLF001
    frontend = FRONTENDS.load(language)(source.settings)
    return Query(source, frontend.parse(selection, source), title=title)


def load(
    path: str | PathLike[str],
    *,
    dataset: Dataset | None = None,
    settings: Settings | None = None,
) -> Query:
    """Read a recipe (YAML) and return its query, ready to run.

    Parameters
    ----------
    path
        The recipe file.
    dataset
        Data to run it over, in place of what the recipe names. Data that the
        recipe generates are written to the cache directory, once.

    Raises
    ------
    RecipeError
        If the file is not a recipe, or names no data and none is given.
    """
    recipe = load_recipe(path)
    values = dataset._source.settings if dataset else settings or load_settings()  # noqa: SLF001
    if recipe.partition_bytes is not None:
        values = replace(values, partition_bytes=recipe.partition_bytes)
    if dataset is not None:
        data = Dataset(replace(dataset._source, settings=values))  # noqa: SLF001
    else:
        data = _dataset_of(recipe, str(path), values)
    return request(recipe.language, recipe.request, dataset=data, title=recipe.title)


def _dataset_of(recipe: Recipe, path: str, settings: Settings) -> Dataset:
    """Return the dataset that a recipe names or generates."""
    spec = recipe.dataset
    if spec is None:
        raise RecipeError(f"{path} names no dataset", hint="add 'dataset:' to it, or pass dataset=")
    source: Any = recipe.source
    if spec.generate is not None:
        from sxdask.testing.generated import generated_files

        source = generated_files(spec.generate, settings.cache_dir)
    return _dataset(source, recipe.tree, name=spec.name, settings=settings)


# `dataset` is also the name of arguments above, as users write it.
_dataset = dataset
