"""A file of baskets of one ROOT file, as they lie there or packed for faster reading.

The layout is: magic, length of the head, head (JSON), table of the baskets,
checksum of all that, the baskets. Each basket has a checksum of its own. A
pack is written once and never changed.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import xxhash

from sxdask.rootio.compression import lz4_blocks

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sxdask.rootio.basket import Header

SUFFIX: Final = ".pack"
MAGIC: Final = b"SXPACK\x00\x01"  # the last byte is the version of this layout
_FIXED: Final = 16  # magic, length of the head, number of baskets
_CHECKSUM: Final = 8
_MOST_HEAD: Final = 16 * 1024 * 1024
_SLOW: Final = (b"XZ", b"ZL")
"""Codecs that decompress many times slower than LZ4."""

ROW: Final = np.dtype(
    [
        ("seek", "<i8"),  # where the basket lies in the ROOT file
        ("num_bytes", "<i8"),  # its size there
        ("column", "<i4"),  # position in the head's list of columns
        ("offset", "<i8"),  # where it lies in the pack
        ("stored", "<i8"),  # its size in the pack
        ("checksum", "<u8"),  # XXH3 of its bytes in the pack
    ]
)


class DamagedPackError(ValueError):
    """A file is not a pack, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Packed:
    """One basket to be kept: its column, its place and size in the ROOT file, its bytes."""

    column: str
    seek: int
    num_bytes: int
    data: memoryview | bytes


@dataclass(frozen=True, slots=True)
class Directory:
    """What a pack has: `rows` by seek are size in the file, offset, size here, checksum."""

    url: str
    tree: str
    rows: Mapping[int, tuple[int, int, int, int]]
    bytes_by_column: Mapping[str, int]


def pack_bytes(baskets: Sequence[Packed], *, url: str, tree: str) -> list[bytes | memoryview]:
    """Return the parts of a pack, to be written one after the other."""
    columns = list(dict.fromkeys(basket.column for basket in baskets))
    place = {name: number for number, name in enumerate(columns)}
    head = json.dumps({"url": url, "tree": tree, "columns": columns}).encode()
    rows = []
    offset = _FIXED + len(head) + len(baskets) * ROW.itemsize + _CHECKSUM
    for basket in baskets:
        size = len(basket.data)
        digest = xxhash.xxh3_64_intdigest(basket.data)
        column = place[basket.column]
        rows.append((basket.seek, basket.num_bytes, column, offset, size, digest))
        offset += size
    table = np.array(rows, ROW)
    counts = len(head).to_bytes(4, "little") + len(baskets).to_bytes(4, "little")
    start = b"".join((MAGIC, counts, head, table.tobytes()))
    return [start, xxhash.xxh3_64_digest(start), *(basket.data for basket in baskets)]


def read_directory(path: Path | str) -> Directory:
    """Return what the pack at `path` has.

    Raises
    ------
    DamagedPackError
        If it is not a whole pack.
    OSError
        If it cannot be read.
    """
    with open(path, "rb") as file:  # noqa: PTH123 - one call for each of many files
        fixed = file.read(_FIXED)
        if len(fixed) < _FIXED or fixed[:8] != MAGIC:
            raise DamagedPackError("it does not begin like one")
        head_bytes = int.from_bytes(fixed[8:12], "little")
        count = int.from_bytes(fixed[12:16], "little")
        if head_bytes > _MOST_HEAD or count * ROW.itemsize > _MOST_HEAD:
            raise DamagedPackError("its head is too long")
        rest = file.read(head_bytes + count * ROW.itemsize + _CHECKSUM)
    body = rest[:-_CHECKSUM]
    if xxhash.xxh3_64_digest(fixed + body) != rest[-_CHECKSUM:]:
        raise DamagedPackError("the checksum of its head is another")
    head: dict[str, Any] = json.loads(body[:head_bytes])
    table = np.frombuffer(body, ROW, offset=head_bytes)
    names = ("num_bytes", "offset", "stored", "checksum")
    facts = zip(*(table[name].tolist() for name in names), strict=True)
    sizes = np.bincount(table["column"], table["num_bytes"], minlength=len(head["columns"]))
    return Directory(
        head["url"],
        head["tree"],
        dict(zip(table["seek"].tolist(), facts, strict=True)),
        dict(zip(head["columns"], sizes.astype(np.int64).tolist(), strict=True)),
    )


def read_baskets(path: Path | str, places: Sequence[tuple[int, int, int]]) -> list[memoryview]:
    """Return baskets of a pack by their offset, size and checksum.

    Raises
    ------
    DamagedPackError
        If one of them is not what it was.
    OSError
        If the pack cannot be read.
    """
    found = []
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        for offset, size, checksum in places:
            data = os.pread(descriptor, size, offset)
            if len(data) != size or xxhash.xxh3_64_intdigest(data) != checksum:
                raise DamagedPackError("the checksum of a basket is another")
            found.append(memoryview(data))
        with suppress(OSError):
            os.utime(descriptor)  # what was used last is removed last
    finally:
        os.close(descriptor)
    return found


def repacked(data: memoryview, header: Header, content: Any) -> memoryview | bytes:
    """Return a basket that gives the same object as `data`, sooner if its codec is a slow one.

    The object is compressed with LZ4 in ROOT's own blocks, or not at all
    where that does not shrink it, and the length in the key is changed.
    """
    if bytes(data[header.key_length : header.key_length + 2]) not in _SLOW:
        return data
    if len(data) - header.key_length == header.object_length:
        return data
    blocks = lz4_blocks(content)
    body = blocks if len(blocks) < header.object_length else content.tobytes()
    total = header.key_length + len(body)
    return b"".join((total.to_bytes(4, "big"), data[4 : header.key_length], body))
