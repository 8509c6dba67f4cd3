"""Operations on plain buffers give what awkward gives, or leave it to awkward."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.graph.combine import argcombinations
from sxdask.graph.concat import concatenate
from sxdask.graph.pick import pick
from sxdask.graph.plain import elementwise
from sxdask.graph.product import cartesian, outer

if TYPE_CHECKING:
    from collections.abc import Callable

DTYPES = ("float32", "float64", "int8", "int32", "int64", "uint8", "uint64", "bool")
OPERATORS: tuple[Callable[..., Any], ...] = (
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.lt,
    operator.eq,
    operator.and_,
    np.arctan2,
    np.maximum,
    np.logical_or,
    np.hypot,
)


@st.composite
def columns(draw: st.DrawFn) -> tuple[list[ak.Array], ak.Array, list[int]]:
    """Return lists of one structure, some cut out of a larger array, and numbers per event."""
    counts = draw(st.lists(st.integers(0, 4), min_size=1, max_size=6))
    before, after = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    random = np.random.default_rng(draw(st.integers(0, 1000)))

    def lists(dtype: str) -> ak.Array:
        padded = [2] * before + counts + [1] * after
        values = random.integers(0, 2 if dtype == "bool" else 60, sum(padded)).astype(dtype)
        whole = ak.unflatten(values, padded)
        return whole[before : before + len(counts)]

    kinds = draw(st.lists(st.sampled_from(DTYPES), min_size=2, max_size=2))
    numbers = random.integers(1, 50, len(counts)).astype(draw(st.sampled_from(DTYPES)))
    return [lists(kind) for kind in kinds], ak.Array(numbers), counts


def attempt(function: Callable[..., Any], *args: Any) -> Any:
    """Return the result, or the kind of error."""
    try:
        with np.errstate(all="ignore"):
            return function(*args)
    except (TypeError, ValueError) as error:
        return type(error)


def same(mine: Any, theirs: ak.Array) -> bool:
    assert str(mine.type) == str(theirs.type)
    return bool(ak.almost_equal(mine, theirs, rtol=0, atol=0)) or ak.array_equal(
        mine, theirs, equal_nan=True
    )


@given(columns(), st.sampled_from(OPERATORS), st.sampled_from([2, 2.5, True]), st.data())
def test_elementwise_results_are_awkwards(
    found: tuple[list[ak.Array], ak.Array, list[int]],
    function: Callable[..., Any],
    scalar: float,
    data: st.DataObject,
) -> None:
    (left, right), numbers, _ = found
    choices = [left, right, numbers, scalar]
    pair = [data.draw(st.sampled_from(range(4))), data.draw(st.sampled_from(range(4)))]
    if pair == [3, 3]:
        return
    args = [choices[place] for place in pair]
    expected = attempt(function, *args)
    mine = attempt(elementwise, function, args)
    if isinstance(expected, type):
        assert mine is expected
    else:
        assert mine is not None
        assert same(mine, expected)


def test_what_is_not_plain_is_left_to_awkward() -> None:
    lists = ak.Array([[1.0, 2.0], [], [3.0]])
    for other in (
        ak.Array([[1.0], [], [3.0]]),  # other lengths
        ak.Array([1.0, None, 2.0]),
        ak.Array([[[1.0]], [], [[2.0]]]),
        ak.Array(["a", "b", "c"]),
        ak.Array([{"x": 1}, {"x": 2}, {"x": 3}]),
        ak.Array([1.0, 2.0]),  # other events
        ak.to_regular(ak.Array([[1.0], [2.0], [3.0]])),
        ak.Array(np.ones((3, 2))),
        "text",
        None,
    ):
        assert elementwise(operator.add, [lists, other]) is None
    assert elementwise(operator.add, [1, 2]) is None


@given(columns(), st.data())
def test_items_by_mask_are_awkwards(
    found: tuple[list[ak.Array], ak.Array, list[int]], data: st.DataObject
) -> None:
    (left, right), _, _ = found
    mask = right > data.draw(st.integers(0, 60))
    mine = pick(left, mask, None)
    assert mine is not None
    assert same(mine[0], left[mask])
    again = pick(right, mask, mine[1])
    assert again is not None
    assert same(again[0], right[mask])


@given(columns(), st.integers(0, 50))
def test_items_by_position_are_awkwards(
    found: tuple[list[ak.Array], ak.Array, list[int]], seed: int
) -> None:
    (left, right), _, counts = found
    random = np.random.default_rng(seed)
    sizes = [random.integers(0, 4) if count else 0 for count in counts]
    positions = ak.unflatten(
        np.concatenate(
            [
                np.empty(0, np.int64),
                *(random.integers(0, max(c, 1), n) for c, n in zip(counts, sizes, strict=True)),
            ]
        ),
        sizes,
    )
    mine = pick(left, positions, None)
    assert mine is not None
    assert same(mine[0], left[positions])
    for known, others in ((mine[1], ()), (None, (mine[1],))):
        again = pick(right, positions, known, others)
        assert again is not None
        assert same(again[0], right[positions])


@pytest.mark.parametrize("wrong", [[[-1], [], []], [[2], [], []], [[0], [0], []]])
def test_positions_from_the_end_and_beyond_it_are_left_to_awkward(wrong: list[list[int]]) -> None:
    lists = ak.Array([[1.0, 2.0], [], [3.0]])
    index = ak.values_astype(ak.Array(wrong), np.int64)
    assert pick(lists, index, None) is None


def test_a_mask_of_other_lengths_is_left_to_awkward() -> None:
    lists = ak.Array([[1.0, 2.0], [], [3.0]])
    assert pick(lists, ak.Array([[True], [], [False]]), None) is None
    assert pick(lists, ak.Array([[True, None], [], [False]]), None) is None
    assert pick(lists, ak.Array([True, False, True]), None) is None


@st.composite
def two_lists(draw: st.DrawFn) -> tuple[ak.Array, ak.Array]:
    """Return lists of other lengths over the same events, perhaps cut out of larger arrays."""
    events = draw(st.integers(0, 5))
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    cut = draw(st.integers(0, 2))
    found = []
    for _ in range(2):
        counts = random.integers(0, 4, events + cut)
        values = random.normal(size=counts.sum()).astype(draw(st.sampled_from(["f4", "f8", "i4"])))
        found.append(ak.unflatten(values, counts)[cut:])
    return found[0], found[1]


@given(two_lists())
def test_lists_one_after_the_other_are_awkwards(pair: tuple[ak.Array, ak.Array]) -> None:
    three = [*pair, pair[0]]
    assert same(concatenate(three, axis=1), ak.concatenate(three, axis=1))
    assert same(concatenate(pair, axis=1), ak.concatenate(pair, axis=1))


@given(two_lists(), st.booleans())
def test_each_with_each_is_awkwards(pair: tuple[ak.Array, ak.Array], nested: bool) -> None:
    for options in ({"axis": 1}, {"axis": 1, "nested": nested}):
        mine, theirs = cartesian(list(pair), **options), ak.cartesian(list(pair), **options)
        assert str(mine.type) == str(theirs.type)
        assert mine.to_list() == theirs.to_list()


@given(two_lists())
def test_the_outer_product_is_awkwards(pair: tuple[ak.Array, ak.Array]) -> None:
    left, right = pair
    for args in ([left, right[:, None]], [left[:, None], right]):
        mine = outer(np.subtract, args)
        assert mine is not None
        assert same(mine, np.subtract(*args))


def test_other_products_are_left_to_awkward() -> None:
    lists = ak.Array([[1.0, 2.0], [], [3.0]])
    numbers = ak.Array([1.0, 2.0, 3.0])
    for args in ([lists, lists], [numbers, lists[:, None]], [lists, ak.Array([[[1.0]], [[2.0]]])]):
        assert outer(np.add, args) is None
    records = ak.Array([[{"x": 1}], [], []])
    for arrays in ([lists, records], [lists, ak.Array([[1], [2], [3]])]):
        assert same(concatenate(arrays, axis=1), ak.concatenate(arrays, axis=1))
    named = {"a": lists, "b": lists}
    assert cartesian(named, axis=1).fields == ["a", "b"]
    assert cartesian([lists, lists, lists], axis=1).fields == ["0", "1", "2"]
    assert cartesian([lists, lists], axis=1, with_name="pair").layout.content.purelist_parameter(
        "__record__"
    )


@given(st.lists(st.integers(0, 7), max_size=6), st.sampled_from([2, 3]), st.booleans())
def test_combinations_are_awkwards(counts: list[int], n: int, cut: bool) -> None:
    lists = ak.unflatten(np.arange(sum(counts)), np.array(counts, np.int64))
    lists = lists[1:] if cut else lists
    assert same(argcombinations(lists, n, axis=1), ak.argcombinations(lists, n, axis=1))


@pytest.mark.parametrize(
    "options",
    [{"axis": 1, "replacement": True}, {"axis": 1, "fields": ("a", "b")}, {"axis": -1}],
)
def test_unusual_combinations_are_awkwards(options: dict[str, Any]) -> None:
    lists = ak.Array([[1, 2, 3], [], [4]])
    expected = ak.argcombinations(lists, 2, **options)
    assert same(argcombinations(lists, 2, **options), expected)


def test_long_lists_do_not_make_large_tables() -> None:
    lists = ak.Array([list(range(250)), [1, 2]])
    assert same(argcombinations(lists, 2, axis=1), ak.argcombinations(lists, 2, axis=1))
