"""Values of the reader: how a branch is encoded, where its baskets lie, what a worker gets.

`TreeLayout` is shared by all files that have the same branches with the same
encoding, whatever their baskets; `Piece` is the entry range of one file that a
task reads, with the rows of the index that it needs and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import awkward as ak

    from sxdask.core.bounds import ZoneTest
    from sxdask.core.events import ReadReport

Int64Array: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
Arrays: TypeAlias = "dict[str, ak.Array]"

ColumnKind: TypeAlias = Literal["flat", "jagged", "string", "nested", "uproot", "entry"]
"""How a column is decoded: the four fast encodings, or through uproot.

``flat`` covers numbers and fixed-size arrays (`inner_shape`), ``jagged`` lists
of either, ``nested`` lists of lists of numbers or of records of numbers;
``uproot`` is everything else, read per branch by uproot itself.
``entry`` columns (`sxdask.core.types.ENTRY_COLUMNS`) are counted, not read.
"""


@dataclass(frozen=True, slots=True)
class ColumnLayout:
    """How one branch is encoded.

    `file_dtype` is numpy's string with byte order as in the file (``">f4"``),
    `dtype` the one awkward gets (``"float32"``), `inner_shape` the fixed
    dimensions of one item, `header_bytes` the bytes before each entry's items
    (10 for ``std::vector``), `form` the awkward form of the array as JSON.
    `path` is the name uproot finds the branch by (full path inside the tree).
    The dtypes of a ``nested`` column are those of its numbers, with commas;
    `prefix` is what each of its items begins with, in hex.
    """

    name: str
    path: str
    kind: ColumnKind
    form: str
    file_dtype: str = ""
    dtype: str = ""
    inner_shape: tuple[int, ...] = ()
    header_bytes: int = 0
    prefix: str = ""

    @property
    def has_zones(self) -> bool:
        """Whether baskets have statistics: those of numbers and of lists of numbers."""
        return self.kind in {"flat", "jagged"}


@dataclass(frozen=True, slots=True)
class ColumnBaskets:
    """Where the baskets of one branch lie.

    `seek` and `num_bytes` (compressed size with the key header), shape
    ``(n_baskets,)``; `entry_starts`, shape ``(n_baskets + 1,)``, first entry
    of each basket and the end of the last one. All int64.
    """

    seek: Int64Array
    num_bytes: Int64Array
    entry_starts: Int64Array


@dataclass(frozen=True, slots=True)
class ColumnZones:
    """Statistics of the baskets of one branch, shape ``(n_baskets,)`` each.

    `known` says for which baskets there are any. `low` and `high` are the
    extremes of the values, in the branch's own kind of number (int64, uint64
    or float64, never rounded); an empty or all-NaN basket has ``low > high``.
    `count_low` and `count_high` are the extremes of the list lengths (int64);
    None for a column without lists.
    """

    known: BoolArray
    low: npt.NDArray[Any]
    high: npt.NDArray[Any]
    count_low: Int64Array | None = None
    count_high: Int64Array | None = None


@dataclass(frozen=True, slots=True)
class FileStamp:
    """What must stay the same for an index to hold: size, change mark and UUID.

    `mark` is ``mtime_ns`` for a local file, the ETag or Last-Modified of a
    remote one, empty where the server tells neither. `uuid` is in the ROOT
    file header (hex) and is checked against the bytes that are read.
    """

    size: int
    mark: str
    uuid: str


@dataclass(frozen=True, slots=True)
class Piece:
    """Entry range of one file, with the index rows that a task needs.

    `layout` is the position of the file's column layouts in the reader that
    the piece goes to. `baskets` holds, for each fast column that the request
    touches, the baskets that overlap the range; `zones` what is known of them.
    `cluster_starts` are the cluster edges inside the range, with both ends.
    `learn` is False where the statistics of all these columns are known.
    `first_entry` counts the entries of the dataset's files before this one.
    `decoded_bytes` estimates what the columns of the range take in memory, 0
    where that is not known.
    """

    index: int
    url: str
    tree: str
    kind: Literal["ttree", "rntuple"]
    stamp: FileStamp
    entry_start: int
    entry_stop: int
    cluster_starts: Int64Array
    baskets: Mapping[str, ColumnBaskets]
    zones: Mapping[str, ColumnZones] = field(default_factory=dict)
    layout: int = 0
    learn: bool = True
    first_entry: int = 0
    decoded_bytes: int = 0

    @property
    def num_entries(self) -> int:
        """Entries in the range."""
        return self.entry_stop - self.entry_start

    def __reduce__(self) -> tuple[Any, ...]:
        # A graph holds one piece for each of many thousands of files: one array
        # pickles five times as fast as those of all columns.
        arrays: list[Int64Array] = [self.cluster_starts]
        shared: dict[int, int] = {}
        rows: list[tuple[str, int, int]] = []
        for name, found in self.baskets.items():
            place = shared.setdefault(id(found.entry_starts), len(arrays))
            if place == len(arrays):
                arrays.append(found.entry_starts)
            rows.append((name, place, len(arrays)))
            arrays += (found.seek, found.num_bytes)
        stamp = (self.stamp.size, self.stamp.mark, self.stamp.uuid)
        place_of = (self.index, self.url, self.tree, self.kind, stamp)
        span = (self.entry_start, self.entry_stop)
        sizes = tuple(map(len, arrays))
        packed = np.concatenate(arrays, dtype=np.int64).tobytes()
        rest = (self.zones, self.layout, self.learn, self.first_entry, self.decoded_bytes)
        return _unpacked, (place_of, span, packed, sizes, rows, rest)


def _unpacked(
    place_of: tuple[int, str, str, Any, tuple[int, str, str]],
    span: tuple[int, int],
    packed: bytes,
    sizes: tuple[int, ...],
    rows: list[tuple[str, int, int]],
    rest: tuple[Mapping[str, ColumnZones], int, bool, int, int],
) -> Piece:
    index, url, tree, kind, stamp = place_of
    zones, layout, learn, first_entry, decoded_bytes = rest
    whole = np.frombuffer(packed, np.int64)
    parts = [whole[begin:end] for begin, end in pairwise(accumulate(sizes, initial=0))]
    baskets = {
        name: ColumnBaskets(parts[at], parts[at + 1], parts[starts]) for name, starts, at in rows
    }
    return Piece(
        index,
        url,
        tree,
        kind,
        FileStamp(*stamp),
        *span,
        cluster_starts=parts[0],
        baskets=baskets,
        zones=zones,
        layout=layout,
        learn=learn,
        first_entry=first_entry,
        decoded_bytes=decoded_bytes,
    )


MaskFunction: TypeAlias = "Callable[[Mapping[str, ak.Array]], BoolArray]"


@dataclass(frozen=True, slots=True)
class Conjunct:
    """One condition on rows: the columns it reads, a zone test, a mask function.

    `mask` maps the named columns, arrays of the same n rows, to booleans of
    shape ``(n,)``. It must pickle. `fallible` conjuncts can fail on rows that
    others remove (``Muon_pt[:, 0] > 30``) and are evaluated last.
    """

    columns: tuple[str, ...]
    mask: MaskFunction
    text: str
    zone: ZoneTest | None = None
    fallible: bool = False


@dataclass(frozen=True, slots=True)
class ScanSpec:
    """What to read from every piece: rows that pass `conjuncts`, with `columns`."""

    columns: tuple[str, ...]
    conjuncts: tuple[Conjunct, ...] = ()


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """How to read; the defaults suit a local disk and a worker with a few cores.

    `gap_bytes` is the largest hole that is read through to save a request,
    `request_bytes` the largest coalesced request, `threads` the number of
    threads that decompress. `storage_options` go to fsspec (no secrets: they
    would travel in the graph; credentials come from the environment).
    `column_cache` is the folder, on the worker's disk, of baskets that were
    read before: of remote files, of all with `cache_local`; none if it is
    empty. `column_cache_bytes` is the most that it may have.
    """

    gap_bytes: int = 64 * 1024
    request_bytes: int = 16 * 1024 * 1024
    threads: int = 0
    learn_zones: bool = True
    storage_options: tuple[tuple[str, Any], ...] = ()
    column_cache: str = ""
    column_cache_bytes: int = 0
    cache_local: bool = False


@dataclass(frozen=True, slots=True)
class ScanResult:
    """Rows of one piece that passed, and what reading them taught.

    `arrays` has the columns asked for, all of length `num_rows`; `learned`
    the statistics of the baskets that were decoded whole, by column, aligned
    with `Piece.baskets`.
    """

    arrays: Arrays
    num_rows: int
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)
