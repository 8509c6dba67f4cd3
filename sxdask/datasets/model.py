"""Values that say which files a dataset has; the only module here that other stages need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


class DuplicateFileWarning(UserWarning):
    """A file was named more than once in one dataset and is read once."""


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file and the tree to read from it.

    `url` is an absolute path or a URL that fsspec understands. `tree` is None
    where nothing names one: then the file must have exactly one.

    What follows are facts of a catalogue, which say nothing about which file it
    is: `replicas` are other places of the same bytes, the best first; `size` is
    in bytes, `events` a count (0: not known), `adler32` eight digits in hexadecimal.
    """

    url: str
    tree: str | None = None
    replicas: tuple[str, ...] = field(default=(), compare=False)
    size: int = field(default=0, compare=False)
    events: int = field(default=0, compare=False)
    adler32: str | None = field(default=None, compare=False)

    @property
    def places(self) -> tuple[str, ...]:
        """All addresses of the file, the best first."""
        return (self.url, *self.replicas)


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
