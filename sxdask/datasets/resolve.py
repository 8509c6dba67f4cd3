"""What the user named -> the files of one dataset, each once, in a fixed order."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from sxdask.core.errors import (
    EmptyDatasetError,
    RequestError,
    RequestTooLargeError,
    SxdaskError,
    UnknownLanguageError,
    close_names,
)
from sxdask.datasets.address import Address, parse_address
from sxdask.datasets.catalog import NAME, Catalog, catalog_path
from sxdask.datasets.finder import FINDERS, make_finder
from sxdask.datasets.model import DuplicateFileWarning, FileEntry, FileSet
from sxdask.datasets.remote import STORAGE_SCHEMES, is_storage
from sxdask.datasets.storage import refuse_secrets

if TYPE_CHECKING:
    from sxdask.core.settings import Settings

PathText: TypeAlias = "str | os.PathLike[str]"
Source: TypeAlias = "PathText | Iterable[PathText] | Mapping[PathText, str | None]"


def resolve(
    source: Source,
    tree: str | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    settings: Settings,
) -> FileSet:
    """Find the files of a dataset.

    Parameters
    ----------
    source
        A path, pattern, directory, URL or name in a catalogue
        (``rucio://scope:name``, or a bare name of the user's own catalog), each
        with ``:tree`` and ``?files=N`` as the user likes; a list of these; or a
        mapping from them to the tree.
    tree
        The tree of the files that do not name one themselves.
    storage_options
        For fsspec. Secrets are refused: they would travel in the graph.
    settings
        For the largest number of files (`max_files`).

    Returns
    -------
    FileSet
        Files of a list keep its order; files that were listed are sorted.

    Raises
    ------
    DatasetError
        If a file is missing, nothing matches, or a directory may not be read.
    RequestError
        If the name cannot be understood or leads to too many files.
    MissingExtraError
        If a package for the storage is not installed.

    Warns
    -----
    DuplicateFileWarning
        If a file is named more than once; it is read once.
    """
    if tree is not None and not isinstance(tree, str):
        raise RequestError(f"the tree is {tree!r}", hint="give the name of a tree")
    options = dict(storage_options or {})
    refuse_secrets(options)
    entries: dict[FileEntry, None] = {}
    repeated: list[str] = []
    items = _items(source)
    for text, own_tree in items:
        for entry in _found(text, own_tree, tree, options, settings):
            if entry in entries:
                repeated.append(entry.url)
                continue
            entries[entry] = None
            if len(entries) > settings.max_files:
                raise RequestTooLargeError(
                    f"the dataset has more than {settings.max_files} files",
                    hint="add ?files=N, or raise SXDASK_MAX_FILES",
                )
    if not entries:
        raise EmptyDatasetError("the list of files is empty", hint="name at least one file")
    if repeated:
        more = f" and {len(repeated) - 1} more" if len(repeated) > 1 else ""
        warnings.warn(
            f"{repeated[0]!r}{more} named more than once, read once",
            DuplicateFileWarning,
            stacklevel=2,
        )
    return FileSet(_name(items), tuple(entries), tuple(sorted(options.items())), tree)


def _items(source: Source) -> list[tuple[str, str | None]]:
    """Return pairs of dataset name and the tree that the mapping gives it."""
    if isinstance(source, str | os.PathLike):
        return [(_text(source), None)]
    if isinstance(source, Mapping):
        for name, tree in source.items():
            if tree is not None and not isinstance(tree, str):
                raise RequestError(
                    f"the tree of {name!r} is {tree!r}", hint="map each path to a tree's name"
                )
        return [(_text(name), tree) for name, tree in source.items()]
    if isinstance(source, Iterable):
        return [(_text(item), None) for item in source]
    raise RequestError(
        f"{type(source).__name__} does not name a dataset",
        hint="give a str, a path, a list of them, or a mapping from path to tree",
    )


def _text(item: object) -> str:
    if not isinstance(item, str | os.PathLike):
        raise RequestError(f"{item!r} is no path", hint="give a str or a path for each file")
    text = os.fspath(item)
    if not isinstance(text, str):
        raise RequestError(f"{text!r} is no text", hint="decode paths with os.fsdecode")
    return text


def _found(
    text: str,
    own_tree: str | None,
    default: str | None,
    options: Mapping[str, Any],
    settings: Settings,
) -> Iterable[FileEntry]:
    address = _of_catalog(parse_address(text), settings)
    named = [name for name in (address.tree, own_tree, default) if name is not None]
    if address.tree is not None and len(set(named)) > 1:
        raise RequestError(
            f"{text!r} names the tree {address.tree!r}, and another place {named[1]!r}",
            hint="name the tree once",
        )
    finder = make_finder(finder_name(address), settings)
    chosen = named[0] if named else None
    found = finder.find(address, storage_options=options)
    for entry in found[: address.most]:
        if chosen is None or entry.tree == chosen:
            yield entry
            continue
        if entry.tree is not None and address.scheme != "catalog":  # which has but a default
            raise RequestError(
                f"{text!r} names the tree {entry.tree!r}, and another place {chosen!r}",
                hint="name the tree once",
            )
        yield replace(entry, tree=chosen)


def _of_catalog(address: Address, settings: Settings) -> Address:
    """Return the address of the catalog's dataset if a bare name is one's."""
    name = address.path.partition(":")[0]
    if address.scheme or not NAME.fullmatch(name):
        return address
    is_here = os.path.lexists(address.path)
    try:
        if name not in Catalog(catalog_path(settings)).datasets():
            return address
    except SxdaskError:
        if is_here:
            return address
        raise
    if is_here:
        raise RequestError(
            f"{name!r} is a file or directory here and a dataset of the catalog",
            hint=f"write './{name}' or 'catalog://{name}'",
        )
    return replace(address, scheme="catalog", path=f"catalog://{address.path}")


def finder_name(address: Address) -> str:
    """Return the finder of a scheme; storage schemes cannot be taken over by a plug-in.

    Raises
    ------
    UnknownLanguageError
        If there is none.
    """
    scheme = address.scheme
    if not scheme or scheme in STORAGE_SCHEMES:
        return "files"
    catalogues = [name for name in FINDERS.names() if name != "files"]
    if scheme in catalogues:
        return scheme
    if is_storage(scheme):
        return "files"
    known = (*STORAGE_SCHEMES, *catalogues)
    raise UnknownLanguageError(
        f"there is no dataset scheme {scheme!r}",
        hint=close_names(scheme, known) or f"there is {', '.join(known)}",
    )


def _name(items: list[tuple[str, str | None]]) -> str:
    first = items[0][0]
    return first if len(items) == 1 else f"{first} and {len(items) - 1} more"
