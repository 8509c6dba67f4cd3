"""Files of one dataset are alike: their trees are understood once, then only their numbers read.

To understand a tree takes uproot about half a millisecond for each branch, to
take the numbers out of its record a hundredth of one (`sxdask.rootio.record`).
What uproot made of a tree is kept for those with the same description, if the
record gave the same numbers for it as uproot did. Where that is not so, or a
record is not a usual one, uproot reads every tree anew.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from dataclasses import dataclass, fields
from hashlib import blake2b
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from uproot.source.cursor import Cursor

from sxdask.rootio.branches import BranchRow, branch_facts, make_row
from sxdask.rootio.layout import make_layout
from sxdask.rootio.model import ColumnBaskets
from sxdask.rootio.record import NotUsualError, TreeRecord, read_record

if TYPE_CHECKING:
    from sxdask.rootio.layout import BranchFacts, TreeLayout

_MOST: Final = 32  # descriptions that a process keeps
_KEY_LENGTH = struct.Struct(">14xh")


@dataclass(frozen=True, slots=True)
class _Description:
    """What uproot made of a tree: its columns, and which of all branches each of them is."""

    tree: str
    facts: tuple[BranchFacts, ...]
    places: tuple[int, ...]
    layout: TreeLayout


_known: OrderedDict[bytes, _Description] = OrderedDict()
_lock = threading.Lock()


def tree_rows(file: Any, name: str) -> tuple[list[BranchRow], TreeLayout, int]:
    """Return the columns of a TTree in an opened file, their layout, and its entries."""
    key, record = b"", None
    if _expects(name):
        chunk, cursor = file.key(name).get_uncompressed_chunk_cursor()
        key, record = _record(file, chunk, -cursor.origin)
    description = _find(key)
    if description is not None and record is not None:
        rows = _rows(description, record, int(file.file.fCompress))
        return rows, description.layout, record.num_entries
    tree = file[name]
    rows = branch_facts(tree)
    layout = make_layout([row.facts for row in rows])
    if record is None:
        key, record = _record(file, tree.chunk, file.key(name).fKeylen)
    if record is not None:
        facts, places = (tuple(row.facts for row in rows), tuple(row.place for row in rows))
        description = _Description(name, facts, places, layout)
        if _same(rows, _rows(description, record, int(file.file.fCompress))):
            _keep(key, description)
    return rows, layout, int(tree.num_entries)


def _expects(name: str) -> bool:
    """Say whether trees of that name are known, so that a look at the record may suffice."""
    with _lock:
        return any(item.tree == name for item in _known.values())


def _find(key: bytes) -> _Description | None:
    with _lock:
        found = _known.get(key)
        if found is not None:
            _known.move_to_end(key)
        return found


def _keep(key: bytes, description: _Description) -> None:
    with _lock:
        _known[key] = description
        while len(_known) > _MOST:
            _known.popitem(last=False)


def _record(file: Any, chunk: Any, key_length: int) -> tuple[bytes, TreeRecord | None]:
    """Return the record of a tree, and under what its description is known."""
    try:
        record = read_record(chunk.raw_data.tobytes(), key_length)
    except NotUsualError:
        return b"", None
    return record.digest + (_streamers(file.file) if record.has_classes else b""), record


def _streamers(file: Any) -> bytes:
    """Return a digest of the streamers of a file, which say what its classes are."""
    start, stop = file.fSeekInfo, file.fSeekInfo + file.fNbytesInfo
    data = file.chunk(start, stop).get(start, stop, Cursor(start), {}).tobytes()
    (length,) = _KEY_LENGTH.unpack_from(data)  # the key has a date
    return blake2b(data[length:], digest_size=32).digest()


def _rows(description: _Description, record: TreeRecord, compression: int) -> list[BranchRow]:
    """Return the columns of a tree of that description; `compression` is the file's own code."""
    spans = list(pairwise(record.baskets_at.tolist()))
    rows = []
    for facts, place in zip(description.facts, description.places, strict=True):
        begin, end = spans[place]
        baskets = ColumnBaskets(
            record.seek[begin:end],
            record.num_bytes[begin:end],
            record.starts[record.starts_of[place]],
        )
        sizes = record.compressed[place], record.uncompressed[place]
        codes = record.compression[place], compression
        rows.append(make_row(facts, place, baskets, sizes, codes))
    return rows


def _same(rows: list[BranchRow], others: list[BranchRow]) -> bool:
    names = [item.name for item in fields(BranchRow)]
    return all(
        np.array_equal(getattr(row, name), getattr(other, name))
        for row, other in zip(rows, others, strict=True)
        for name in names
        if name != "facts"
    )
