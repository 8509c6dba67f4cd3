"""The engine on a real distributed cluster: exact results whatever happens to its workers."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from distributed import Client, LocalCluster

from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.errors import PartitionFailedError, SystemFaultError, UnknownBranchError
from sxdask.deliver.runner import choose_runner
from sxdask.deliver.runners.cluster import ClusterRunner
from sxdask.deliver.stream import run_tasks


@pytest.fixture(scope="module")
def client():
    with LocalBackend(2, threads_per_worker=1) as client:
        yield client


def tasks_on(client):
    """Return the keys that the scheduler knows, once nothing moves any more."""
    deadline = time.monotonic() + 10
    while True:
        gc.collect()
        keys = client.run_on_scheduler(
            lambda dask_scheduler: sorted(map(str, dask_scheduler.tasks))
        )
        if not keys or time.monotonic() > deadline:
            return keys
        time.sleep(0.05)


def test_the_active_client_is_found_and_used(client):
    assert isinstance(choose_runner(), ClusterRunner)
    pids = {item.value for item in run_tasks(lambda _: os.getpid(), range(40))}
    assert pids == set(client.run(os.getpid).values())


def test_every_item_has_one_outcome_and_nothing_stays_on_the_cluster(client):
    outcomes = list(run_tasks(lambda n: n * n, range(200), runner=ClusterRunner(client)))
    assert sorted(item.value for item in outcomes) == [n * n for n in range(200)]
    assert tasks_on(client) == []


def test_ordered_means_the_order_of_the_items(client):
    def work(number):
        time.sleep(0.002 * (number % 7))
        return number

    found = run_tasks(work, range(50), runner=ClusterRunner(client), ordered=True)
    assert [item.value for item in found] == list(range(50))


def test_few_items_are_spread_over_the_workers(client):
    def work(_):
        time.sleep(0.2)
        return os.getpid()

    assert len({item.value for item in run_tasks(work, range(2))}) == 2


def test_the_function_travels_once_to_each_worker(client, tmp_path):
    class Heavy:
        def __init__(self, folder):
            self.folder, self.load = folder, np.zeros(100_000)

        def __call__(self, number):
            return number

        def __setstate__(self, state):
            self.__dict__ = state
            (self.folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()

    outcomes = list(run_tasks(Heavy(tmp_path), range(100), runner=ClusterRunner(client)))
    assert len(outcomes) == 100
    assert len(list(tmp_path.iterdir())) <= 3  # made on one worker, copied to the other


def test_a_run_finds_nothing_of_an_earlier_one(client):
    for answer in (1, 2):
        found = run_tasks(answer.__add__, [0] * 5, runner=ClusterRunner(client))
        assert {item.value for item in found} == {answer}


def test_a_run_that_is_collected_in_the_thread_of_dask_leaves_nothing_on_the_cluster(client):
    """Garbage is collected in any thread; in that of the client's loop nothing can wait for it."""
    held = [run_tasks(time.sleep, [0.05] * 200, runner=ClusterRunner(client))]
    closed = threading.Event()
    next(held[0])

    def collect():
        held.clear()
        gc.collect()
        closed.set()

    client.loop.add_callback(collect)
    assert closed.wait(20)
    assert tasks_on(client) == []


def test_a_slow_consumer_bounds_the_results_on_the_cluster(client, tmp_path):
    def work(number):
        (tmp_path / str(number)).touch()
        return np.zeros(1000)

    with closing(run_tasks(work, range(300), runner=ClusterRunner(client), window=6)) as found:
        for taken in range(1, 11):
            next(found)
            time.sleep(0.05)
            assert len(list(tmp_path.iterdir())) <= taken + 6
    assert tasks_on(client) == []


def test_a_worker_lost_while_the_function_is_copied_from_it_costs_nothing(client, monkeypatch):
    def replicate(futures):
        raise AssertionError  # all that Dask's scheduler says then

    monkeypatch.setattr(client, "replicate", replicate)
    outcomes = run_tasks(lambda n: n + 1, range(20), runner=ClusterRunner(client))
    assert sorted(item.value for item in outcomes) == list(range(1, 21))


def test_an_error_arrives_as_what_it_is_with_the_workers_traceback(client):
    def work(number):
        raise UnknownBranchError.among("MET_ptt", ["MET_pt"], tree="Events", file="a.root")

    with pytest.raises(UnknownBranchError, match="MET_pt") as caught:
        list(run_tasks(work, range(10), runner=ClusterRunner(client)))
    assert caught.value.context["file"] == "a.root"
    assert "in work" in caught.value.context["traceback"]
    assert tasks_on(client) == []


