"""Building the index of a file: the only place where a whole TTree is deserialised."""

from __future__ import annotations

import errno
import time
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from sxdask.core.errors import SxdaskError, TruncatedFileError, UnknownTreeError
from sxdask.datasets.storage import connection_options
from sxdask.rootio.identity import file_stamp, normalise_url, read_header
from sxdask.rootio.index import (
    BranchTable,
    FileIndex,
    compression_name,
    index_from_bytes,
    index_to_bytes,
)
from sxdask.rootio.layout import make_layout
from sxdask.rootio.model import FileStamp, Int64Array
from sxdask.rootio.source import as_ours, local_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sxdask.rootio.branches import BranchRow

# What a request without a tree means where a file has several, best first.
USUAL_TREES = ("Events", "CollectionTree", "Delphes", "events", "PreSelection", "tree")

_TTREES = {"TTree", "TNtuple", "TNtupleD", "TChain"}
_RNTUPLES = {"ROOT::RNTuple", "ROOT::Experimental::RNTuple"}

# A cluster edge holds for columns with this share of the bytes.
_SHARED_EDGE = 0.9


def build_index(
    url: str, tree: str | None = None, *, storage_options: Mapping[str, Any] | None = None
) -> FileIndex:
    """Open a file with uproot and return the index of one of its trees.

    Parameters
    ----------
    url
        A local path or a URL that fsspec knows.
    tree
        Name of a TTree or RNTuple, with its folder. By default the only one,
        or the first of `USUAL_TREES` that the file has.
    storage_options
        For fsspec, where the file is remote.

    Raises
    ------
    FileMissingError, AccessDeniedError, NotRootFileError, ReadFailedError
        If the file cannot be opened.
    TruncatedFileError
        If it ends early, or the tree's description cannot be decoded.
    UnknownTreeError
        If it has no such tree, or there is none to choose; the hint lists them.
    """
    from sxdask.rootio.branches import field_facts  # loads uproot
    from sxdask.rootio.likeness import tree_rows

    begin = time.perf_counter()
    url = normalise_url(url)
    stamp = file_stamp(url, storage_options)
    with open_root(url, storage_options, size=stamp.size) as file:
        name = choose_tree(file, tree, url)
        with _decoding(url, name):
            kind = _tree_kind(file, name)
            if kind == "rntuple":
                rows, clusters, total = field_facts(file[name])
                layout = make_layout([row.facts for row in rows])
            else:
                rows, layout, num_entries = tree_rows(file, name)
                clusters = cluster_edges(rows, num_entries)
                total = sum(row.compressed for row in rows)
        index = FileIndex(
            url=url,
            tree=name,
            kind=kind,
            stamp=FileStamp(stamp.size, stamp.mark, file.file.uuid.hex),
            num_entries=int(clusters[-1]),
            cluster_starts=clusters,
            layout=layout,
            table=_table(rows),
            compression=compression_name(int(file.file.fCompress)),
            total_bytes=total,
            build_seconds=time.perf_counter() - begin,
            index_bytes=0,
        )
    return index_from_bytes(index_to_bytes(index))


@contextmanager
def open_root(
    url: str, storage_options: Mapping[str, Any] | None = None, *, size: int | None = None
) -> Iterator[Any]:
    """Open a file with uproot, for a short look at its directory.

    Raises
    ------
    FileMissingError, AccessDeniedError, NotRootFileError, TruncatedFileError, ReadFailedError
        If it cannot be opened.
    """
    import uproot

    size = file_stamp(url, storage_options).size if size is None else size
    header = read_header(url, storage_options)
    if header.end > size:
        raise TruncatedFileError(
            f"file {url!r} has {size} bytes, its header says {header.end}",
            hint="copy the file again, or leave it out",
            file=url,
        )
    path = local_path(url)
    options = {} if path is not None else connection_options(url, storage_options)
    with _decoding(url, None):
        file = uproot.open({path or url: None}, object_cache=None, array_cache=None, **options)
    with file:
        yield file


@contextmanager
def _decoding(url: str, tree: str | None) -> Iterator[None]:
    """Turn what uproot raises at malformed bytes into one error of ours."""
    try:
        yield
    except SxdaskError:
        raise
    except Exception as error:
        # A damaged number can send uproot to a place before the file: no fault of the storage.
        if isinstance(error, OSError) and error.errno != errno.EINVAL:
            raise as_ours(error, url) from error
        what = f"tree {tree!r} of {url!r}" if tree else f"the directory of {url!r}"
        text = str(getattr(error, "message", error)).strip()  # DeserializationError has it there
        reason = next(iter(text.splitlines()), "") or type(error).__name__
        context = {"file": url, "tree": tree} if tree else {"file": url}
        raise TruncatedFileError(
            f"{what} cannot be decoded: {reason}",
            hint="copy the file again, or leave it out",
            **context,
        ) from error


