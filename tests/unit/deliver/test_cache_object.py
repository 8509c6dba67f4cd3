"""A stored result comes back as it was, or not at all."""

from __future__ import annotations

import awkward as ak
import hist
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.deliver.cache_object import (
    DamagedObjectError,
    array_from_object,
    array_to_object,
    pack,
    state_from_object,
    state_to_object,
    unpack,
)

NUMBERS = ak.Array([{"x": 1.5, "n": 2, "pt": [1.0, 2.0]}, {"x": np.nan, "n": -1, "pt": []}])
ARRAYS = {
    "records of numbers and lists": NUMBERS,
    "an entry range of a larger array": ak.Array([{"x": [n] * n} for n in range(50)])[7:9],
    "no rows": NUMBERS[:0],
    "a bare array": ak.Array([1, 2, 3]),
    "lists of lists": ak.Array([[[1], []], [], [[2, 3]]]),
    "tuples": ak.Array([(1, 2.5), (2, 3.5)]),
    "missing values": ak.Array([{"x": None}, {"x": 1}]),
    "text": ak.Array([{"name": "é"}, {"name": ""}]),
    "fixed sizes": ak.to_regular(ak.Array([[1, 2], [3, 4]]), axis=1),
    "several types": ak.Array([1, "two", [3]]),
    "named records": ak.with_name(NUMBERS, "Jet"),
    "records without fields": ak.Array(ak.contents.RecordArray([], [], length=3)),
    "complex numbers": ak.Array(np.array([1 + 2j, 3j])),
    "booleans": ak.Array([True, False]),
    "numbers of one byte": ak.Array(np.arange(5, dtype=np.uint8)),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_an_array_comes_back_with_its_type(array):
    back = array_from_object(array_to_object(array, rows=len(array)))
    assert back.type == array.type
    assert ak.array_equal(back, array, equal_nan=True)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "x": st.floats(width=32),
                "many": st.lists(st.lists(st.integers(-(2**62), 2**62), max_size=3), max_size=3),
                "maybe": st.none() | st.integers(0, 9),
                "text": st.text(max_size=3),
            }
        ),
        min_size=1,
        max_size=8,
    )
)
def test_any_rows_come_back(rows):
    array = ak.Array(rows)
    back = array_from_object(array_to_object(array))
    assert back.layout.form == ak.to_packed(array).layout.form
    assert repr(back.to_list()) == repr(array.to_list())


def test_other_readers_of_arrow_can_open_an_object():
    with pa.ipc.open_stream(pa.py_buffer(array_to_object(NUMBERS))) as reader:
        assert reader.read_all().num_rows == 1


@given(st.data())
def test_a_changed_byte_or_a_missing_end_is_noticed(data):
    whole = array_to_object(NUMBERS, rows=2)
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    for damaged in (bytes(changed), whole[:place]):
        with pytest.raises(DamagedObjectError):
            array_from_object(damaged)


def test_a_whole_object_of_another_kind_is_no_array():
    with pytest.raises(DamagedObjectError):
        array_from_object(pack({"rows": 1}, {}))
    with pytest.raises(DamagedObjectError, match="another kind"):
        state_from_object(array_to_object(NUMBERS), None)


@pytest.mark.parametrize("state", [np.int64(3), np.float32(2.5), np.bool_(True), None])
def test_a_total_comes_back(state):
    data = state_to_object(state, rows=7)
    assert data is not None
    head, back = state_from_object(data, None)
    assert head["rows"] == 7
    assert back == state
    assert type(back) is type(state)


def histograms() -> dict[str, hist.Hist]:
    return {
        "plain": hist.Hist(hist.axis.Regular(10, 0, 1, name="x")),
        "weighted": hist.Hist(
            hist.axis.StrCategory(["a", "b"], name="c"),
            hist.axis.Variable([0, 1, 5], name="y"),
            storage=hist.storage.Weight(),
        ),
    }


def test_histograms_come_back_with_overflow_and_variances():
    state = histograms()
    state["plain"].fill([0.1, 0.5, 7.0])
    state["weighted"].fill(["a", "b", "z"], [0.5, 9.0, 1.0], weight=[2.0, 3.0, 4.0])
    data = state_to_object(state)
    assert data is not None
    empty = histograms()
    _, back = state_from_object(data, empty)
    assert back == state
    assert empty["plain"].sum(flow=True) == 0  # it is the same for the next object


def test_histograms_with_other_bins_are_another_state():
    data = state_to_object({"plain": hist.Hist(hist.axis.Regular(11, 0, 1))})
    assert data is not None
    with pytest.raises(DamagedObjectError, match="other bins"):
        state_from_object(data, {"plain": hist.Hist(hist.axis.Regular(10, 0, 1))})


def test_a_state_of_an_unknown_kind_is_not_stored():
    assert state_to_object([1, 2]) is None
    assert state_to_object(np.datetime64("2026-01-01")) is None


def test_buffers_come_back_as_bytes():
    head, buffers = unpack(pack({"a": 1}, {"x": np.array([1, 2], ">i4"), "y": np.empty(0)}))
    assert head == {"a": 1}
    assert buffers["x"].view(">i4").tolist() == [1, 2]
    assert len(buffers["y"]) == 0
