"""Columns that share awkward's buffers are what awkward itself would make of them."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pyarrow as pa
import pytest

from sxdask.deliver.columns import shared_column
from sxdask.deliver.encode import to_table
from sxdask.deliver.formats import arrow
from sxdask.deliver.formats.arrow import ArrowFormat

JAGGED = ak.Array([[1.5, 2.5], [], [3.5], [4.5, 5.5, 6.5]])
ROWS = {
    "whole": slice(None),
    "front": slice(0, 2),
    "middle": slice(1, 3),
    "none": slice(2, 2),
    "every other": slice(None, None, 2),
    "backwards": slice(None, None, -1),
}
COLUMNS = {
    "numbers": ak.Array(np.arange(4, dtype=np.uint16)),
    "jagged": JAGGED,
    "jagged integers": ak.values_astype(JAGGED, np.int8),
    "lists of 32 bits": ak.Array(
        ak.contents.ListOffsetArray(
            ak.index.Index32(np.array([0, 2, 2, 3, 6], np.int32)), JAGGED.layout.content
        )
    ),
    "with a beginning that is not used": ak.Array(
        ak.contents.ListOffsetArray(
            ak.index.Index64(np.array([3, 3, 4, 6, 6])), JAGGED.layout.content
        )
    ),
    "booleans": ak.Array([True, False, True, True]),
    "lists of booleans": ak.Array([[True, False], [], [True], [False, True, True]]),
    "eight of a kind": ak.Array([[True] * 9, [False] * 8, [], [True]]),
    "text": ak.Array(["a", "bc", "", "d"]),
    "deep": ak.Array([[[1], []], [], [[2, 3]], [[]]]),
    "fixed size": ak.Array(np.arange(12.0).reshape(4, 3)),
    "with gaps": ak.Array([1, None, 3, None]),
}


@pytest.mark.parametrize("rows", ROWS)
@pytest.mark.parametrize("name", COLUMNS)
def test_a_table_is_that_of_awkward(name, rows):
    array = ak.zip({"c": COLUMNS[name], "n": np.arange(4)}, depth_limit=1)[ROWS[rows]]
    found = to_table(array)
    found.validate(full=True)
    back = ak.from_arrow(found)["c"]
    assert (back.to_list(), back.type) == (array["c"].to_list(), array["c"].type)
    if name != "lists of 32 bits":  # which awkward leaves as they are
        plain = ak.to_arrow_table(array, extensionarray=False)
        assert found.schema.types == plain.schema.types
        assert found.equals(plain)


def test_numbers_are_not_copied():
    values = np.arange(10.0)
    column = shared_column(ak.Array(values).layout, pa.float64(), 10)
    assert column is not None
    assert column.buffers()[1].address == values.ctypes.data


@pytest.mark.parametrize("name", ["booleans", "lists of booleans", "eight of a kind"])
def test_booleans_become_bits_without_awkward(name):
    wanted = ak.to_arrow(COLUMNS[name], extensionarray=False)
    column = shared_column(COLUMNS[name].layout, wanted.type, 4)
    assert column is not None
    assert column.equals(wanted)


@pytest.mark.parametrize("name", ["text", "deep", "fixed size", "with gaps"])
def test_other_columns_are_left_to_awkward(name):
    layout = COLUMNS[name].layout
    kind = ak.to_arrow(COLUMNS[name], extensionarray=False).type
    assert shared_column(layout, kind, 4) is None


@pytest.mark.parametrize("compression", ["lz4", "zstd", "none"])
def test_a_file_that_outgrows_its_space_is_the_same_file(compression, monkeypatch):
    table = pa.table({f"c{n}": np.random.default_rng(n).random(5_000) for n in range(5)})
    file = ArrowFormat(compression).encode(table)
    monkeypatch.setattr(arrow, "_ROOM", 3_000 - table.nbytes)
    assert ArrowFormat(compression).encode(table).equals(file)
    assert ArrowFormat().decode(file).equals(table)
