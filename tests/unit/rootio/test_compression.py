"""Blocks of every codec come back; damaged ones are an error and nothing worse."""

from __future__ import annotations

import zlib

import cramjam
import numpy as np
import pytest
import uproot
from uproot.compression import compress

from sxdask.rootio import compression
from sxdask.rootio.compression import BlockError, decompress

CODECS = {
    "ZSTD": uproot.ZSTD(3),
    "LZ4": uproot.LZ4(4),
    "ZLIB": uproot.ZLIB(1),
    "LZMA": uproot.LZMA(1),
}
TEXT = (np.arange(5000, dtype=">i4") % 97).tobytes()


@pytest.fixture(params=sorted(CODECS))
def block(request: pytest.FixtureRequest) -> bytes:
    return bytes(compress(TEXT, CODECS[request.param]))


def test_a_block_of_any_codec_comes_back(block: bytes) -> None:
    assert decompress(memoryview(block), len(TEXT)).tobytes() == TEXT


def test_several_blocks_are_joined(block: bytes) -> None:
    found = decompress(memoryview(block + block), 2 * len(TEXT))
    assert found.tobytes() == TEXT + TEXT


def test_more_than_one_block_can_hold_is_split_as_root_does() -> None:
    data = np.zeros(2**24 + 1000, np.uint8).tobytes()  # one byte of size is 2**24 - 1
    found = decompress(memoryview(bytes(compress(data, uproot.ZSTD(1)))), len(data))
    assert found.tobytes() == data


def test_bytes_after_the_last_block_are_not_looked_at(block: bytes) -> None:
    assert decompress(memoryview(block + b"padding"), len(TEXT)).tobytes() == TEXT


@pytest.mark.parametrize("stand_in", ["_zlib", "_zstd_cramjam"])
def test_the_codecs_for_where_the_faster_ones_are_missing_agree(stand_in: str) -> None:
    data = zlib.compress(TEXT) if stand_in == "_zlib" else bytes(cramjam.zstd.compress(TEXT))
    found = getattr(compression, stand_in)(memoryview(data), len(TEXT))
    assert bytes(found) == TEXT


def test_every_shorter_piece_of_a_block_is_an_error(block: bytes) -> None:
    for stop in [*range(20), *range(20, len(block), 101), len(block) - 1]:
        with pytest.raises(BlockError):
            decompress(memoryview(block[:stop]), len(TEXT))


def test_a_wrong_size_is_an_error(block: bytes) -> None:
    for size in (0, 1, len(TEXT) - 1, len(TEXT) + 1, 2**31 - 1):
        with pytest.raises(BlockError):
            decompress(memoryview(block), size)


def test_a_flipped_byte_is_an_error_or_leaves_the_length(block: bytes) -> None:
    for place in range(0, len(block), max(1, len(block) // 200)):
        damaged = bytearray(block)
        damaged[place] ^= 0x55
        try:
            found = decompress(memoryview(damaged), len(TEXT))
        except BlockError:
            continue
        assert len(found) == len(TEXT)


def test_a_flipped_byte_in_lz4_data_fails_its_checksum() -> None:
    damaged = bytearray(compress(TEXT, CODECS["LZ4"]))
    damaged[40] ^= 1  # past the block header and the checksum
    with pytest.raises(BlockError, match="checksum"):
        decompress(memoryview(damaged), len(TEXT))


@pytest.mark.parametrize(("codec", "message"), [(b"CS", "version 3"), (b"??", "unknown codec")])
def test_a_codec_that_is_not_known_is_named(codec: bytes, message: str) -> None:
    block = codec + bytes(compress(TEXT, CODECS["ZLIB"]))[2:]
    with pytest.raises(BlockError, match=message):
        decompress(memoryview(block), len(TEXT))


def test_an_empty_block_does_not_go_round_for_ever() -> None:
    with pytest.raises(BlockError, match="a block is empty"):
        decompress(memoryview(b"ZL\x08\0\0\0\0\0\0" * 3), 10)
