"""The queue of recipes: what it promises to slots and clients that come, go and die."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING

import pytest
import yaml

from sxdask.clusters.batch import queue as module
from sxdask.clusters.batch.queue import Queue, targets
from sxdask.core.errors import RecipeError, RequestError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def queue(tmp_path: Path) -> Queue:
    return Queue(tmp_path / "queue")


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text("dataset: {files: [a.root, 'https://host/b.root']}\nselect: [event]\n")
    return path


def submit(queue: Queue, recipe: Path, retries: int = 3) -> int:
    return queue.submit(recipe, "out", cluster="local", options={}, retries=retries).id


def test_a_job_is_the_recipe_as_it_was_with_its_files_where_they_are(queue, recipe):
    number = submit(queue, recipe)
    recipe.write_text("nothing of it")
    values = yaml.safe_load(queue.recipe(number).read_text())
    assert values["dataset"]["files"] == [str(recipe.parent / "a.root"), "https://host/b.root"]
    assert values["select"] == ["event"]


def test_what_is_no_recipe_is_refused_and_not_queued(queue, recipe):
    recipe.write_text("selekt: [event]")
    with pytest.raises(RecipeError):
        submit(queue, recipe)
    assert queue.jobs() == []


def test_jobs_are_given_out_once_and_in_order(queue, recipe):
    numbers = [submit(queue, recipe) for _ in range(20)]
    slots = [queue.enter("local", "{}", pid) for pid in (os.getpid(), os.getppid())]
    given: list[int] = []

    def take(slot: int) -> None:
        while (job := queue.claim(slot, "local", "{}")) is not None:
            given.append(job.id)
            queue.end(job, "done")

    threads = [threading.Thread(target=take, args=(slot,)) for slot in slots]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == numbers
    assert {job.state for job in queue.jobs()} == {"done"}


def test_a_slot_takes_jobs_of_its_own_cluster_only(queue, recipe):
    submit(queue, recipe)
    slot = queue.enter("lab", "{}")
    assert queue.claim(slot, "lab", "{}") is None
    assert queue.claim(slot, "local", '{"maximum": 3}') is None
    assert queue.waiting("local", "{}")


def test_a_job_waits_for_the_pause_before_its_next_try(queue, recipe):
    submit(queue, recipe)
    slot = queue.enter("local", "{}")
    job = queue.claim(slot, "local", "{}")
    queue.again(job, "the cluster is gone", 60)
    assert queue.claim(slot, "local", "{}") is None
    assert queue.waiting("local", "{}")
    assert queue.job(job.id).error == "the cluster is gone"


def test_what_a_dead_slot_was_at_is_queued_again(queue, recipe):
    number = submit(queue, recipe, retries=1)
    for attempt in (1, 2):
        dead = queue.enter("local", "{}", pid=2**22 - 1)  # above every process of this machine
        assert queue.claim(dead, "local", "{}").attempts == attempt
        queue.recover()
    job = queue.job(number)
    assert (job.state, job.error) == ("failed", "its slot died")


def test_a_slot_of_another_machine_is_dead_when_it_says_nothing(queue, recipe, monkeypatch):
    submit(queue, recipe)
    with monkeypatch.context() as patch:
        patch.setattr("socket.gethostname", lambda: "elsewhere")
        slot = queue.enter("local", "{}", pid=1)
    queue.claim(slot, "local", "{}")
    queue.recover()
    assert queue.jobs()[0].state == "running"
    monkeypatch.setattr(module, "STALE_S", 0.01)
    time.sleep(0.02)
    queue.recover()
    assert queue.jobs()[0].state == "queued"


def test_a_slot_that_was_taken_for_dead_changes_nothing_any_more(queue, recipe):
    submit(queue, recipe)
    slow = queue.enter("local", "{}", pid=2**22 - 1)
    late = queue.claim(slow, "local", "{}")
    queue.recover()
    other = queue.enter("local", "{}")
    queue.claim(other, "local", "{}")
    queue.end(late, "failed", "of the slow one")
    job = queue.job(late.id)
    assert (job.state, job.attempts, job.slot) == ("running", 2, other)


def test_cancelling_ends_what_waits_and_marks_what_runs(queue, recipe):
    first, second = submit(queue, recipe), submit(queue, recipe)
    slot = queue.enter("local", "{}")
    queue.claim(slot, "local", "{}")
    assert queue.cancel(second).state == "cancelled"
    running = queue.cancel(first)
    assert (running.state, running.cancel) == ("running", 1)
    queue.leave(slot)
    assert queue.job(first).state == "cancelled"
    with pytest.raises(RequestError, match="no batch job 9"):
        queue.job(9)


def test_recipes_deliver_to_folders_of_their_names(tmp_path, recipe):
    other = tmp_path / "other.yaml"
    other.write_text("dataset: {files: a.root}\ndeliver: {to: 's3://bucket/x'}\n")
    assert targets([recipe, other], "s3://bucket/all/") == {
        recipe: "s3://bucket/all/recipe",
        other: "s3://bucket/all/other",
    }
    assert targets([recipe, other], None) == {recipe: "", other: "s3://bucket/x"}
    again = tmp_path / "below" / "recipe.yaml"
    again.parent.mkdir()
    again.write_text(recipe.read_text())
    with pytest.raises(RequestError, match="two of the recipes would deliver to"):
        targets([recipe, again], "out")


def test_the_queue_is_for_its_user_alone(queue):
    assert queue.folder.stat().st_mode & 0o077 == 0
