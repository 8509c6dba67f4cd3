"""The files of a dataset with their indexes, opened as late as possible."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from sxdask.core.errors import (
    AccessDeniedError,
    FileMissingError,
    MissingExtraError,
    ReadFailedError,
    SxdaskError,
    UnknownTreeError,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.core.settings import Settings
    from sxdask.core.types import Schema
    from sxdask.datasets.model import FileEntry, FileSet
    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.model import FileStamp, Piece
    from sxdask.rootio.store import IndexStore

_LOOKS_AT_ONCE = 16

# What another replica of the file may not have.
_OF_ONE_PLACE = (AccessDeniedError, FileMissingError, MissingExtraError, ReadFailedError)

T = TypeVar("T")

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
    def urls(self) -> tuple[str, ...]:
        """Where each file is read, in order, as its index names it.

        That is the first of its replicas that could be opened, once it was indexed.
        """
        return tuple(self._places(entry)[0] for entry in self.files.files)

    @property
    def first_url(self) -> str:
        """The file that stands for all others before they are indexed."""
        return self._places(self.files.files[0])[0]

    @property
    def trees(self) -> tuple[str, ...]:
        """Names of the trees of the first file, without cycle."""
        from sxdask.rootio.listing import tree_names

        if "trees" not in self._memo:
            self._memo["trees"] = self._anywhere(
                self.files.files[0], lambda url: tuple(tree_names(url, self.storage_options))
            )
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

        return self._anywhere(
            self.files.files[0], lambda url: tree_cycles(url, tree, self.storage_options)
        )

    def index_of_first(self, tree: str | None) -> FileIndex:
        """Return the index of `tree` in the first file, building it if needed."""
        key = ("first", tree)
        if key not in self._memo:
            entry = self.files.files[0]
            (index,) = self._ensure([(entry, tree or entry.tree)])
            if isinstance(index, SxdaskError):
                raise index
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
        wanted = [(item, item.tree if primary and item.tree else tree) for item in self.files.files]
        kept: list[FileIndex] = []
        for item in self._ensure(wanted, progress=progress):
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

        from sxdask.rootio.identity import file_identity

        options = self.storage_options

        def look(entry: FileEntry) -> tuple[str, FileStamp]:
            return self._anywhere(entry, lambda url: (url, file_identity(url, options)))

        with ThreadPoolExecutor(_LOOKS_AT_ONCE) as pool:
            return list(pool.map(look, self.files.files))

    def find_indexes(self, progress: IndexProgress | None = None) -> list[FileIndex | SxdaskError]:
        """Return the index of the tree that each file names, or the error where there is none."""
        return self._ensure([(entry, entry.tree) for entry in self.files.files], progress)

    def settle(self, tree: str) -> None:
        """Find out which replica of each file can be read, where files have several."""
        if any(entry.replicas for entry in self.files.files):
            self._ensure([(entry, entry.tree or tree) for entry in self.files.files])

    def _places(self, entry: FileEntry) -> list[str]:
        """Return the addresses of a file, the one that answered last time first."""
        from sxdask.rootio.identity import normalise_url

        places = list(dict.fromkeys(map(normalise_url, entry.places)))
        chosen = self._memo.get("chosen", {}).get(entry.url)
        return places if chosen is None else [chosen, *(url for url in places if url != chosen)]

    def _choose(self, entry: FileEntry, url: str) -> None:
        if entry.replicas:
            self._memo.setdefault("chosen", {})[entry.url] = url

    def _anywhere(self, entry: FileEntry, look: Callable[[str], T]) -> T:
        """Return what `look` gives for the first address of a file that can be read."""
        failed: list[SxdaskError] = []
        for url in self._places(entry):
            try:
                found = look(url)
            except _OF_ONE_PLACE as error:
                failed.append(error)
            else:
                self._choose(entry, url)
                return found
        raise failed[0]

    def _ensure(
        self,
        wanted: Sequence[tuple[FileEntry, str | None]],
        progress: IndexProgress | None = None,
    ) -> list[FileIndex | SxdaskError]:
        """Return the index of each file and tree, of the first replica that can be read.

        Where none can, it is the error of the first.
        """
        found: dict[int, FileIndex | SxdaskError] = {}
        places = [self._places(entry) for entry, _ in wanted]
        pending, turn = list(range(len(wanted))), 0
        while pending:
            results = self.store.ensure(
                [(places[number][turn], wanted[number][1]) for number in pending],
                workers=self.settings.index_workers,
                progress=progress if turn == 0 else None,
                storage_options=self.storage_options,
                on_error="collect",
            )
            turn += 1
            again = []
            for number, result in zip(pending, results, strict=True):
                if isinstance(result, _OF_ONE_PLACE):
                    found.setdefault(number, result)
                    if turn < len(places[number]):
                        again.append(number)
                    continue
                found[number] = result
                self._choose(wanted[number][0], places[number][turn - 1])
            pending = again
        return [found[number] for number in range(len(wanted))]

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
