"""Files that hold one kind of tree, as users hold them."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sxdask.api.queries import Query
from sxdask.core.settings import Settings, load_settings
from sxdask.pipeline.source import IndexProgress, Source
from sxdask.plan.nodes import Output, Plan, Scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    import dask_awkward as dak

    from sxdask.core.types import Schema
    from sxdask.datasets.resolve import Source as Files
    from sxdask.plan.frontend import Selection


class Dataset:
    """Files that hold one kind of tree; made by `sxdask.dataset`."""

    def __init__(self, source: Source) -> None:
        self.source = source

    @property
    def name(self) -> str:
        """A name for people."""
        return self.source.files.name

    @property
    def files(self) -> tuple[str, ...]:
        """URLs or paths of the files, in reading order."""
        return tuple(item.url for item in self.source.files.files)

    @cached_property
    def tree(self) -> str:
        """The tree that selections mean when they name none."""
        return self.source.default_tree

    @property
    def trees(self) -> tuple[str, ...]:
        """Trees of the first file."""
        return self.source.trees

    @property
    def schema(self) -> Schema:
        """Columns of the tree: ordered name -> type, list depth, title."""
        return self.source.schema(self.tree)

    @property
    def num_events(self) -> int:
        """Entries of the tree over all files; indexes the files if need be."""
        return sum(item.num_entries for item in self.source.indexes(self.tree))

    def index(self, *, progress: IndexProgress | None = None, stats: bool = False) -> Dataset:
        """Build the index of every file now, with basket statistics if `stats`."""
        self.source.indexes(self.tree, progress=progress)
        if stats:
            self.source.learn_everything(self.tree)
        return self

    def where(self, predicate: str) -> Query:
        """Keep the events for which `predicate` holds; see `Query.where`."""
        return self._everything().where(predicate)

    def select(self, *names: str, **expressions: str) -> Query:
        """Choose columns by name or glob and compute others; see `Query.select`."""
        return self._everything().select(*names, **expressions)

    def fill(self, histograms: Mapping[str, Any] | None = None, **more: Any) -> Query:
        """Fill histograms from columns and expressions; see `Query.fill`."""
        return self._everything().fill(histograms, **more)

    def process(self, processor: Any, schema: Any = None, **options: Any) -> Any:
        """Run a coffea processor over all events; see `Query.process`."""
        return self._everything().process(processor, schema, **options)

    def request(self, language: str, selection: Selection) -> Query:
        """Ask in one of the request languages."""
        return Query.parse(language, selection, self.source)

    def dask(self) -> dak.Array:
        """Return all columns and events as a lazy dask-awkward array."""
        lazy: dak.Array = self._everything().dask()
        return lazy

    def _everything(self) -> Query:
        return Query(self.source, Plan((Output("", Scan(self.tree)),)))

    def __repr__(self) -> str:
        count = len(self.files)
        return f"<Dataset {self.name!r}: {count} file{'s' if count != 1 else ''}>"


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
