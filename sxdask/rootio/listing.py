"""What is in a file, for people: its trees, and the branches of one of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from sxdask.rootio.build import build_index, open_root, tree_classes, ttree_or_rntuple
from sxdask.rootio.identity import normalise_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.core.types import Type
    from sxdask.rootio.index import FileIndex


@dataclass(frozen=True, slots=True)
class TreeInfo:
    """One tree of a file; `name` includes its folder and no cycle."""

    name: str
    kind: Literal["ttree", "rntuple"]
    num_entries: int
    num_branches: int


@dataclass(frozen=True, slots=True)
class BranchInfo:
    """One branch as ``sxdask inspect`` shows it.

    `type` is the logical type, `typename` the C++ one; sizes are in bytes;
    `reason` says why an unreadable branch is one.
    """

    name: str
    typename: str
    type: Type
    kind: str
    num_baskets: int
    compressed: int
    uncompressed: int
    compression: tuple[str, int]
    title: str = ""
    reason: str | None = None


def list_trees(url: str, storage_options: Mapping[str, Any] | None = None) -> list[TreeInfo]:
    """Return every TTree and RNTuple of a file, folders included, in file order.

    `num_branches` counts the branches of all levels, split objects included.
    Of several cycles of one name the newest counts.

    Raises
    ------
    FileMissingError, AccessDeniedError, NotRootFileError, TruncatedFileError, ReadFailedError
        If the file cannot be opened or decoded.
    """
    url = normalise_url(url)
    found = []
    with open_root(url, storage_options) as file:
        for name in tree_classes(file, url):
            kind, entries, branches = ttree_or_rntuple(file, name, url)
            found.append(TreeInfo(name, kind, entries, branches))
    return found


def tree_names(url: str, storage_options: Mapping[str, Any] | None = None) -> list[str]:
    """Return the names that `list_trees` would, without opening the trees.

    Raises
    ------
    FileMissingError, AccessDeniedError, NotRootFileError, TruncatedFileError, ReadFailedError
        If the file cannot be opened.
    """
    url = normalise_url(url)
    with open_root(url, storage_options) as file:
        return list(tree_classes(file, url))


def tree_cycles(
    url: str, tree: str, storage_options: Mapping[str, Any] | None = None
) -> tuple[int, ...]:
    """Return the cycles of a tree in a file, newest first; readers take the newest.

    Raises
    ------
    FileMissingError, AccessDeniedError, NotRootFileError, TruncatedFileError, ReadFailedError
        If the file cannot be opened.
    """
    url = normalise_url(url)
    with open_root(url, storage_options) as file:
        names = (name.rpartition(";") for name in tree_classes(file, url, cycle=True))
        return tuple(sorted((int(cycle) for name, _, cycle in names if name == tree), reverse=True))


def describe_branches(
    url: str,
    tree: str | None = None,
    *,
    storage_options: Mapping[str, Any] | None = None,
    index: FileIndex | None = None,
) -> list[BranchInfo]:
    """Return what there is to say of each branch, in file order.

    Parameters
    ----------
    index
        The index of the tree, where the caller has it; it is built otherwise.
    """
    index = index or build_index(url, tree, storage_options=storage_options)
    layout, schema = index.layout, index.layout.schema
    packed = index.compressed_bytes(layout.names).tolist()
    loose = index.uncompressed_bytes(layout.names).tolist()
    return [
        BranchInfo(
            name=name,
            typename=typename,
            type=schema[name].type,
            kind=layout.columns[name].kind if name in layout.columns else "unreadable",
            num_baskets=index.num_baskets(name),
            compressed=compressed,
            uncompressed=uncompressed,
            compression=index.compression_of(name),
            title=schema[name].title,
            reason=schema[name].reason,
        )
        for name, typename, compressed, uncompressed in zip(
            layout.names, layout.typenames, packed, loose, strict=True
        )
    ]
