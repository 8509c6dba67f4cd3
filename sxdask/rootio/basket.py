"""One basket: its header, its bytes, its entry offsets.

A basket is a TKey (big-endian numbers, then class name, name and title) that
ends in the fields of TBasket, followed by the object: the values, then for
lists of variable length the offsets of the entries. Sources:
``TKey::Streamer``, ``TBasket::Streamer`` of ROOT; uproot's ``Model_TBasket``.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sxdask.rootio.compression import decompress

# fNbytes, version, fObjlen, fDatime, fKeylen, fCycle
_KEY = struct.Struct(">ihiIhh")
# version, fBufferSize, fNevBufSize, fNevBuf, fLast; then one flag byte ends the header
_BASKET = struct.Struct(">Hiiii")
_BASKET_FROM_END = _BASKET.size + 1
_OFFSET = np.dtype(">i4")


class BasketError(ValueError):
    """A basket's header or offsets contradict themselves or the index."""


class NotPlainError(Exception):
    """A basket of lists is encoded in a way that only uproot, with the whole tree, can judge.

    It has no entry offsets (then the counter branch has the lengths), or its
    entries are not whole numbers of items (``fBits`` of referenced TObjects).
    """


class Header(NamedTuple):
    """Sizes found in a basket's header, all checked against each other.

    `border` is where the values end and the entry offsets begin in the
    object; `object_length` is the uncompressed size of both.
    """

    key_length: int
    object_length: int
    border: int
    entries: int


def parse_header(data: memoryview, entries: int) -> Header:
    """Return the header of the basket in `data`, which must hold `entries` entries.

    Raises
    ------
    BasketError
        If a size in it is impossible, or is not what the index says.
    """
    if len(data) < _KEY.size:
        raise BasketError("it is shorter than a key")
    total, _, object_length, _, key_length, _ = _KEY.unpack_from(data)
    if total != len(data):
        raise BasketError(f"its key says {total} bytes, the index {len(data)}")
    if not _KEY.size + _BASKET_FROM_END <= key_length <= total:
        raise BasketError(f"its key is {key_length} bytes long")
    _, _, _, found, last = _BASKET.unpack_from(data, key_length - _BASKET_FROM_END)
    if found != entries:
        raise BasketError(f"it holds {found} entries, the index says {entries}")
    border = last - key_length
    if not 0 <= border <= object_length:
        raise BasketError(f"its values end at {border} of {object_length} bytes")
    return Header(key_length, object_length, border, entries)


def object_bytes(data: memoryview, header: Header) -> npt.NDArray[np.uint8]:
    """Return the uncompressed object of the basket, shape ``(object_length,)``.

    Raises
    ------
    BlockError
        If it cannot be decompressed.
    """
    body = data[header.key_length :]
    if len(body) == header.object_length:  # ROOT stores what does not shrink as it is
        return np.frombuffer(body, np.uint8)
    return decompress(body, header.object_length)


def stored_offsets(content: npt.NDArray[np.uint8], header: Header) -> npt.NDArray[np.int32]:
    """Return the offsets as they are stored, shape ``(entries + 1,)``, big-endian.

    They count from the start of the key, and the last one is not filled in
    (``TBuffer::WriteArray``: their number, then the offsets).

    Raises
    ------
    NotPlainError
        If the basket has none.
    BasketError
        If their number or the first one is wrong.
    """
    tail = content[header.border :]
    if len(tail) == 0 and header.entries:
        raise NotPlainError
    if len(tail) != (header.entries + 2) * _OFFSET.itemsize:
        raise BasketError(f"{len(tail)} bytes of offsets for {header.entries} entries")
    offsets = tail.view(_OFFSET)[1:]
    if header.entries and offsets[0] != header.key_length:
        raise BasketError("its entry offsets do not begin where its values do")
    return offsets


def entry_offsets(content: npt.NDArray[np.uint8], header: Header) -> npt.NDArray[np.int32]:
    """Return where each entry begins in the values, in bytes, shape ``(entries + 1,)``.

    They are inside the values; whether they rise is left to the caller, who
    takes their differences anyway.

    Raises
    ------
    NotPlainError
        If the basket has none.
    BasketError
        If their number is wrong, or they leave the values.
    """
    offsets = stored_offsets(content, header).astype(np.int32)
    offsets -= header.key_length
    offsets[-1] = header.border
    if offsets.min() < 0 or offsets.max() > header.border:
        raise BasketError("its entry offsets leave the values")
    return offsets
