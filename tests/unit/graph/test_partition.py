"""Partitions tile the tree, fall on cluster edges and stay near the target."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.graph.partition import partition_entries

edges = st.lists(st.integers(1, 50), min_size=1, max_size=60).map(
    lambda steps: np.concatenate(([0], np.cumsum(steps)))
)


@given(edges, st.floats(0, 1000), st.integers(1, 5000))
def test_partitions_tile_the_tree_on_cluster_edges(cluster_edges, bytes_per_entry, target):
    ranges = partition_entries(cluster_edges, bytes_per_entry=bytes_per_entry, target_bytes=target)
    assert ranges[0][0] == 0
    assert ranges[-1][1] == cluster_edges[-1]
    assert all(a[1] == b[0] for a, b in pairwise(ranges))
    assert {edge for pair in ranges for edge in pair} <= set(cluster_edges.tolist())


@given(edges, st.floats(0.1, 1000), st.integers(1, 5000))
def test_a_partition_is_over_the_target_only_if_it_is_one_cluster(cluster_edges, per_entry, target):
    for start, stop in partition_entries(
        cluster_edges, bytes_per_entry=per_entry, target_bytes=target
    ):
        inside = [edge for edge in cluster_edges if start < edge < stop]
        assert (stop - start) * per_entry <= target * (1 + 1e-9) or not inside


def test_a_tree_without_entries_has_no_partition():
    assert partition_entries(np.array([0]), bytes_per_entry=8.0, target_bytes=100) == []


@pytest.mark.parametrize("bad", [[], [1, 2], [0, 5, 5], [0, 5, 3]])
def test_edges_that_do_not_increase_from_zero_are_refused(bad):
    with pytest.raises(ValueError, match="increase strictly"):
        partition_entries(np.array(bad), bytes_per_entry=1.0, target_bytes=1)
