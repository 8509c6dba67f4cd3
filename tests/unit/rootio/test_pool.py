"""Work is shared with the pool, never waits for itself, and stops at the first error."""

from __future__ import annotations

import multiprocessing
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from sxdask.rootio.pool import run_all, thread_count


def test_results_keep_the_order_of_the_items() -> None:
    assert run_all(lambda n: n * n, range(100), 3) == [n * n for n in range(100)]
    assert run_all(lambda n: n, [], 3) == []


def test_two_threads_work_side_by_side() -> None:
    both = threading.Barrier(2, timeout=10)
    assert run_all(lambda _: both.wait() >= 0, range(2), 2) == [True, True]


def test_one_thread_means_the_callers() -> None:
    me = threading.get_ident()
    assert run_all(lambda _: threading.get_ident(), range(5), 1) == [me] * 5


def test_an_error_is_raised_and_stops_the_rest() -> None:
    done: list[int] = []

    def work(number: int) -> None:
        if number == 0:
            raise ValueError("no")
        time.sleep(0.001)
        done.append(number)

    with pytest.raises(ValueError, match="no"):
        run_all(work, range(1000), 2)
    assert len(done) < 900


def test_work_inside_work_and_many_callers_at_once_do_not_lock_up() -> None:
    def inner(number: int) -> int:
        return sum(run_all(lambda n: n + number, range(5), 2))

    def outer(number: int) -> list[int]:
        return run_all(inner, range(number, number + 10), 2)

    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(outer, range(30), timeout=60))
    assert found == [[10 + 5 * n for n in range(m, m + 10)] for m in range(30)]


def test_a_forked_process_has_a_pool_of_its_own() -> None:
    assert run_all(lambda n: n, range(4), 2) == [0, 1, 2, 3]
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12: fork beside threads
        child = context.Process(target=_work_in_child)
        child.start()
    child.join(30)
    assert child.exitcode == 0


def _work_in_child() -> None:
    if run_all(lambda n: n * 2, range(50), 2) != [n * 2 for n in range(50)]:
        raise SystemExit(1)


def test_the_number_of_threads_follows_the_cores_up_to_four() -> None:
    assert 1 <= thread_count(0) <= 4
    assert thread_count(7) == 7
