"""Computations in turn: shared, fair, ended when nobody waits; results within a budget."""

from __future__ import annotations

import threading
import time

import numpy as np
import pyarrow as pa
import pytest

from sxdask.core.errors import RequestError, SystemFaultError
from sxdask.service.flight.engine import Engine
from sxdask.service.flight.results import Results
from sxdask.service.flight.streams import BATCH_BYTES, bounded_batches, fitted


def numbers(count: int = 1000) -> pa.Table:
    return pa.table({"x": pa.array(range(count), pa.int64())})


def eventually(condition, within_s: float = 10) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


def in_threads(functions) -> list[threading.Thread]:
    threads = [threading.Thread(target=item, daemon=True) for item in functions]
    for thread in threads:
        thread.start()
    return threads


def stay() -> bool:
    return False


def test_clients_that_want_the_same_partition_wait_for_one_computation():
    calls, go = [], threading.Event()
    results = Results(10**6)
    engine = Engine(results, lambda: 4)

    def work(stop):
        calls.append(1)
        go.wait(10)
        return numbers()

    found = []
    threads = in_threads(
        [lambda n=n: found.append(engine.get("key", n, work, stay)) for n in range(5)]
    )
    eventually(lambda: engine.state["running"] == 1)
    time.sleep(0.05)
    go.set()
    for thread in threads:
        thread.join(10)
    assert len(calls) == 1
    assert [item.table.num_rows for item in found] == [1000] * 5
    for item in found:
        item.release()
    assert engine.get("key", 9, work, stay).table.num_rows == 1000
    assert len(calls) == 1


def test_each_client_has_its_turn():
    order, first = [], threading.Event()
    engine = Engine(Results(0), lambda: 1)

    def work(name):
        def run(stop):
            first.wait(10)
            order.append(name)
            return numbers()

        return run

    def ask(client, key):
        return lambda: engine.get(f"{client}{key}", client, work(client), stay).release()

    threads = in_threads([ask("a", 0)])
    eventually(lambda: engine.state["running"] == 1)
    for number in range(1, 6):
        threads += in_threads([ask("a", number)])
        eventually(lambda number=number: engine.state["waiting"] == number)
    threads += in_threads([ask("b", 0)])
    eventually(lambda: engine.state["waiting"] == 6)
    first.set()
    for thread in threads:
        thread.join(10)
    assert order.index("b") <= 2  # not after everything that "a" had asked before
    assert sorted(order) == ["a"] * 6 + ["b"]


def test_no_more_run_at_once_than_there_are_slots():
    now, most, lock = [0], [0], threading.Lock()
    engine = Engine(Results(0), lambda: 3)

    def work(stop):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        time.sleep(0.01)
        with lock:
            now[0] -= 1
        return numbers()

    threads = in_threads(
        [lambda n=n: engine.get(f"{n}", n % 4, work, stay).release() for n in range(20)]
    )
    for thread in threads:
        thread.join(10)
    assert most[0] == 3
    assert engine.state["computed"] == 20


def test_a_computation_ends_when_the_last_client_has_gone():
    stopped, gone = threading.Event(), threading.Event()
    engine = Engine(Results(10**6), lambda: 1)

    def work(stop):
        if stop.wait(30):
            stopped.set()
        raise SystemFaultError("the run was cancelled")

    ends = []

    def ask(is_gone):
        try:
            engine.get("key", 0, work, is_gone)
        except SystemFaultError as error:
            ends.append(error.problem)

    threads = in_threads([lambda: ask(lambda: True), lambda: ask(gone.is_set)])
    eventually(lambda: len(ends) == 1)
    time.sleep(0.05)
    assert not stopped.is_set()  # the other one waits still
    gone.set()
    for thread in threads:
        thread.join(10)
    assert stopped.wait(10)
    assert ends == ["the stream was cancelled"] * 2
    eventually(lambda: engine.state["running"] == 0)


def test_what_waits_is_never_begun_once_its_client_has_gone():
    begun, go = [], threading.Event()
    engine = Engine(Results(10**6), lambda: 1)

    def slow(stop):
        go.wait(10)
        return numbers()

    def never(stop):
        begun.append(1)
        return numbers()

    threads = in_threads([lambda: engine.get("slow", 0, slow, stay).release()])
    eventually(lambda: engine.state["running"] == 1)
    with pytest.raises(SystemFaultError, match="cancelled"):
        engine.get("other", 1, never, lambda: True)
    go.set()
    threads[0].join(10)
    eventually(lambda: engine.state == {"running": 0, "waiting": 0, "computed": 1, "reused": 0})
    assert begun == []


def test_an_error_reaches_all_who_wait_and_the_next_one_tries_again():
    engine = Engine(Results(10**6), lambda: 1)

    def fail(stop):
        raise RequestError("no")

    for _ in range(2):
        with pytest.raises(RequestError, match="no"):
            engine.get("key", 0, fail, stay)
    assert engine.get("key", 0, lambda _: numbers(), stay).table.num_rows == 1000


def test_results_stay_within_the_budget_and_the_rest_lies_on_disk(tmp_path):
    results = Results(20_000, tmp_path)
    held = []
    for number in range(5):  # 8 000 bytes each
        held.append(results.keep(f"{number}", results.take_in(numbers()), holders=1))
        assert results.state["memory_bytes"] <= 20_000
    assert results.state["disk_bytes"] == 24_000
    assert list(tmp_path.iterdir()) == []  # no name: nothing can be left behind
    assert all(item.table.equals(numbers()) for item in held)
    for item in held:
        item.release()
    assert results.state["disk_bytes"] == 0
    assert results.state["memory_bytes"] == 16_000  # copies for the next one
    results.keep("new", results.take_in(numbers(2000)), holders=0)
    assert results.state["memory_bytes"] == 16_000
    assert results.hold("0") is None


def test_a_dropped_table_counts_until_its_last_reader_is_done():
    results = Results(10_000)
    held = results.keep("a", results.take_in(numbers()), holders=1)
    results.drop(["a", "unknown"])
    assert results.hold("a") is None
    assert results.state["memory_bytes"] == 8_000
    held.release()
    assert results.state["memory_bytes"] == 0


def test_batches_are_bounded_and_hold_all_rows_in_order():
    starts = np.cumsum([0, *(n % 2000 for n in range(10_000))])
    items = pa.array(np.arange(starts[-1]))
    lists = pa.table({"x": pa.LargeListArray.from_arrays(starts, items)})
    batches = list(bounded_batches(lists))
    assert max(batch.nbytes for batch in batches) <= BATCH_BYTES
    assert len(batches) > 5
    assert pa.Table.from_batches(batches).equals(lists)
    items = pa.array(np.arange(10**6 + 1))
    huge = pa.table({"x": pa.LargeListArray.from_arrays([0, 10**6, 10**6 + 1], items)})
    assert [batch.num_rows for batch in bounded_batches(huge)] == [1, 1]


def test_a_partition_with_other_columns_than_announced_is_refused():
    table = numbers()
    schema = pa.schema([pa.field("x", pa.int64())], metadata={"a": "b"})
    assert fitted(table, schema).schema.metadata == {b"a": b"b"}
    with pytest.raises(Exception, match="other columns"):
        fitted(table, pa.schema([("x", pa.float32())]))
    rows = fitted(table.select([]), pa.schema([], metadata={"a": "b"}))
    assert (rows.num_rows, rows.schema.metadata) == (1000, {b"a": b"b"})
