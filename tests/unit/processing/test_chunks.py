"""How files are cut: as coffea cuts, or along clusters by size."""

from __future__ import annotations

from dataclasses import replace

import pytest
from coffea.processor.executor import FileMeta

from sxdask.core.settings import load_settings
from sxdask.processing.chunks import even_chunks, first_chunk, sized_chunks
from sxdask.rootio.build import build_index


@pytest.mark.parametrize("entries", [0, 1, 99, 100, 149, 150, 151, 1000, 1049])
@pytest.mark.parametrize("size", [1, 7, 100, 5000])
def test_even_chunks_are_those_of_the_runner(entries, size):
    meta = FileMeta("d", "f", "t", {"numentries": entries, "uuid": b""})
    wanted = [(item.entrystart, item.entrystop) for item in meta.chunks(size, False)]
    assert even_chunks(entries, size) == wanted


def test_sized_chunks_go_on_where_the_first_one_ended(nanoaod):
    index = build_index(str(nanoaod))
    settings = replace(load_settings(), partition_bytes=1)
    assert first_chunk(index) == (0, 20_000)
    rest = sized_chunks(index, ["MET_pt"], settings, start=3_000)
    assert rest == [(3_000, 4_000), *((n, n + 4_000) for n in range(4_000, 20_000, 4_000))]
    assert sized_chunks(index, ["MET_pt"], settings, start=20_000) == []
    assert sized_chunks(index, ["MET_pt"], load_settings()) == [(0, 20_000)]


def test_a_file_without_entries_is_one_empty_chunk(make_nanoaod):
    index = build_index(str(make_nanoaod(0)))
    assert first_chunk(index) == (0, 0)
    assert sized_chunks(index, [], load_settings()) == [(0, 0)]