def test_a_result_that_cannot_be_sent_is_the_tasks_error(client):
    with pytest.raises((PartitionFailedError, SystemFaultError)):
        list(run_tasks(lambda _: threading.Lock(), range(2), runner=ClusterRunner(client)))


def test_killed_workers_cost_time_and_nothing_else():
    def work(number):
        time.sleep(0.03)
        return number, os.getpid()

    with LocalBackend(2, threads_per_worker=1) as client:
        killed = []
        found = []
        for taken, outcome in enumerate(run_tasks(work, range(120), runner=ClusterRunner(client))):
            found.append(outcome.value[0])
            if taken in {10, 60}:
                killed.append(outcome.value[1])
                os.kill(outcome.value[1], signal.SIGKILL)
        assert sorted(found) == list(range(120))
        assert len(set(killed)) == 2


def test_a_task_that_kills_its_workers_is_a_clear_error_and_spares_the_others():
    def work(number):
        if number == 3:
            os._exit(1)
        return number

    with LocalBackend(2, threads_per_worker=1) as client:
        runner = ClusterRunner(client)
        outcomes = list(run_tasks(work, range(6), runner=runner, on_error="skip"))
        values = sorted(item.value for item in outcomes if item.error is None)
        errors = {item.position: item.error for item in outcomes if item.error is not None}
        assert 3 in errors
        assert isinstance(errors[3], SystemFaultError)
        assert "SXDASK_PARTITION_BYTES" in str(errors[3].hint)
        assert sorted([*values, *errors]) == list(range(6))


def test_a_restarted_cluster_costs_another_try():
    def work(number):
        time.sleep(0.02)
        return number

    with LocalBackend(2, threads_per_worker=1) as client:
        found = []
        for outcome in run_tasks(work, range(60), runner=ClusterRunner(client)):
            found.append(outcome.value)
            if len(found) == 10:
                client.restart()
        assert sorted(found) == list(range(60))


def test_a_lost_scheduler_is_a_clear_error_and_no_hang():
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
    )
    client = Client(cluster)
    try:
        found = run_tasks(lambda _: time.sleep(0.02), range(500), runner=ClusterRunner(client))
        next(found)
        cluster.close()
        began = time.monotonic()
        with pytest.raises(SystemFaultError, match="scheduler"):
            list(found)
        assert time.monotonic() - began < 20
    finally:
        client.close()
        cluster.close()


def test_a_cluster_without_workers_does_not_hang():
    with LocalBackend(1, threads_per_worker=1, processes=False) as client:
        client.cluster.scale(0)  # a worker that only ends is replaced
        client.sync(client.cluster._correct_state)
        runner = ClusterRunner(client, no_worker_seconds=0.5)
        with pytest.raises(SystemFaultError, match="no worker"):
            list(run_tasks(abs, [1, 2], runner=runner))


SCRIPT = """
    import sys, time
    from pathlib import Path
    from sxdask.deliver.runner import choose_runner
    from sxdask.deliver.stream import run_tasks

    def work(number):
        time.sleep(0.05)
        return number

    if __name__ == "__main__":
        client = None
        if sys.argv[1] == "cluster":
            from sxdask.clusters.backends.local import LocalBackend
            backend = LocalBackend(2, threads_per_worker=1)
            client = backend.start()
        runner = choose_runner(client, None if client else sys.argv[1])
        try:
            for outcome in run_tasks(work, range(10_000), runner=runner):
                print("got", outcome.value, flush=True)
        except KeyboardInterrupt:
            print("interrupted", flush=True)
        if client is not None:
            deadline = time.monotonic() + 10
            while client.futures and time.monotonic() < deadline:
                time.sleep(0.05)
            print("futures", len(client.futures), flush=True)
            backend.close()
"""


@pytest.mark.parametrize("where", ["sync", "threads", "processes", "cluster"])
def test_ctrl_c_ends_the_program_soon_and_cleanly(where, tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    process = subprocess.Popen(
        [sys.executable, str(script), where],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("got")
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to every process of the job
        began = time.monotonic()
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert time.monotonic() - began < 20
    assert "interrupted" in out
    assert process.returncode == 0
    assert "Traceback" not in err
    if where == "cluster":
        assert "futures 0" in out
    assert gone(process.pid)


def gone(group):
    """Return whether no process of the job is left, a moment after its end."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False
