"""Decompress ROOT's compression blocks.

A compressed object is a chain of blocks, each with a 9-byte header: two
letters for the codec, one byte for its method, and the compressed and
uncompressed size as 3-byte little-endian numbers (hence at most 16 MiB a
block). Source: ``core/zip/src/RZip.cxx`` of ROOT.

All codecs here release the GIL. ``zstandard`` and ``deflate`` are used where
they are installed: they are faster than their stand-ins on small blocks, and
equal on large ones.
"""

from __future__ import annotations

import lzma
import struct
import threading
import zlib
from typing import TYPE_CHECKING, Any

import cramjam
import numpy as np
import xxhash

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    ByteArray = npt.NDArray[np.uint8]

_BLOCK_HEADER = 9
_MOST_BLOCK = 15 * 1024 * 1024  # so that data that do not shrink have a size of 3 bytes, too
_LZ4_CHECKSUM = struct.Struct(">Q")  # core/lz4/src/ZipLZ4.cxx: XXH64 before the LZ4 data
_LZMA_MEMORY = 512 * 1024 * 1024  # xz -9 needs 65 MiB; more means a damaged header
_ZSTD_UNKNOWN = -1


class BlockError(ValueError):
    """A compression block is damaged or of an unknown kind."""


def _zlib(data: memoryview, size: int) -> Any:
    return zlib.decompress(data, bufsize=size)


def _lzma(data: memoryview, size: int) -> Any:
    machine = lzma.LZMADecompressor(memlimit=_LZMA_MEMORY)
    out = machine.decompress(data, max_length=size + 1)
    if not machine.eof:
        raise BlockError("the LZMA stream is not as long as its header says")
    return out


def _lz4(data: memoryview, size: int) -> Any:
    if len(data) < _LZ4_CHECKSUM.size:
        raise BlockError("the LZ4 block is shorter than its checksum")
    (expected,) = _LZ4_CHECKSUM.unpack_from(data)
    body = data[_LZ4_CHECKSUM.size :]
    if xxhash.xxh64_intdigest(body) != expected:
        raise BlockError("the checksum of the LZ4 block does not match")
    out = np.empty(size, np.uint8)
    written = cramjam.lz4.decompress_block_into(body, out.data)
    return out[:written]


def _zstd_cramjam(data: memoryview, size: int) -> Any:
    out = np.empty(size, np.uint8)
    written = cramjam.zstd.decompress_into(data, out.data)
    return out[:written]


def _zstd_codec() -> tuple[Callable[[memoryview, int], Any], type[Exception]]:
    try:
        import zstandard
    except ModuleNotFoundError:
        return _zstd_cramjam, cramjam.DecompressionError
    local = threading.local()  # a decompressor keeps its context and serves one thread

    def decompress(data: memoryview, size: int) -> Any:
        machine = getattr(local, "machine", None)
        if machine is None:
            machine = local.machine = zstandard.ZstdDecompressor()
        # The library allocates what the frame header says, so that is looked at first.
        if zstandard.frame_content_size(data) not in {size, _ZSTD_UNKNOWN}:
            raise BlockError("the ZSTD frame is not as long as its block says")
        return machine.decompress(data, max_output_size=size, allow_extra_data=False)

    return decompress, zstandard.ZstdError


def _zlib_codec() -> tuple[Callable[[memoryview, int], Any], type[Exception]]:
    try:
        import deflate
    except ModuleNotFoundError:
        return _zlib, zlib.error
    return deflate.zlib_decompress, deflate.DeflateError


_zstd, _ZstdError = _zstd_codec()
_deflate, _DeflateError = _zlib_codec()

_CODECS: dict[bytes, Callable[[memoryview, int], Any]] = {
    b"ZS": _zstd,
    b"L4": _lz4,
    b"ZL": _deflate,
    b"XZ": _lzma,
}
_FAILURES = (
    _ZstdError,
    _DeflateError,
    cramjam.DecompressionError,
    lzma.LZMAError,
    zlib.error,
    EOFError,
    ValueError,
    MemoryError,
    OverflowError,
)


def _block(data: memoryview, position: int) -> tuple[bytes, int, int]:
    """Return codec, end position and uncompressed size of the block at `position`."""
    head = bytes(data[position : position + _BLOCK_HEADER])
    if len(head) < _BLOCK_HEADER:
        raise BlockError("the data end inside a block header")
    stop = position + _BLOCK_HEADER + int.from_bytes(head[3:6], "little")
    if stop > len(data):
        raise BlockError("a block is longer than the basket")
    return head[:2], stop, int.from_bytes(head[6:9], "little")


def _expand(codec: bytes, data: memoryview, size: int) -> ByteArray:
    try:
        function = _CODECS[codec]
    except KeyError:
        if codec == b"CS":
            raise BlockError("the codec of ROOT before version 3 is not supported") from None
        raise BlockError(f"unknown codec {codec!r}") from None
    try:
        out = np.frombuffer(function(data, size), np.uint8)
    except BlockError:
        raise
    except _FAILURES as error:
        raise BlockError(f"{codec.decode()} data are damaged ({error})") from error
    if len(out) != size:
        raise BlockError(f"a block has {len(out)} bytes, its header says {size}")
    return out


def decompress(data: memoryview, size: int) -> ByteArray:
    """Return the `size` bytes that the blocks in `data` hold, shape ``(size,)``.

    Sizes are checked against each other before anything of that size is
    allocated, so a damaged header costs an error and not the memory.

    Raises
    ------
    BlockError
        If a block is damaged, of an unknown kind, or the sizes do not add up.
    """
    codec, stop, length = _block(data, 0)
    if length == size:  # one block, nearly always
        return _expand(codec, data[_BLOCK_HEADER:stop], size)
    blocks, total, start = [(codec, _BLOCK_HEADER, stop, length)], length, stop
    while total < size:
        codec, stop, length = _block(data, start)
        if length == 0:
            raise BlockError("a block is empty")
        blocks.append((codec, start + _BLOCK_HEADER, stop, length))
        total, start = total + length, stop
    if total != size:
        raise BlockError(f"the blocks hold {total} bytes, the basket has {size}")
    out = np.empty(size, np.uint8)
    filled = 0
    for codec, start, stop, length in blocks:
        out[filled : filled + length] = _expand(codec, data[start:stop], length)
        filled += length
    return out


def lz4_blocks(data: npt.NDArray[np.uint8]) -> bytes:
    """Return `data`, shape ``(n,)``, as a chain of LZ4 blocks that `decompress` reads."""
    parts = []
    for start in range(0, len(data), _MOST_BLOCK):
        some = data[start : start + _MOST_BLOCK]
        body = bytes(cramjam.lz4.compress_block(some.data, store_size=False))
        checked = _LZ4_CHECKSUM.pack(xxhash.xxh64_intdigest(body)) + body
        sizes = len(checked).to_bytes(3, "little") + len(some).to_bytes(3, "little")
        parts.append(b"L4\x01" + sizes + checked)
    return b"".join(parts)
