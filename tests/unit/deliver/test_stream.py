"""The engine: order, window, retries, errors and cancellation, the same on every local runner."""

from __future__ import annotations

import os
import threading
import time
from contextlib import closing
from itertools import count

import dask
import pytest

from sxdask.core.errors import (
    PartitionFailedError,
    ReadFailedError,
    SystemFaultError,
    UnknownBranchError,
)
from sxdask.deliver import stream
from sxdask.deliver.runners.get import GetRunner
from sxdask.deliver.runners.processes import ProcessRunner
from sxdask.deliver.runners.sync import SyncRunner
from sxdask.deliver.runners.threads import ThreadRunner
from sxdask.deliver.stream import run_tasks

RUNNERS = [
    pytest.param(SyncRunner(), id="sync"),
    pytest.param(ThreadRunner(3), id="threads"),
    pytest.param(ProcessRunner(2), id="processes"),
    pytest.param(GetRunner(dask.get, batch=4), id="get"),
]
IN_PROCESS = [item for item in RUNNERS if item.id != "processes"]


def square(number: int) -> int:
    return number * number


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(stream, "FIRST_PAUSE_S", 0.01)


@pytest.fixture(autouse=True)
def no_thread_is_left():
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("runner", RUNNERS)
def test_every_item_has_one_outcome(runner):
    outcomes = list(run_tasks(square, range(20), runner=runner))
    assert sorted(item.position for item in outcomes) == list(range(20))
    assert all(item.value == item.position**2 and item.attempts == 1 for item in outcomes)


@pytest.mark.parametrize("runner", RUNNERS)
def test_ordered_means_the_order_of_the_items(runner):
    def slow_first(number):
        time.sleep(0.05 if number == 0 else 0)
        return number

    outcomes = run_tasks(slow_first, range(12), runner=runner, ordered=True)
    assert [item.value for item in outcomes] == list(range(12))


@pytest.mark.parametrize("runner", RUNNERS)
def test_nothing_to_do_is_done_at_once(runner):
    assert list(run_tasks(square, [], runner=runner)) == []


def test_results_come_as_they_complete():
    gate = threading.Event()

    def work(number):
        if number == 0:
            gate.wait(10)
        return number

    with closing(run_tasks(work, range(4), runner=ThreadRunner(2))) as outcomes:
        assert [next(outcomes).value for _ in range(3)] == [1, 2, 3]
        gate.set()
        assert next(outcomes).value == 0


@pytest.mark.parametrize("runner", IN_PROCESS)
@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize("window", [1, 3, 8])
def test_a_slow_consumer_holds_the_engine_back(runner, ordered, window):
    started = count()
    lead = []
    begun = 0

    def work(number):
        nonlocal begun
        begun = next(started) + 1
        return number

    outcomes = run_tasks(work, range(40), runner=runner, window=window, ordered=ordered)
    for taken, _ in enumerate(outcomes):
        time.sleep(0.002)
        lead.append(begun - taken)
    # What began and was not taken before: the window, and the one in the consumer's hand.
    assert max(lead) <= window + 1
    assert len(lead) == 40


def test_items_are_taken_lazily():
    taken = []

    def items():
        for number in range(1000):
            taken.append(number)
            yield number

    with closing(run_tasks(square, items(), runner=ThreadRunner(2), window=5)) as outcomes:
        next(outcomes)
        assert len(taken) <= 5


def test_a_mistake_of_the_user_fails_at_once():
    calls = []

    def work(number):
        calls.append(number)
        raise UnknownBranchError.among("MET_ptt", ["MET_pt"], tree="Events")

    with pytest.raises(UnknownBranchError, match="MET_pt") as caught:
        list(run_tasks(work, [1], runner=SyncRunner()))
    assert calls == [1]
    assert "in work" in caught.value.context["traceback"]


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_transient_error_is_tried_again(runner, tmp_path):
    def work(number):
        if number == 2 and len(list(tmp_path.iterdir())) < 2:
            (tmp_path / str(len(list(tmp_path.iterdir())))).touch()
            raise ConnectionResetError("peer went away")
        return number

    outcomes = {item.value: item for item in run_tasks(work, range(4), runner=runner)}
    assert sorted(outcomes) == [0, 1, 2, 3]
    assert outcomes[2].attempts == 3
    assert outcomes[1].attempts == 1


def test_a_transient_error_that_stays_is_raised_with_its_kind():
    calls = []

    def work(number):
        calls.append(number)
        raise TimeoutError("no answer")

    with pytest.raises(ReadFailedError, match="no answer"):
        list(run_tasks(work, [1], runner=SyncRunner(), retries=2))
    assert calls == [1, 1, 1]


@pytest.mark.parametrize(
    "error", [FileNotFoundError("gone.root"), PermissionError("no"), ValueError("bug")]
)
def test_an_error_that_another_try_cannot_change_is_not_tried_again(error):
    calls = []

    def work(number):
        calls.append(number)
        raise error

    with pytest.raises((ReadFailedError, PartitionFailedError)):
        list(run_tasks(work, [1], runner=SyncRunner()))
    assert calls == [1]


