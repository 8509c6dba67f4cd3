"""The files of a dataset with their indexes, opened as late as possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from sxdask.core.errors import SxdaskError, UnknownTreeError

if TYPE_CHECKING:
    from sxdask.core.settings import Settings
    from sxdask.core.types import Schema
    from sxdask.datasets.model import FileSet
    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.model import FileStamp, Piece
    from sxdask.rootio.store import IndexStore

_LOOKS_AT_ONCE = 16

IndexProgress: TypeAlias = Callable[[int, int, float], None]


@dataclass(frozen=True)
class Source:
    """A set of files with their indexes, opened as late as possible.

    It is what frontends may know of the data (`SchemaSource`): trees and
    columns of the first file.
    """

    files: FileSet
    settings: Settings
    _memo: dict[Any, Any] = field(default_factory=dict, repr=False, compare=False)

    @property
    def store(self) -> IndexStore:
        """The index store in the settings' cache directory."""
        from sxdask.rootio.store import IndexStore

        if "store" not in self._memo:
            self._memo["store"] = IndexStore(self.settings.cache_dir / "index")
        store: IndexStore = self._memo["store"]
        return store

    @property
    def first_url(self) -> str:
        """The file that stands for all others before they are indexed."""
        return self.files.files[0].url

    @property
    def trees(self) -> tuple[str, ...]:
        """Names of the trees of the first file, without cycle."""
        from sxdask.rootio.listing import tree_names

        if "trees" not in self._memo:
            self._memo["trees"] = tuple(tree_names(self.first_url, self.storage_options))
        trees: tuple[str, ...] = self._memo["trees"]
        return trees

    @property
    def storage_options(self) -> dict[str, Any]:
        """Options for fsspec, never secrets."""
        return dict(self.files.storage_options)

    @property
    def default_tree(self) -> str:
        """The tree that the dataset names, or the one its first file leads to."""
        return self.files.files[0].tree or self.index_of_first(None).tree

    def schema(self, tree: str) -> Schema:
        """Return the columns of `tree` in the first file."""
        key = ("schema", tree)
        if key not in self._memo:
            found = self.index_of_first(tree).layout.schema
            self._memo[key] = replace(found, tree=tree)
        schema: Schema = self._memo[key]
        return schema

    def cycles(self, tree: str) -> tuple[int, ...]:
        """Return the cycles of `tree` in the first file, newest first."""
        from sxdask.rootio.listing import tree_cycles

        return tree_cycles(self.first_url, tree, self.storage_options)

    def index_of_first(self, tree: str | None) -> FileIndex:
        """Return the index of `tree` in the first file, building it if needed."""
        key = ("first", tree)
        if key not in self._memo:
            entry = self.files.files[0]
            (index,) = self.store.ensure(
                [(entry.url, tree or entry.tree)], storage_options=self.storage_options
            )
            self._memo[key] = index
        first: FileIndex = self._memo[key]
        return first

    def indexes(
        self,
        tree: str,
        *,
        allow_missing: bool = False,
        progress: IndexProgress | None = None,
    ) -> list[FileIndex]:
        """Return the index of `tree` in every file, in dataset order.

        Indexes that are missing are built in parallel. A file whose dataset
        entry names another tree of its own (``{path: tree}``) is read there.

        Raises
        ------
        UnknownTreeError
            If a file has no such tree, unless `allow_missing`.
        """
        primary = tree == self.files.files[0].tree
        wanted = [
            (item.url, item.tree if primary and item.tree else tree) for item in self.files.files
        ]
        found = self.store.ensure(
            wanted,
            workers=self.settings.index_workers,
            progress=progress,
            storage_options=self.storage_options,
            on_error="collect",
        )
        kept: list[FileIndex] = []
        for item in found:
            if not isinstance(item, SxdaskError):
                kept.append(item)
            elif not (allow_missing and isinstance(item, UnknownTreeError)):
                raise item
        return kept

    def stamps(self) -> list[tuple[str, FileStamp]]:
        """Return each file, as the index would name it, with its identity; no tree is opened.

        Raises
        ------
        DatasetError, ReadFailedError
            If a file cannot be seen.
        """
        from concurrent.futures import ThreadPoolExecutor

        from sxdask.rootio.identity import file_identity, normalise_url

        urls = [normalise_url(url) for url in self.files.urls]
        options = self.storage_options
        with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
            stamps = pool.map(lambda url: file_identity(url, options), urls)
            return list(zip(urls, stamps, strict=True))

    @property
    def generation(self) -> int:
        """Grows when files of the dataset proved to have changed: what was compiled is old."""
        number: int = self._memo.get("generation", 0)
        return number

    def renew(self, url: str, tree: str) -> None:
        """Forget what is known of a file that changed after it was indexed."""
        with suppress(OSError):
            self.store.discard(url, tree)
        kept = {"store": self.store, "generation": self.generation + 1}
        self._memo.clear()
        self._memo.update(kept)

    def learn(self, piece: Piece, learned: Mapping[str, Any]) -> None:
        """Keep the basket statistics that reading `piece` taught."""
        if learned and self.settings.learn_zones:
            self.store.learn(piece, learned)

    def learn_everything(self, tree: str, names: tuple[str, ...] | None = None) -> None:
        """Read `names` (all columns with baskets, if None) of every file for their statistics."""
        from sxdask.rootio.read import zones_of
        from sxdask.rootio.zonestore import build_stats

        for index in self.indexes(tree):
            build_stats(self.store, index, zones_of, names)
