"""What is in flight: expected, weighed, released; and how much begins at once in a process."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest

from sxdask.core.machine import memory_limit
from sxdask.deliver.budget import (
    WORK_FACTOR,
    Budget,
    Gate,
    Gated,
    expected_bytes,
    process_memory,
    weight,
)
from sxdask.deliver.runners.sync import SyncRunner
from sxdask.deliver.runners.threads import ThreadRunner
from sxdask.deliver.stream import run_tasks


@dataclass(frozen=True)
class Item:
    number: int
    decoded_bytes: int = 100


def result(item: Item) -> SimpleNamespace:
    return SimpleNamespace(array=np.zeros(item.decoded_bytes, np.uint8))


def held(budget: Budget, outcomes) -> list[float]:
    """Return what was in flight at each outcome, while it was in the consumer's hand."""
    return [budget.in_flight for _ in outcomes]


@pytest.mark.parametrize("runner", [SyncRunner(), ThreadRunner(4)], ids=["sync", "threads"])
@pytest.mark.parametrize("ordered", [False, True])
def test_bytes_in_flight_stay_within_the_budget(runner, ordered):
    budget = Budget(900)
    items = [Item(n) for n in range(60)]
    outcomes = list(run_tasks(result, items, runner=runner, ordered=ordered, budget=budget))
    assert sorted(item.position for item in outcomes) == list(range(60))
    assert budget.most <= 900
    assert budget.in_flight == 0
    if not isinstance(runner, SyncRunner):  # which has one at a time anyway
        assert budget.most > 450, "the budget was not made use of"


def test_results_larger_than_expected_hold_later_ones_back():
    budget = Budget(10_000)

    def swollen(item):
        return SimpleNamespace(array=np.zeros(5 * item.decoded_bytes, np.uint8))

    outcomes = run_tasks(
        swollen, [Item(n, 500) for n in range(30)], runner=ThreadRunner(4), budget=budget
    )
    for count, _ in enumerate(outcomes):
        if count > 5:  # the first ones began before any was weighed
            assert budget.in_flight <= 10_000
            assert len(budget._expected) <= 10_000 // (6 * 500)
    assert budget.in_flight == 0


def test_results_far_smaller_than_expected_let_a_cluster_go_on():
    budget = Budget(1000)
    budget.begin(works_here=False)
    item = Item(0, 400)
    budget.start(0, item)
    assert not budget.admits(item)  # nothing is known yet: half of the budget
    budget.finish(0, SimpleNamespace(array=np.zeros(4, np.uint8)))
    for number in range(1, 100):
        assert budget.admits(item)
        budget.start(number, item)
    assert budget.in_flight == pytest.approx(4 + 99 * 4)


def test_an_item_larger_than_the_budget_runs_alone():
    items = [Item(n, 5000 if n % 3 == 1 else 100) for n in range(12)]
    lock, now, beside = threading.Lock(), set(), []

    def work(item):
        with lock:
            now.add(item)
            beside.append(set(now))
        found = result(item)
        with lock:
            now.remove(item)
        return found

    outcomes = list(run_tasks(work, items, runner=ThreadRunner(4), budget=Budget(1000)))
    assert len(outcomes) == 12
    assert all(len(group) == 1 for group in beside if any(i.decoded_bytes > 100 for i in group))


def test_a_consumer_that_stops_stops_the_reading():
    budget = Budget(1000)
    begun = []

    def work(item):
        begun.append(item)
        return result(item)

    with closing(
        run_tasks(work, map(Item, range(1000)), runner=ThreadRunner(4), budget=budget)
    ) as outcomes:
        next(outcomes)
        threading.Event().wait(0.2)
        assert len(begun) <= 1000 / (WORK_FACTOR * 100)
        assert budget.in_flight <= 1000


def test_failures_are_released(tmp_path):
    budget = Budget(1000)

    def work(item):
        if item.number % 2:
            raise FileNotFoundError(tmp_path / "gone.root")
        return result(item)

    items = [Item(n) for n in range(40)]
    outcomes = list(run_tasks(work, items, runner=ThreadRunner(2), on_error="skip", budget=budget))
    assert sum(item.error is not None for item in outcomes) == 20
    assert budget.in_flight == 0


def test_what_no_reader_knows_is_taken_to_be_as_large_as_the_largest():
    budget = Budget(1000)
    unknown = Item(0, 0)
    budget.start(0, unknown)
    assert budget.admits(unknown)
    budget.finish(0, SimpleNamespace(array=np.zeros(300, np.uint8)))
    budget.start(1, unknown)
    assert not budget.admits(unknown)
    budget.release(0)
    assert budget.admits(unknown)


def test_the_size_of_an_item_is_that_of_its_pieces():
    piece = Item(0, 7)
    assert expected_bytes(("0", piece)) == 7
    assert expected_bytes([("0", piece), ("1", piece)]) == 14
    assert expected_bytes(SimpleNamespace(pieces=(piece, piece))) == 14
    assert expected_bytes("a text") == 0


def test_tables_arrays_and_results_have_a_weight_and_receipts_none():
    ten = np.zeros(10, np.uint8)
    assert weight(SimpleNamespace(table=ten)) == 10
    assert weight(SimpleNamespace(results={"a": ten, "b": ten})) == 20
    assert weight(SimpleNamespace(receipt="stored")) == 0


def test_a_gate_lets_in_what_fits_and_one_that_never_fits_alone():
    gate, lock, inside, most = Gate(), threading.Lock(), [0], [0]

    def work(size):
        with gate.hold(size, 100):
            with lock:
                inside[0] += size
                most.append(inside[0])
            threading.Event().wait(0.002)
            with lock:
                inside[0] -= size

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [30, 40, 250, 60] * 8))
    assert max(size for size in most if size != 250) <= 100
    assert gate._used == 0


def test_a_stated_limit_holds_in_the_process_that_works():
    lock, now, most = threading.Lock(), [0], [0]

    def work(item):
        with lock:
            now[0] += 1
            most.append(now[0])
        threading.Event().wait(0.002)
        with lock:
            now[0] -= 1
        return item.number

    gated = Gated(work, limit=round(2 * WORK_FACTOR * 100))
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(gated, map(Item, range(40)))) == list(range(40))
    assert max(most) == 2


def test_the_default_is_half_of_the_memory_there_is():
    assert process_memory() == memory_limit()[0] // 2
    assert Budget().limit == process_memory()
    assert Budget(5).limit == 5