@pytest.mark.parametrize("runner", RUNNERS)
def test_skipped_errors_are_outcomes(runner):
    def work(number):
        if number % 2:
            raise ValueError(f"bad {number}")
        return number

    outcomes = list(run_tasks(work, range(6), runner=runner, on_error="skip"))
    bad = sorted(item.position for item in outcomes if item.error is not None)
    assert bad == [1, 3, 5]
    error = next(item.error for item in outcomes if item.position == 3)
    assert error is not None
    assert error.problem == "ValueError: bad 3"
    assert 'raise ValueError(f"bad {number}")' in error.context["traceback"]


def test_a_set_cancel_event_ends_the_run_with_an_error():
    cancel = threading.Event()
    outcomes = run_tasks(square, range(1000), runner=ThreadRunner(2), cancel=cancel)
    next(outcomes)
    cancel.set()
    with pytest.raises(SystemFaultError, match="cancelled"):
        list(outcomes)


def test_cancel_is_noticed_while_tasks_are_running():
    cancel, gate = threading.Event(), threading.Event()

    def work(number):
        gate.wait(20)

    threading.Timer(0.1, cancel.set).start()
    threading.Timer(0.5, gate.set).start()
    began = time.monotonic()
    with pytest.raises(SystemFaultError, match="cancelled"):
        list(run_tasks(work, range(4), runner=ThreadRunner(2), cancel=cancel))
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("runner", RUNNERS)
def test_a_closed_run_starts_nothing_more(runner, tmp_path):
    def work(number):
        (tmp_path / str(number)).touch()
        time.sleep(0.01)

    outcomes = run_tasks(work, range(1000), runner=runner)
    next(outcomes)
    outcomes.close()
    begun = len(list(tmp_path.iterdir()))
    time.sleep(0.1)
    assert len(list(tmp_path.iterdir())) == begun < 50


def test_an_interrupt_in_a_task_of_this_thread_is_the_programs():
    def work(number):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_tasks(work, [1], runner=SyncRunner()))


def test_a_thread_survives_what_would_end_it():
    def work(number):
        raise SystemExit(number)

    with pytest.raises(PartitionFailedError, match="SystemExit"):
        list(run_tasks(work, [1], runner=ThreadRunner(1)))


def test_running_out_of_memory_says_what_to_do():
    def work(number):
        raise MemoryError

    with pytest.raises(SystemFaultError, match="smaller partitions"):
        list(run_tasks(work, [1], runner=ThreadRunner(1)))


def test_a_process_that_dies_costs_one_more_try(tmp_path):
    def work(number):
        marker = tmp_path / "died"
        if number == 3 and not marker.exists():
            marker.touch()
            os._exit(7)
        return number

    outcomes = {item.value: item for item in run_tasks(work, range(8), runner=ProcessRunner(2))}
    assert sorted(outcomes) == list(range(8))
    assert {number: item.attempts for number, item in outcomes.items() if item.attempts > 1} == {
        3: 2
    }


def test_a_process_that_always_dies_is_a_clear_error():
    with pytest.raises(SystemFaultError, match="exit code 9") as caught:
        list(run_tasks(os._exit, [9], runner=ProcessRunner(1), retries=1))
    assert "SXDASK_PARTITION_BYTES" in str(caught.value.hint)


def test_a_result_that_cannot_travel_is_the_tasks_error():
    def work(number):
        return threading.Lock()

    with pytest.raises(PartitionFailedError, match="pickle"):
        list(run_tasks(work, [1], runner=ProcessRunner(1)))


class _NeedsMissingModule:
    def __reduce__(self):
        return __import__, ("a_module_that_is_nowhere",)

    def __call__(self, item):
        return item


def test_a_function_that_does_not_load_in_a_worker_is_a_clear_error():
    with pytest.raises(PartitionFailedError, match="a_module_that_is_nowhere"):
        list(run_tasks(_NeedsMissingModule(), [1], runner=ProcessRunner(1)))


def test_facts_of_an_error_that_cannot_travel_become_text():
    def work(number):
        raise UnknownBranchError("no such branch", lock=threading.Lock())

    with pytest.raises(UnknownBranchError) as caught:
        list(run_tasks(work, [1], runner=ProcessRunner(1)))
    assert "lock" in caught.value.context["lock"]


def test_a_get_function_that_fails_is_a_clear_error():
    def broken(graph, keys):
        raise RuntimeError("no scheduler here")

    with pytest.raises(SystemFaultError, match="no scheduler here"):
        list(run_tasks(square, [1], runner=GetRunner(broken)))


def test_items_that_look_like_dask_tasks_are_items():
    items = [(square, 3), ["a", "b"], {"x": (square, 2)}, "partition-0"]
    outcomes = run_tasks(repr, items, runner=GetRunner(dask.get), ordered=True)
    assert [item.value for item in outcomes] == [repr(item) for item in items]