def tree_classes(file: Any, url: str, *, cycle: bool = False) -> dict[str, str]:
    """Return name -> class of every TTree and RNTuple in an opened file, folders included.

    With `cycle` names are those of the keys (``Events;1``), older cycles included.
    """
    with _decoding(url, None):
        found = file.classnames(cycle=cycle)
    return {name: kind for name, kind in found.items() if kind in _TTREES | _RNTUPLES}


def _tree_kind(file: Any, name: str) -> Literal["ttree", "rntuple"]:
    return "rntuple" if file.key(name).classname() in _RNTUPLES else "ttree"


def ttree_or_rntuple(
    file: Any, name: str, url: str
) -> tuple[Literal["ttree", "rntuple"], int, int]:
    """Return the kind of a tree in an opened file, its entries and its branches of all levels."""
    with _decoding(url, name):
        kind, tree = _tree_kind(file, name), file[name]
        branches = len(tree.field_records) if kind == "rntuple" else len(tree.keys(recursive=True))
        return kind, int(tree.num_entries), branches


def choose_tree(file: Any, tree: str | None, url: str) -> str:
    """Return the name of the tree that `tree` means in an opened file.

    Raises
    ------
    UnknownTreeError
        If there is no such tree, or none is named and there are several.
    """
    if tree is None:
        trees = tree_classes(file, url)
        if len(trees) == 1:
            return next(iter(trees))
        for name in USUAL_TREES:
            if name in trees:
                return name
        raise UnknownTreeError.among(None, trees, file=url)
    name = tree.strip("/")
    with _decoding(url, None):
        kind = file.key(name).classname() if name and name in file else None
    if kind is None:
        raise UnknownTreeError.among(tree, tree_classes(file, url), file=url)
    if kind not in _TTREES | _RNTUPLES:
        listed = ", ".join(map(repr, tree_classes(file, url))) or "none"
        raise UnknownTreeError(
            f"{tree!r} in file {url!r} is a {kind}, not a tree",
            hint=f"its trees: {listed}",
            file=url,
            tree=tree,
        )
    return name


def cluster_edges(rows: Sequence[BranchRow], num_entries: int) -> Int64Array:
    """Return the entries at which nearly all columns begin a basket, and the end.

    ROOT flushes all branches together, so the edges that (by bytes) nearly
    all columns share are its clusters. Where columns are flushed one by one
    and share none, it is the partition that most bytes follow.
    """
    if num_entries == 0:
        return np.zeros(1, np.int64)
    weights: Counter[bytes] = Counter()
    for row in rows:
        if row.seek.size:
            weights[row.entry_starts.tobytes()] += row.compressed + 1
    votes: Counter[int] = Counter()
    for edges, weight in weights.items():
        for edge in set(np.frombuffer(edges, np.int64).tolist()):
            votes[edge] += weight
    enough = _SHARED_EDGE * weights.total()
    inside = [edge for edge, vote in votes.items() if vote >= enough and 0 < edge < num_entries]
    if not inside and weights:
        edges, _ = max(weights.items(), key=lambda item: (item[1], item[0]))
        inside = np.frombuffer(edges, np.int64)[1:-1].tolist()
    return np.unique(np.array([0, *inside, num_entries], np.int64))


def _table(rows: Sequence[BranchRow]) -> BranchTable:
    numbers: dict[bytes, int] = {}
    starts_of = [numbers.setdefault(row.entry_starts.tobytes(), len(numbers)) for row in rows]
    lists = [np.frombuffer(data, np.int64) for data in numbers]
    none = [np.zeros(0, np.int64)]
    return BranchTable(
        seek=np.concatenate([row.seek for row in rows] or none),
        num_bytes=np.concatenate([row.num_bytes for row in rows] or none),
        baskets_at=_offsets([row.seek.size for row in rows]),
        starts=np.concatenate(lists or none),
        starts_at=_offsets([item.size for item in lists]),
        starts_of=np.array(starts_of, np.int64),
        compressed=np.array([row.compressed for row in rows], np.int64),
        uncompressed=np.array([row.uncompressed for row in rows], np.int64),
        compression=np.array([row.compression for row in rows], np.int64),
    )


def _offsets(sizes: Sequence[int]) -> Int64Array:
    return np.concatenate(([0], np.cumsum(np.array(sizes, np.int64)))).astype(np.int64)
