"""Files of many transforms share the workers."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sxdask.service.transforms.fair import FairQueue, Limits

WIDE = Limits(100, 100, 100)


def take_all(queue, most=1000):
    return [found for _ in range(most) if (found := queue.take()) is not None]


def test_a_small_transform_of_another_user_is_not_behind_a_large_one():
    queue: FairQueue[Any] = FairQueue(Limits(4, 4, 4))
    queue.add("large", range(1000), user="a")
    assert [name for name, _ in take_all(queue)] == ["large"] * 4
    queue.add("small", range(2), user="b")
    queue.done("large")
    assert queue.take() == ("small", 0)


def test_users_share_by_weight():
    queue: FairQueue[Any] = FairQueue(Limits(40, 40, 40), {"b": 3.0})
    queue.add("x", range(100), user="a")
    queue.add("y", range(100), user="b")
    assert Counter(name for name, _ in take_all(queue)) == {"x": 10, "y": 30}


def test_a_users_transforms_take_turns_and_priority_goes_first():
    queue: FairQueue[Any] = FairQueue(WIDE)
    queue.add("one", "ab")
    queue.add("two", "cd")
    queue.add("urgent", "e", priority=5)
    assert take_all(queue) == [
        ("urgent", "e"),
        ("one", "a"),
        ("two", "c"),
        ("one", "b"),
        ("two", "d"),
    ]


def test_what_is_over_a_limit_waits():
    queue: FairQueue[Any] = FairQueue(Limits(10, 3, 2))
    queue.add("one", range(9), user="a")
    queue.add("two", range(9), user="a")
    assert Counter(name for name, _ in take_all(queue)) == {"one": 2, "two": 1}
    assert (queue.at_work("one"), queue.waiting("one")) == (2, 7)
    queue.done("one")
    assert queue.take() == ("two", 1)


def test_a_lost_task_comes_again_first_and_a_removed_transform_does_not():
    queue: FairQueue[Any] = FairQueue(WIDE)
    queue.add("one", "abc")
    assert queue.take() == ("one", "a")
    queue.done("one")
    queue.again("one", "a")
    assert queue.take() == ("one", "a")
    assert queue.remove("one") == ["b", "c"]
    queue.again("one", "a")
    assert queue.take() is None
    queue.done("one")
    assert queue.remove("one") == []


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12)), max_size=8),
    st.randoms(use_true_random=False),
)
def test_every_file_is_taken_once_within_the_limits(transforms, random):
    limits = Limits(5, 3, 2)
    queue: FairQueue[Any] = FairQueue(limits)
    wanted: Counter[tuple[str, int]] = Counter()
    for number, (user, count) in enumerate(transforms):
        queue.add(str(number), range(count), user=user)
        wanted.update((str(number), file) for file in range(count))
    taken: Counter[tuple[str, int]] = Counter()
    working: list[str] = []
    while True:
        found = queue.take()
        if found is not None:
            taken[found] += 1
            working.append(found[0])
        elif working:
            queue.done(working.pop(random.randrange(len(working))))
        else:
            break
        users = Counter(transforms[int(name)][0] for name in working)
        assert len(working) <= limits.total
        assert max(users.values(), default=0) <= limits.per_user
        assert max(Counter(working).values(), default=0) <= limits.per_transform
    assert taken == wanted
