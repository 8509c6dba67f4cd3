"""Progress is the fold of the events, in whatever order partitions finish."""

from __future__ import annotations

import pickle
from dataclasses import fields
from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.events import (
    PartitionDone,
    PartitionFailed,
    Progress,
    ReadReport,
    RunFinished,
    RunStarted,
    advance,
)

COUNTS = st.integers(0, 2**62)
# Eighths of a second add up exactly, whatever the order.
SECONDS = st.integers(0, 2**20).map(lambda number: number / 8)
REPORTS = st.builds(
    ReadReport,
    **{
        item.name: SECONDS if item.name.startswith("seconds") else COUNTS
        for item in fields(ReadReport)
    },
)
DONE = st.builds(
    PartitionDone,
    index=st.integers(0, 1000),
    file=st.text(max_size=5),
    rows=COUNTS,
    report=REPORTS,
    last_of_file=st.booleans(),
)
FAILED = st.builds(
    PartitionFailed,
    index=st.integers(0, 1000),
    file=st.text(max_size=5),
    code=st.just("SX302"),
    message=st.text(max_size=5),
)


@given(events=st.lists(DONE | FAILED, max_size=20), data=st.data())
def test_totals_are_the_sums_in_any_order(events, data) -> None:
    start = RunStarted(partitions=len(events), files=3, entries=100, bytes_to_read=1_000)
    shuffled = data.draw(st.permutations(events))
    state = reduce(advance, [start, *shuffled, RunFinished(2.0)], Progress())
    done = [event for event in events if isinstance(event, PartitionDone)]
    assert state == reduce(advance, [start, *events, RunFinished(2.0)], Progress())
    assert state.done == len(done)
    assert state.failed == len(events) - len(done)
    assert state.rows == sum(event.rows for event in done)
    assert state.files_done == sum(event.last_of_file for event in done)
    for item in fields(ReadReport):
        total = sum(getattr(event.report, item.name) for event in done)
        assert getattr(state.report, item.name) == total, item.name
    assert (state.partitions, state.files, state.entries) == (len(events), 3, 100)
    assert state.seconds == 2.0


@given(report=REPORTS)
def test_an_empty_report_adds_nothing(report) -> None:
    assert report + ReadReport() == report == ReadReport() + report


def test_a_run_is_unfinished_until_its_end() -> None:
    state = advance(Progress(), RunStarted(1, 1, 10, 10))
    assert state.seconds is None
    assert Progress().done == 0


@given(event=DONE | FAILED)
def test_events_travel_from_workers(event) -> None:
    assert pickle.loads(pickle.dumps(event)) == event
