"""The life of a transform, in every order that events may come in."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.errors import RequestError
from sxdask.service.transforms.states import (
    Broken,
    CancelAsked,
    FileDone,
    FilesFound,
    LookupDone,
    LookupFailed,
    LookupStarted,
    Resubmitted,
    State,
    Status,
    step,
)

if TYPE_CHECKING:
    from sxdask.service.transforms.states import Event


def after(*events, state=None):
    state = state or State()
    for event in events:
        state = step(state, event)
    return state


def test_the_usual_life():
    events: list[tuple[Event, Status]] = [
        (LookupStarted(), Status.LOOKUP),
        (FilesFound(2), Status.RUNNING),
        (FileDone(ok=True), Status.RUNNING),
        (FilesFound(1), Status.RUNNING),
        (FileDone(ok=True), Status.RUNNING),
        (LookupDone(), Status.RUNNING),
        (FileDone(ok=False), Status.COMPLETE),
    ]
    state = State()
    for event, status in events:
        state = step(state, event)
        assert state.status is status
    assert (state.files, state.completed, state.failed, state.remaining) == (3, 2, 1, 0)


def test_nothing_found_is_complete_with_no_files():
    assert after(LookupStarted(), LookupDone()) == State(Status.COMPLETE, looked_up=True)


def test_files_and_their_ends_may_come_in_any_order():
    events: list[Any] = [LookupStarted(), FilesFound(2), FilesFound(1), LookupDone()]
    events += [FileDone(ok=True), FileDone(ok=True), FileDone(ok=False)]
    ends = set()
    for order in permutations(range(len(events))):
        chosen = [events[number] for number in order]
        # what is found is found before the lookup ends, and a file before it is done
        done = [n for n, event in enumerate(chosen) if isinstance(event, FileDone)]
        found = [n for n, event in enumerate(chosen) if isinstance(event, FilesFound)]
        known = [
            sum(chosen[n].count for n in found if n < place) > count
            for count, place in enumerate(done)
        ]
        if max(found) < chosen.index(LookupDone()) and all(known):
            ends.add(after(*chosen))
    assert ends == {State(Status.COMPLETE, 3, 2, 1, looked_up=True)}


EVENTS = st.one_of(
    st.builds(LookupStarted, st.booleans()),
    st.builds(FilesFound, st.integers(1, 3)),
    st.just(LookupDone()),
    st.builds(LookupFailed, st.just("no such dataset")),
    st.builds(FileDone, st.booleans()),
    st.just(CancelAsked()),
    st.builds(Broken, st.just("no progress in 600 s")),
)


@given(st.lists(EVENTS, max_size=20))
def test_what_has_ended_stays_ended_whatever_comes(events):
    state, ended = State(), None
    for event in events:
        try:
            state = step(state, event)
        except RequestError:
            assert isinstance(event, CancelAsked)
            assert ended is not None
        if ended is not None:
            assert state == ended
        ended = state if state.status.is_final else None
        assert (state.status is Status.COMPLETE) <= (state.looked_up and state.remaining <= 0)
        assert bool(state.reason) <= (state.status in set(Status) - {Status.COMPLETE})


@given(st.lists(st.booleans(), min_size=1, max_size=8))
def test_failed_files_are_tried_again_under_the_same_id(results):
    ended = after(FilesFound(len(results)), LookupDone(), *map(FileDone, results))
    failed = results.count(False)
    if not failed:
        with pytest.raises(RequestError, match="no file"):
            step(ended, Resubmitted(0))
        return
    again = step(ended, Resubmitted(failed))
    assert (again.status, again.remaining, again.failed) == (Status.RUNNING, failed, 0)
    whole = after(*[FileDone(ok=True)] * failed, state=again)
    assert whole == State(Status.COMPLETE, len(results), len(results), looked_up=True)


@pytest.mark.parametrize("event", [LookupFailed("gone"), Broken("full"), CancelAsked()])
def test_why_it_is_not_complete_is_kept(event):
    ended = after(FilesFound(2), event)
    assert ended.status.is_final
    assert ended.reason
    with pytest.raises(RequestError, match="ended already"):
        step(ended, CancelAsked())


def test_files_of_a_running_transform_are_not_tried_again():
    with pytest.raises(RequestError, match="while the transform is Running"):
        step(after(FilesFound(1)), Resubmitted(1))
    with pytest.raises(RequestError, match="Bad Dataset"):
        step(after(LookupFailed("gone")), Resubmitted(1))
