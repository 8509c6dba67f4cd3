"""Filesets as coffea's Runner takes them, in all their forms, as plain values."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike, fspath
from pathlib import Path
from typing import Any, Final, TypeAlias

from sxdask.core.errors import EmptyDatasetError, FileMissingError, RequestError
from sxdask.rootio.identity import normalise_url

Span: TypeAlias = tuple[int, int]

RESERVED: Final = frozenset(
    {
        *("dataset", "filename", "treename", "metadata", "entrystart", "entrystop"),
        *("fileuuid", "numentries", "uuid", "clusters", "preload"),
    }
)
"""Names in `events.metadata` and in coffea's own bookkeeping that are not the user's."""

_FORMS: Final = (
    "such as {'dataset': ['a.root']} with treename='Events', "
    "or {'dataset': {'files': {'a.root': 'Events'}, 'metadata': {}}}"
)


@dataclass(frozen=True, slots=True)
class FilesetFile:
    """One file: `name` as the user wrote it, `steps` the entry ranges if they are given."""

    name: str
    url: str
    tree: str | None
    steps: tuple[Span, ...] | None = None


@dataclass(frozen=True, slots=True)
class FilesetDataset:
    """The files of one dataset and what the user says of it."""

    name: str
    files: tuple[FilesetFile, ...]
    metadata: Mapping[str, Any] = field(default_factory=dict)


def parse_fileset(fileset: Any, treename: str | None = None) -> tuple[FilesetDataset, ...]:
    """Return the datasets of `fileset`.

    Parameters
    ----------
    fileset
        ``{dataset: [files]}``; ``{dataset: {"files": [...] or {file: tree},
        "treename": ..., "metadata": {...}}}``; what coffea's ``preprocess``
        gives (``{file: {"object_path": ..., "steps": ...}}``); the path of a
        JSON file with one of these; or a list of coffea's ``WorkItem``.
    treename
        The tree of files that name none; by default the usual one of a file.

    Raises
    ------
    RequestError
        If it is none of these.
    EmptyDatasetError
        If it has no file at all.
    """
    if isinstance(fileset, str | PathLike):
        fileset = _from_json(fspath(fileset))
    if hasattr(fileset, "model_dump"):  # coffea's DataGroupSpec and what it is made of
        fileset = fileset.model_dump()
    if isinstance(fileset, Mapping):
        found = tuple(_dataset(str(name), value, treename) for name, value in fileset.items())
    elif isinstance(fileset, Iterable):
        found = _work_items(list(fileset))
    else:
        raise RequestError(f"a {type(fileset).__name__} is no fileset", hint=_FORMS)
    if not any(item.files for item in found):
        raise EmptyDatasetError("the fileset has no files", hint=_FORMS)
    return found


def user_metadata(metadata: Mapping[str, Any] | None, dataset: str) -> dict[str, Any]:
    """Return the user's metadata of a dataset, checked.

    Raises
    ------
    RequestError
        If it uses a name that says something else already.
    """
    found = dict(metadata or {})
    if taken := sorted(RESERVED.intersection(found)):
        raise RequestError(
            f"the metadata of {dataset!r} use the reserved name {taken[0]!r}",
            hint="call the entry something else",
        )
    return found


def _from_json(path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileMissingError(f"there is no fileset {path!r}", hint=_FORMS) from None
    except (OSError, ValueError) as error:
        raise RequestError(f"{path!r} is no fileset in JSON: {error}"[:380], hint=_FORMS) from None


def _dataset(name: str, value: Any, treename: str | None) -> FilesetDataset:
    metadata: Mapping[str, Any] = {}
    if isinstance(value, Mapping):
        if "files" not in value:
            raise RequestError(f"dataset {name!r} of the fileset has no 'files'", hint=_FORMS)
        metadata = user_metadata(value.get("metadata"), name)
        treename = value.get("treename") or treename
        value = value["files"]
    if isinstance(value, str | PathLike):
        value = [value]
    if isinstance(value, Mapping):
        files = [_described(str(file), says, treename) for file, says in value.items()]
    elif isinstance(value, Iterable):
        files = [_file(fspath(file), treename) for file in value]
    else:
        raise RequestError(f"dataset {name!r} of the fileset has no list of files", hint=_FORMS)
    return FilesetDataset(name, tuple(files), metadata)


def _file(name: str, tree: str | None, steps: Any = None) -> FilesetFile:
    spans = None if steps is None else tuple((int(first), int(last)) for first, last in steps)
    return FilesetFile(name, normalise_url(name), tree, spans)


def _described(name: str, says: Any, treename: str | None) -> FilesetFile:
    """Return a file of a mapping: to its tree, or to what preprocessing found."""
    if isinstance(says, Mapping):
        tree = says.get("object_path") or says.get("treename") or treename
        return _file(name, tree, says.get("steps"))
    return _file(name, says or treename)


def _work_items(items: list[Any]) -> tuple[FilesetDataset, ...]:
    """Return the datasets that a list of coffea's work items is of; one range an item."""
    found: dict[str, FilesetDataset] = {}
    for item in items:
        if not (hasattr(item, "entrystart") and hasattr(item, "dataset")):
            raise RequestError(f"{item!r} is no part of a fileset"[:200], hint=_FORMS)
        known = found.get(item.dataset) or FilesetDataset(
            item.dataset, (), user_metadata(item.usermeta, item.dataset)
        )
        file = _file(item.filename, item.treename, [(item.entrystart, item.entrystop)])
        files = known.files
        if files and (files[-1].url, files[-1].tree) == (file.url, file.tree):
            steps = (*(files[-1].steps or ()), *(file.steps or ()))
            files = (*files[:-1], replace(file, steps=steps))
        else:
            files = (*files, file)
        found[item.dataset] = replace(known, files=files)
    return tuple(found.values())
