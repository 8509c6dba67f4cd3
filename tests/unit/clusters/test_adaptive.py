"""How many workers a queue is worth."""

from __future__ import annotations

import asyncio
import threading
import time

import numpy as np
import pytest

from sxdask.clusters.adaptive import ANNOTATION, QueuedBytes
from sxdask.clusters.backends.local import LocalBackend
from sxdask.deliver.runners.cluster import ClusterRunner
from sxdask.deliver.stream import run_tasks


class Scheduler:
    """What the plugin takes of a scheduler: tasks with annotations, workers, an answer."""

    def __init__(self) -> None:
        self.tasks: dict[object, object] = {}
        self.workers: dict[str, object] = {}
        self.handlers: dict[str, object] = {}

    def adaptive_target(self, target_duration: object = None) -> int:  # noqa: ARG002 - Dask's
        return 7

    def say(self, key: object, *said: object) -> None:
        self.tasks[key] = type("Task", (), {"annotations": {ANNOTATION: said} if said else None})()


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


def started(scheduler: Scheduler, seconds: float = 10.0) -> QueuedBytes:
    found = QueuedBytes(seconds)
    asyncio.run(found.start(scheduler))
    return found


def test_it_answers_in_the_place_of_the_scheduler(scheduler):
    found = started(scheduler)
    assert scheduler.adaptive_target == found.target
    assert scheduler.handlers["adaptive_target"] == found.target
    assert scheduler.adaptive_target(target_duration="5s") == 7  # tasks of others are Dask's


def test_bytes_decide_and_not_tasks(scheduler):
    found = started(scheduler)
    for number in range(100):
        scheduler.say(number, "run", 10 * 1000 * 1000, 0, 0)
        found.transition(number, "released", "waiting")
    assert found.queued == (100, 10**9)
    assert found.target() == 5  # 1 GB at 20 MB a second in 10 s
    for number in range(100):
        found.transition(number, "processing", "memory")
    assert found.queued == (0, 0)
    assert found.target() == 7


def test_what_is_not_submitted_yet_counts(scheduler):
    found = started(scheduler)
    scheduler.say("a", "run", 1000, 999, 20 * 10**9)
    found.transition("a", "released", "waiting")
    assert found.target() == 101
    found.transition("a", "waiting", "released")  # the client is gone
    assert found.queued == (0, 0)


def test_there_are_never_more_workers_than_tasks(scheduler):
    found = started(scheduler)
    scheduler.say("a", "run", 10**12, 1, 10**12)
    found.transition("a", "released", "waiting")
    assert found.target() == 2


def test_a_little_work_is_worth_one_worker(scheduler):
    found = started(scheduler)
    scheduler.say("a", "run", 0, 0, 0)
    found.transition("a", "released", "waiting")
    assert found.target() == 1


def test_the_rate_is_measured(scheduler):
    found = started(scheduler)
    scheduler.say("a", "run", 10**6, 0, 0)
    found.transition("a", "released", "waiting")
    phases = [{"action": "compute", "start": 0.0, "stop": 2.0}]
    found.transition("a", "processing", "memory", startstops=phases)
    assert found.rate == pytest.approx(5e5)


def test_a_restart_forgets_the_queue(scheduler):
    found = started(scheduler)
    scheduler.say("a", "run", 10**6, 5, 10**6)
    found.transition("a", "released", "waiting")
    found.restart(scheduler)
    assert found.queued == (0, 0)


class Weighed:
    """An item of a run, with the bytes that it reads."""

    decoded_bytes = 10 * 1000 * 1000

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds


def test_a_run_tells_a_real_scheduler_what_it_has_and_holds_back():
    seen: list[tuple[int, int]] = []
    ended = threading.Event()
    with LocalBackend(1, threads_per_worker=1, processes=False) as client:
        plugin = QueuedBytes(1.0)
        client.register_plugin(plugin)
        (held,) = [
            item for item in client.cluster.scheduler.plugins.values() if type(item) is QueuedBytes
        ]

        def watch() -> None:
            while not ended.wait(0.01):
                seen.append(held.queued)

        watcher = threading.Thread(target=watch)
        watcher.start()
        items = [Weighed(0.01)] * 40
        done = list(
            run_tasks(lambda item: time.sleep(item.seconds), items, runner=ClusterRunner(client))
        )
        ended.set()
        watcher.join()
        assert len(done) == 40
        assert max(np.array(seen)[:, 1]) == 40 * Weighed.decoded_bytes
        assert held.rate < 1.5e9  # 10 MB in 10 ms and what a task costs besides
        deadline = time.monotonic() + 10
        while held.queued != (0, 0):
            assert time.monotonic() < deadline
            time.sleep(0.01)
