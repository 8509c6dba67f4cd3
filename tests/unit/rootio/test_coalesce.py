"""Ranges become few requests, and every range is found again."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sxdask.rootio.coalesce import coalesce


def _merge(ranges: list[tuple[int, int]], gap: int = 0, most: int = 1000) -> list[tuple[int, int]]:
    starts = np.array([start for start, _ in ranges], np.int64)
    sizes = np.array([size for _, size in ranges], np.int64)
    found = coalesce(starts, sizes, gap_bytes=gap, request_bytes=most)
    return list(zip(found.starts.tolist(), found.stops.tolist(), strict=True))


def test_touching_ranges_become_one_request() -> None:
    assert _merge([(10, 5), (15, 5), (20, 1)]) == [(10, 21)]


def test_a_hole_is_read_through_only_if_it_is_small_enough() -> None:
    assert _merge([(0, 10), (14, 6)], gap=4) == [(0, 20)]
    assert _merge([(0, 10), (14, 6)], gap=3) == [(0, 10), (14, 20)]


def test_a_request_does_not_grow_beyond_its_limit() -> None:
    assert _merge([(0, 10), (10, 10), (20, 10)], most=20) == [(0, 20), (20, 30)]


def test_a_range_beyond_the_limit_is_one_request() -> None:
    assert _merge([(0, 50), (50, 5)], most=20) == [(0, 50), (50, 55)]


def test_no_ranges_need_no_request() -> None:
    assert _merge([]) == []


RANGES = st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 200)), max_size=30)


@given(ranges=RANGES, gap=st.integers(0, 300), most=st.integers(1, 500))
def test_every_range_is_inside_its_request_and_requests_are_disjoint(
    ranges: list[tuple[int, int]], gap: int, most: int
) -> None:
    starts = np.array([start for start, _ in ranges], np.int64)
    sizes = np.array([size for _, size in ranges], np.int64)
    found = coalesce(starts, sizes, gap_bytes=gap, request_bytes=most)
    begin = found.starts[found.owner] + found.offset
    assert begin.tolist() == starts.tolist()
    assert (begin + sizes <= found.stops[found.owner]).all()
    assert (found.starts[1:] >= found.stops[:-1]).all()
    wanted = np.zeros(2300, np.bool_)
    for start, size in ranges:
        wanted[start : start + size] = True
    read = np.zeros(2300, np.bool_)
    for start, stop in zip(found.starts.tolist(), found.stops.tolist(), strict=True):
        read[start:stop] = True
    assert not (wanted & ~read).any()
    if gap == 0:
        assert found.num_bytes == wanted.sum()
