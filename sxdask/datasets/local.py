"""Files on this machine: single ones, directories, patterns with ``*``, ``?``, ``[]`` and ``**``.

The standard library's glob passes over directories that it may not read; a
dataset that silently lacks files is wrong, so the directories are read here.
"""

from __future__ import annotations

import os
import re
import stat
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    close_names,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT_NAME = re.compile(r".+\.root(\.\d+)?", re.IGNORECASE)
_MAGIC = re.compile(r"[*?[]")


def find_local(path: str) -> list[str]:
    """Return the absolute paths of the files that `path` means, sorted by name.

    `path` is a file, a directory (its ``*.root`` files at any depth) or a
    pattern; ``~`` is the home directory.
    """
    place = Path(path).expanduser().absolute()
    kind = _kind(place)
    if kind == "file":
        return [str(place)]
    if kind == "directory":
        found = sorted(item for item in _below(place) if ROOT_NAME.fullmatch(Path(item).name))
        if not found:
            raise EmptyDatasetError(
                f"directory {str(place)!r} has no *.root file",
                hint="name the files with a pattern if they end differently",
                file=str(place),
            )
        return found
    if _MAGIC.search(str(place)):
        return _matches(place)
    raise _missing(place)


def _matches(pattern: Path) -> list[str]:
    """Return the files that match `pattern`."""
    parts = pattern.parts
    fixed = next(index for index, part in enumerate(parts) if _MAGIC.search(part))
    root = Path(*parts[:fixed])
    if _kind(root) != "directory":
        raise _missing(pattern if _kind(root) == "file" else root)
    found = sorted(set(_expand(str(root), parts[fixed:])))
    if not found:
        raise EmptyDatasetError(
            f"no file matches {str(pattern)!r}",
            hint=_neighbours(root, parts[fixed]) or "check the pattern; ** stands for any depth",
            file=str(pattern),
        )
    return found


def _kind(place: Path) -> str:
    """Tell what is at `place`: ``file``, ``directory`` or nothing."""
    try:
        mode = place.stat().st_mode
    except PermissionError:
        raise _denied(str(place)) from None
    except (OSError, ValueError):  # nothing there, a loop of links, a null character
        return ""
    return "directory" if stat.S_ISDIR(mode) else "file"


def _expand(folder: str, parts: tuple[str, ...]) -> Iterator[str]:
    """Yield the files below `folder` whose path matches `parts`, one pattern a level."""
    first, rest = parts[0], parts[1:]
    if first != "**":
        for path in _named(folder, first):
            if not rest and Path(path).is_file():
                yield path
            elif rest and Path(path).is_dir():
                yield from _expand(path, rest)
        return
    if not rest:
        yield from _below(Path(folder))
        return
    yield from _expand(folder, rest)
    for entry in _folders(folder):
        yield from _expand(entry.path, parts)


def _named(folder: str, pattern: str) -> list[str]:
    """Return what in `folder` is called `pattern`."""
    if not _MAGIC.search(pattern):
        return [str(Path(folder, pattern))]
    # As in the shell, a pattern does not mean hidden files unless it says so.
    return [
        entry.path
        for entry in _entries(folder)
        if fnmatchcase(entry.name, pattern)
        and (not entry.name.startswith(".") or pattern.startswith("."))
    ]


def _below(folder: Path) -> Iterator[str]:
    """Yield all files at any depth below `folder`, hidden ones left out."""
    for entry in _entries(str(folder)):
        if not entry.name.startswith(".") and entry.is_file():
            yield entry.path
    for entry in _folders(str(folder)):
        yield from _below(Path(entry.path))


def _folders(folder: str) -> Iterator[os.DirEntry[str]]:
    """Yield the subdirectories; links are followed unless they lead back, without an end."""
    for entry in _entries(folder):
        if entry.name.startswith(".") or not entry.is_dir():
            continue
        if entry.is_symlink() and _leads_back(entry):
            continue
        yield entry


def _leads_back(link: os.DirEntry[str]) -> bool:
    """Tell whether the link leads to a directory on the way to it."""
    place = Path(link.path)
    target = place.resolve()
    return any(parent.resolve() == target for parent in place.parents)


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except PermissionError:
        raise _denied(folder) from None


def _denied(path: str) -> AccessDeniedError:
    return AccessDeniedError(
        f"{path!r} may not be read",
        hint="ask its owner for the right to read it, or leave it out of the pattern",
        file=path,
    )


def _missing(place: Path) -> FileMissingError:
    """Describe the first part of `place` that does not exist, with what is beside it."""
    gone = place
    while _kind(gone.parent) == "" and gone.parent != gone:
        gone = gone.parent
    problem = f"there is no file {str(place)!r}"
    for item in (gone, gone.parent):
        if _kind(item) == "file":
            hint = f"read that file itself: {str(item)!r}"
            problem += f": {str(item)!r} is no directory"
            return FileMissingError(problem, hint=hint, file=str(place))
    if gone != place:
        problem += f": no directory {str(gone)!r}"
    return FileMissingError(problem, hint=_neighbours(gone.parent, gone.name), file=str(place))


def _neighbours(folder: Path, name: str) -> str | None:
    """Return a hint with the names in `folder` that are close to `name`."""
    try:
        return close_names(name, [entry.name for entry in _entries(str(folder))])
    except (OSError, AccessDeniedError):
        return None
