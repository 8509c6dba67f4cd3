"""Named datasets of a user or a group, in one JSON file that people may edit.

A dataset is a list of names, each as `sxdask.datasets.resolve` takes it: files,
patterns, names in other catalogues. So a dataset grows with its pattern, unless
the files were written down one by one.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import (
    AccessDeniedError,
    FileMissingError,
    RequestError,
    close_names,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sxdask.core.settings import Settings

NAME: Final = re.compile(r"(?!.*\.root$)[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What a dataset may be called: never like a file, a folder or a URL."""

_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class NamedDataset:
    """A dataset of the catalog. `added` is a time in UTC, ISO 8601."""

    name: str
    files: tuple[str, ...]
    tree: str | None = None
    note: str = ""
    added: str = ""


def catalog_path(settings: Settings) -> Path:
    """Return the file of the catalog; it need not exist."""
    if settings.catalog != "auto":
        return Path(settings.catalog).expanduser()
    base = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(base) / "sxdask" / "catalog.json"


class Catalog:
    """Named datasets in the file `path`, which several people may share."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def datasets(self) -> dict[str, NamedDataset]:
        """Return all datasets by name, sorted.

        Raises
        ------
        RequestError
            If the file is no catalog.
        AccessDeniedError
            If it may not be read.
        """
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as error:
            raise AccessDeniedError(
                f"the catalog {str(self.path)!r} cannot be read: {error}", file=str(self.path)
            ) from error
        try:
            return _read(json.loads(text))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RequestError(
                f"{str(self.path)!r} is no catalog: {type(error).__name__}: {error}",
                hint="correct the file, or name another one in SXDASK_CATALOG",
            ) from error

    def get(self, name: str) -> NamedDataset:
        """Return one dataset.

        Raises
        ------
        FileMissingError
            If there is none of that name; the hint has close ones.
        """
        known = self.datasets()
        if name not in known:
            raise FileMissingError(
                f"the catalog has no dataset {name!r}",
                hint=close_names(name, known) or "'sxdask catalog list' shows those that there are",
                file=f"catalog://{name}",
            )
        return known[name]

    def add(self, dataset: NamedDataset, *, replace: bool = False) -> None:
        """Add a dataset.

        Raises
        ------
        RequestError
            If its name is none, or taken and not to be replaced.
        """
        if not NAME.fullmatch(dataset.name):
            raise RequestError(
                f"{dataset.name!r} cannot be the name of a dataset",
                hint="use letters, digits, '.', '_' and '-', and no file's ending",
            )

        def change(known: dict[str, NamedDataset]) -> None:
            if dataset.name in known and not replace:
                raise RequestError(
                    f"the catalog has a dataset {dataset.name!r} already",
                    hint="add --replace, or choose another name",
                )
            known[dataset.name] = dataset

        self._change(change)

    def remove(self, name: str) -> NamedDataset:
        """Remove a dataset and return it; its files stay.

        Raises
        ------
        FileMissingError
            If there is none of that name.
        """
        gone = self.get(name)
        self._change(lambda known: known.pop(name, None))
        return gone

    def _change(self, change: Callable[[dict[str, NamedDataset]], object]) -> None:
        """Read, change and write the file, one process at a time."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                known = self.datasets()
                change(known)
                facts = {name: _facts(known[name]) for name in sorted(known)}
                text = json.dumps({"version": _VERSION, "datasets": facts}, indent=1)
                _replace(self.path, text + "\n")
        except OSError as error:
            raise AccessDeniedError(
                f"the catalog {str(self.path)!r} cannot be written: {error.strerror}",
                hint="name another file in SXDASK_CATALOG",
                file=str(self.path),
            ) from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        import fcntl

        with self.path.with_name(f".{self.path.name}.lock").open("a") as lock:
            with suppress(OSError):  # a file system without locks
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _read(found: dict[str, Any]) -> dict[str, NamedDataset]:
    if found["version"] != _VERSION:
        raise ValueError(f"version {found['version']!r} is not {_VERSION}")
    return {name: _dataset(name, facts) for name, facts in sorted(found["datasets"].items())}


def _dataset(name: str, facts: dict[str, Any]) -> NamedDataset:
    files = facts["files"]
    if not isinstance(files, list) or not all(isinstance(item, str) for item in files):
        raise TypeError(f"the files of {name!r} are no list of names")
    tree = facts.get("tree")
    if tree is not None and not isinstance(tree, str):
        raise TypeError(f"the tree of {name!r} is no name")
    texts = {key: str(facts.get(key, "")) for key in ("note", "added")}
    return NamedDataset(name, tuple(files), tree, **texts)


def _facts(dataset: NamedDataset) -> dict[str, Any]:
    facts = asdict(dataset)
    about = {key: facts[key] for key in ("tree", "note", "added") if facts[key]}
    return {"files": list(dataset.files), **about}


def _replace(path: Path, text: str) -> None:
    """Write `path` so that every reader sees the old file or the new one whole."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    new = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        # A group's catalog stays readable for the group.
        new.chmod(path.stat().st_mode & 0o777 if path.exists() else 0o644)
        new.replace(path)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise
