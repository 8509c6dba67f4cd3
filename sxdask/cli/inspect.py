"""``sxdask inspect``: the trees of a file, and the branches of one of them."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from sxdask.cli.options import JsonOption, TreeOption, settings
from sxdask.cli.table import count, facts, table
from sxdask.core.errors import UnknownBranchError, close_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.listing import BranchInfo, TreeInfo

_WIDEST_TYPE: Final = 48
_USUAL_TREE: Final = "Events"


def inspect(
    file: Annotated[
        str, typer.Argument(metavar="FILE[:TREE]", help="A ROOT file or its URL; local or remote.")
    ],
    branches: Annotated[
        bool, typer.Option("--branches", "-b", help="Print all branch names and nothing else.")
    ] = False,
    tree: TreeOption = None,
    filter: Annotated[  # noqa: A002  the word users know
        str | None,
        typer.Option("--filter", metavar="GLOB", help="Only branches that match, like 'Muon_*'."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what is in a ROOT file: trees, branches, types, baskets and compression.

    Of several files (a pattern, a directory) the first is shown.
    """
    from sxdask.datasets.resolve import resolve

    files = resolve(file, tree, settings=settings())
    entry = files.files[0]
    options = dict(files.storage_options)
    if branches:
        _, found = _branches(entry.url, entry.tree, filter, options)
        typer.echo(json.dumps([item.name for item in found]) if as_json else _names(found))
        return
    from sxdask.rootio.listing import list_trees

    trees = list_trees(entry.url, options)
    index, found = None, []
    if entry.tree is not None or filter is not None or _obvious(trees):
        index, found = _branches(entry.url, entry.tree, filter, options)
    if as_json:
        typer.echo(json.dumps(_as_json(entry.url, trees, index, found), indent=1))
    else:
        typer.echo(_as_text(entry.url, trees, index, found))


def _obvious(trees: Sequence[TreeInfo]) -> bool:
    return len(trees) == 1 or any(item.name == _USUAL_TREE for item in trees)


def _branches(
    url: str, tree: str | None, pattern: str | None, options: dict[str, Any]
) -> tuple[FileIndex, list[BranchInfo]]:
    """Return the index of the tree and its branches, those that match `pattern`."""
    from sxdask.rootio.listing import describe_branches
    from sxdask.rootio.store import IndexStore

    store = IndexStore(settings().cache_dir / "index")
    (index,) = store.ensure([(url, tree)], storage_options=options)
    found = describe_branches(url, index.tree, index=index)
    if pattern is None:
        return index, found
    chosen = [item for item in found if fnmatchcase(item.name, pattern)]
    if not chosen:
        raise UnknownBranchError(
            f"no branch of tree {index.tree!r} matches {pattern!r}",
            hint=close_names(pattern.strip("*"), [item.name for item in found]),
            tree=index.tree,
            file=url,
        )
    return index, chosen


def _names(found: Sequence[BranchInfo]) -> str:
    return "\n".join(item.name for item in found)


def _as_text(
    url: str, trees: Sequence[TreeInfo], index: FileIndex | None, found: Sequence[BranchInfo]
) -> str:
    from sxdask.plan.explain import format_bytes

    head: list[tuple[str, object]] = [("file", url)]
    if index is not None:
        name, level = index.compression
        head += [("size", format_bytes(index.stamp.size)), ("compression", f"{name} {level}")]
    rows = [[item.name, item.kind, f"{item.num_entries:,}", item.num_branches] for item in trees]
    right = ["entries", "branches"]
    blocks = [facts(head), table(["tree", "kind", "entries", "branches"], rows, right=right)]
    if index is None:
        blocks.append("name a tree to see its branches: sxdask inspect FILE:TREE")
        return "\n\n".join(blocks)
    counts = [
        count(index.num_entries, "entry", "entries"),
        count(len(index.layout.names), "branch", "branches"),
        count(len(index.cluster_starts) - 1, "cluster"),
        f"{format_bytes(index.total_bytes)} compressed",
    ]
    blocks.append(f"{index.tree}: {', '.join(counts)}")
    blocks.append(_branch_table(found))
    return "\n\n".join(blocks)


def _branch_table(found: Sequence[BranchInfo]) -> str:
    from sxdask.plan.explain import format_bytes

    header = ["branch", "type", "C++ type", "baskets", "bytes", "ratio", "compression", "title"]
    rows = []
    for item in found:
        ratio = f"{item.uncompressed / item.compressed:.1f}" if item.compressed else "-"
        kind = f"unreadable: {item.reason}" if item.reason else str(item.type)
        rows.append(
            [
                item.name,
                _short(kind),
                _short(item.typename),
                f"{item.num_baskets:,}",
                format_bytes(item.compressed),
                ratio,
                f"{item.compression[0]} {item.compression[1]}",
                _title(item),
            ]
        )
    return table(header, rows, right=["baskets", "bytes", "ratio"])


def _title(item: BranchInfo) -> str:
    """Return the title, unless it only repeats name and type (``run/i``, ``Muon_pt[nMuon]/F``)."""
    return "" if item.title.startswith(item.name) and " " not in item.title else item.title


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST_TYPE else f"{text[: _WIDEST_TYPE - 3]}..."


def _as_json(
    url: str, trees: Sequence[TreeInfo], index: FileIndex | None, found: Sequence[BranchInfo]
) -> dict[str, Any]:
    facts_of_file: dict[str, Any] = {
        "file": url,
        "trees": [
            {
                "name": item.name,
                "kind": item.kind,
                "entries": item.num_entries,
                "branches": item.num_branches,
            }
            for item in trees
        ],
    }
    if index is None:
        return facts_of_file
    return facts_of_file | {
        "size": index.stamp.size,
        "uuid": index.stamp.uuid,
        "tree": index.tree,
        "entries": index.num_entries,
        "clusters": index.cluster_starts.tolist(),
        "branches": [
            {
                "name": item.name,
                "type": str(item.type),
                "typename": item.typename,
                "baskets": item.num_baskets,
                "compressed_bytes": item.compressed,
                "uncompressed_bytes": item.uncompressed,
                "compression": list(item.compression),
                "title": item.title,
            }
            | ({"unreadable": item.reason} if item.reason else {})
            for item in found
        ],
    }
