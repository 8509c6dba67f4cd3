"""Three rows of every kind of column that a delivery may meet."""

from __future__ import annotations

import json

import awkward as ak
import numpy as np

JAGGED = ak.Array([[1.5, 2.5], [], [3.5]])
COLUMNS = {
    "int64": ak.Array(np.arange(3)),
    "uint8": ak.Array(np.arange(3, dtype=np.uint8)),
    "float16": ak.Array(np.arange(3, dtype=np.float16)),
    "bool": ak.Array([True, False, True]),
    "nan": ak.Array(np.array([np.nan, np.inf, -0.0], dtype=np.float32)),
    "date": ak.Array(np.array(["2026-01-01"] * 3, dtype="M8[ms]")),
    "fixed": ak.from_numpy(np.arange(6).reshape(3, 2), regulararray=True),
    "fixed twice": ak.from_numpy(np.zeros((3, 2, 4), np.float32), regulararray=True),
    "jagged": JAGGED,
    "jagged twice": ak.Array([[[1], []], [], [[2, 3]]]),
    "jagged fixed": ak.to_regular(ak.Array([[[1, 2]], [[3, 4], [5, 6]], [[7, 8]]]), axis=2),
    "jagged 32 bit": ak.Array(
        ak.contents.ListOffsetArray(
            ak.index.Index32(np.array([0, 1, 1, 3], np.int32)), ak.contents.NumpyArray(np.arange(3))
        )
    ),
    "text": ak.Array(["a", "", "µ⁺µ⁻"]),
    "lists of text": ak.Array([["a"], [], ["b", "c"]]),
    "bytes": ak.Array([b"a", b"", b"\xff"]),
    "record": ak.Array([{"x": 1, "y": [1.0]}, {"x": 2, "y": []}, {"x": 3, "y": [2.0]}]),
    "named record": ak.with_name(ak.zip({"pt": JAGGED, "eta": JAGGED}), "Muon"),
    "tuple": ak.Array([(1, 2.0), (3, 4.0), (5, 6.0)]),
    "pairs": ak.combinations(ak.Array([[1, 2, 3], [], [4, 5]]), 2),
    "option": ak.Array([1, None, 3]),
    "option of list": ak.Array([[1], None, []]),
    "list of option": ak.Array([[1, None], [], [3]]),
    "option of record": ak.Array([{"x": 1}, None, {"x": 3}]),
    "option of fixed": ak.mask(ak.from_numpy(np.zeros((3, 2))), [True, False, True]),
    "masked": ak.mask(JAGGED, [True, False, True]),
    "union": ak.Array([1, "two", [3]]),
    "selected": ak.Array([[9.0], [1.5], [], [2.5, 3.5]])[[False, True, True, True]],
    "indexed": ak.Array(np.arange(9))[[5, 1, 1]],
}


def assert_same(back: ak.Array, array: ak.Array) -> None:
    """Compare values and types, those of empty lists and missing values too."""
    assert str(back.type) == str(array.type)
    assert ak.array_equal(
        ak.to_packed(back), ak.to_packed(array), equal_nan=True, same_content_types=False
    )
    assert json.dumps(back.to_list(), default=repr) == json.dumps(array.to_list(), default=repr)
