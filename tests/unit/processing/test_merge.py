"""The tree that merges accumulators: in the order of positions, each exactly once."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from sxdask.core.errors import UserFunctionError
from sxdask.processing.merge import MergeTree, accumulated


@pytest.mark.parametrize("count", [0, 1, 2, 7, 8, 9, 64, 65, 200])
def test_neighbours_are_joined_in_order_whatever_completes_first(count):
    merges = []

    def join(items):
        merges.append(len(items))
        return [*chain.from_iterable(items)]

    tree: MergeTree[list[int]] = MergeTree(join)
    for position in np.random.default_rng(count).permutation(count).tolist():
        tree.add(position, [position])
    assert tree.result() == (list(range(count)) or None)
    assert max(merges, default=0) <= 8


def test_positions_without_an_item_are_left_out():
    tree: MergeTree[list[int]] = MergeTree(lambda items: [*chain.from_iterable(items)])
    for position in range(20):
        tree.add(position, None if position % 3 else [position])
    assert tree.result() == [0, 3, 6, 9, 12, 15, 18]


def test_few_items_wait_at_any_time():
    tree: MergeTree[int] = MergeTree(sum)
    for position in range(1000):
        tree.add(position, 1)
        waiting = sum(len(level) for level in tree._levels)
        assert waiting <= 7 * 4
    assert tree.result() == 1000


def test_accumulators_are_left_as_they_are():
    one, other = {"a": {1}, "n": 1}, {"a": {2}, "n": 2}
    assert accumulated([one, other, other]) == {"a": {1, 2}, "n": 5}
    assert one == {"a": {1}, "n": 1}


def test_accumulators_that_do_not_add_are_the_mistake_of_the_processor():
    with pytest.raises(UserFunctionError, match="cannot be added"):
        accumulated([{"a": 1}, {"a": "text"}])
