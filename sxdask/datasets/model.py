"""Values that say which files a dataset has; the only module here that other stages need."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class DuplicateFileWarning(UserWarning):
    """A file was named more than once in one dataset and is read once."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file and the tree to read from it.

    `url` is an absolute path or a URL that fsspec understands. `tree` is None
    where nothing names one: then the file must have exactly one.
    """

    url: str
    tree: str | None = None


@dataclass(frozen=True, slots=True)
class FileSet:
    """The files of a dataset, in order, each once.

    `name` is for people: what the user asked for. `tree` is the tree of the
    files that name none of their own. `storage_options` go to fsspec and hold
    no secrets, because they travel in the graph.
    """

    name: str
    files: tuple[FileEntry, ...]
    storage_options: tuple[tuple[str, Any], ...] = ()
    tree: str | None = None

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of the files, in order."""
        return tuple(entry.url for entry in self.files)

    @property
    def trees(self) -> tuple[str, ...]:
        """Names of the trees that the files name, each once, in order."""
        return tuple(dict.fromkeys(entry.tree for entry in self.files if entry.tree is not None))

    def __len__(self) -> int:
        return len(self.files)
