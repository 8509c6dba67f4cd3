"""Ranges that are too large are cut: exactly, evenly, and the same way everywhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.graph.split import Cuts, split_range


def no_baskets():
    return np.array([0, 10_000])


def split(edges, per_entry, most, baskets=no_baskets):
    return split_range(
        np.array(edges), bytes_per_entry=per_entry, most_bytes=most, basket_edges=baskets
    )


@given(
    sizes=st.lists(st.integers(1, 500), min_size=1, max_size=12),
    first=st.integers(0, 1000),
    per_entry=st.floats(0.01, 1000),
    most=st.integers(1, 100_000),
    baskets=st.lists(st.integers(0, 6000), max_size=30),
)
def test_parts_tile_the_range_and_fit(sizes, first, per_entry, most, baskets):
    edges = first + np.cumsum([0, *sizes])
    edges_of = lambda: np.unique(np.array(baskets, np.int64))  # noqa: E731
    parts, inside = split(edges, per_entry, most, edges_of)
    assert [parts[0][0], parts[-1][1]] == [edges[0], edges[-1]]
    assert all(before[1] == after[0] for before, after in pairwise(parts))
    for start, stop in parts:
        assert start < stop
        assert (stop - start) * per_entry <= most * (1 + 1e-9) or stop - start == 1
    assert inside == len({start for start, _ in parts[1:]} - set(edges.tolist()))


def test_cluster_edges_come_first():
    assert split([0, 100, 200, 300], 1.0, 200) == ([(0, 200), (200, 300)], 0)


def test_a_cluster_is_cut_evenly_where_no_basket_ends():
    assert split([0, 1000], 1.0, 400) == ([(0, 334), (334, 667), (667, 1000)], 2)


def test_a_cut_takes_a_basket_edge_that_is_near():
    parts, inside = split([0, 1000], 1.0, 400, lambda: np.array([0, 350, 390, 700, 1000]))
    assert (parts, inside) == ([(0, 350), (350, 700), (700, 1000)], 2)


def test_an_entry_that_is_too_large_stays_whole():
    assert split([5, 8], 100.0, 10) == ([(5, 6), (6, 7), (7, 8)], 2)


def test_cuts_of_files_add_up():
    total = Cuts(1, 3, 2, 900, 100) + Cuts(2, 5, 0, 700, 100)
    assert total == Cuts(3, 8, 2, 900, 100)
    assert Cuts() + total == total


@pytest.mark.parametrize("most", [100, 250, 333])
def test_no_more_parts_than_needed(most):
    parts, _ = split([0, 1000], 1.0, most)
    assert len(parts) == -(-1000 // most)
