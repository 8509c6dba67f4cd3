"""What the engine knows of a transform, and when it gives one up: values and times alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from sxdask.core.errors import RequestError
from sxdask.service.transforms.course import Course
from sxdask.service.transforms.limits import EngineLimits
from sxdask.service.transforms.naming import object_name
from sxdask.service.transforms.orders import Report
from sxdask.service.transforms.ports import DatasetFile, NewTransform, Transform
from sxdask.service.transforms.states import State, Status
from sxdask.service.transforms.watching import overdue, silent, standstill

NEW = NewTransform("t", "s", "uproot-raw", "parquet", "volume", "key")
RUNNING = State(Status.RUNNING, files=4, looked_up=True)
WRONG = Report("", code="SX101", message="tree 'Events' has no branch 'x'", of_request=True)
GOOD = Report("", rows=10, bytes=20, bytes_read=1000, seconds=1.0)


@pytest.fixture
def course():
    now = datetime.now(UTC)
    transform = Transform("id", 1, NEW, "did", 1, RUNNING, now)
    made = Course(transform, 0.0)
    made.add(DatasetFile(number, (f"/data/{number}.root",)) for number in range(4))
    return made


def works(course):
    return list(course.files.values())


def test_a_file_is_taken_once_and_again_only_when_it_is_done(course):
    files = [work.file for work in works(course)]
    assert course.add(files) == []
    before = frozenset(course.done)
    course.end(works(course)[0], GOOD, 1.0)
    assert course.add(files, before) == []  # the store was asked before that
    assert course.left == 3
    assert [work.file.id for work in course.add(files, frozenset(course.done))] == [0]
    assert course.left == 4


def test_files_with_the_same_mistake_are_one_mistake(course):
    for work in works(course)[:2]:
        said = f"file '{work.file.paths[0]}' has no tree 'x'"
        course.end(work, replace(WRONG, message=said), 1.0)
    assert course.mistake(3) is None
    work = works(course)[2]
    course.end(work, replace(WRONG, message=f"file '{work.file.paths[0]}' has no tree 'x'"), 1.0)
    assert "the first 3 files" in course.mistake(3)
    assert "<file>" in course.mistake(3)
    assert course.mistake(0) is None


@pytest.mark.parametrize(
    "other", [GOOD, replace(WRONG, message="another"), replace(WRONG, of_request=False)]
)
def test_one_file_that_fares_otherwise_makes_it_no_mistake(course, other):
    for work, report in zip(works(course), [WRONG, WRONG, other, WRONG], strict=True):
        course.end(work, report, 1.0)
    assert course.mistake(3) is None


def test_progress_counts_every_file_that_is_left_once(course):
    one, two, three, four = works(course)
    one.send("a", "name", 60.0)
    two.send("b", "name", 60.0)
    assert one.hear("tcp://w", "reading", 10, 1.0)
    assert not one.hear("tcp://w", "reading", 10, 2.0)
    three.phase = "ending"
    course.end(four, GOOD, 2.0)
    course.began = 0.0
    told = course.progress(2.0, [one, two, three])
    assert (told.queued, told.reading, told.computing, told.uploading) == (1, 1, 0, 1)
    assert told.seconds_left == 6.0


def test_speed_is_of_the_last_seconds(course):
    one, two, *_ = works(course)
    one.send("a", "name", 60.0)
    course.sample(0.0, [one])
    one.hear("w", "reading", 500, 1.0)
    course.sample(1.0, [one])
    assert course.progress(1.0).bytes_per_second == 500.0
    course.end(two, GOOD, 2.0)
    course.sample(2.0, [one])
    assert course.progress(2.0).bytes_per_second == 750.0
    assert course.progress(60.0).bytes_per_second == 0.0


def test_a_worker_is_silent_if_it_tells_of_none_of_its_files(course):
    one, two, three, _ = works(course)
    for work, worker, heard in ((one, "a", 0.0), (two, "b", 0.0), (three, "b", 50.0)):
        work.send(worker, "name", 60.0)
        work.hear(worker, "reading", 0, heard)
    assert silent(works(course), 59.0) == {}
    assert silent(works(course), 61.0) == {"a": [one]}
    assert set(silent(works(course), 111.0)) == {"a", "b"}


def test_a_try_is_overdue_long_after_its_worker_should_have_ended_it(course):
    work = works(course)[0]
    work.send("a", "name", 60.0)
    assert not overdue(work, 1e9)  # it waits for a worker
    work.hear("w", "reading", 0, 10.0)
    assert not overdue(work, 180.0)
    assert overdue(work, 191.0)


def test_a_transform_that_waits_for_its_turn_is_no_standstill(course):
    assert standstill(course, [], (90.0, 0.0), 100.0, "") is None
    assert standstill(course, [], (150.0, 100.0), 100.0, "") is None  # others move on
    assert "no worker" in str(standstill(course, [], (250.0, 100.0), 100.0, "no worker"))
    work = works(course)[0]
    work.send("a", "name", 60.0)
    work.hear("w", "reading", 0, 0.0)
    assert standstill(course, [work], (150.0, 140.0), 100.0, "") is not None  # its own do not
    course.moved = 140.0
    assert standstill(course, [work], (150.0, 0.0), 100.0, "") is None


def test_a_transform_whose_files_are_not_found_says_so(course):
    looking = State(Status.LOOKUP)
    empty = Course(replace(course.transform, state=looking), 0.0)
    assert "no file of its dataset" in str(standstill(empty, [], (101.0, 0.0), 100.0, ""))
    empty.trouble = "the bucket cannot be made"
    assert "the bucket cannot be made" in str(standstill(empty, [], (101.0, 0.0), 100.0, ""))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("root://me:pw@host//store/run.7/nano_3.root?x=1", "nano_3-41.parquet"),
        ("/data/a.root.gz", "a_root_gz-41.parquet"),
        ("/data/.root", "file-41.parquet"),
        ("/data/ä ß*;:.root", "______-41.parquet"),
        (f"/data/{'n' * 500}.root", f"{'n' * 100}-41.parquet"),
    ],
)
def test_names_are_flat_safe_and_short(path, name):
    assert object_name(path, 41, "parquet") == name
    assert object_name(path, 41, "root-rntuple").endswith("-41.root")


@pytest.mark.parametrize(
    "wrong",
    [{"tries": 0}, {"still_seconds": 0}, {"files": -1}, {"weights": {1: 0.0}}, {"fail_fast": -1}],
)
def test_limits_that_make_no_sense_are_refused(wrong):
    with pytest.raises(RequestError):
        EngineLimits(**wrong)
