"""The life of a transform as a pure function: state and event give the next state.

No clock, no database, no Dask. Events may come in any order, late and twice; an
event that says nothing new gives the same state. Whoever stores states does it
in one transaction with what the event brought (a result row, a reason).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TypeAlias, assert_never

from sxdask.core.errors import RequestError


class Status(StrEnum):
    """What the client of ServiceX knows; the values are its words."""

    SUBMITTED = "Submitted"
    PENDING_LOOKUP = "Pending Lookup"
    LOOKUP = "Lookup"
    RUNNING = "Running"
    COMPLETE = "Complete"
    CANCELED = "Canceled"
    FATAL = "Fatal"
    BAD_DATASET = "Bad Dataset"

    @property
    def is_final(self) -> bool:
        """Whether a client stops asking; only a resubmission leads on from there."""
        return self in _FINAL


_FINAL = frozenset({Status.COMPLETE, Status.CANCELED, Status.FATAL, Status.BAD_DATASET})


@dataclass(frozen=True, slots=True)
class State:
    """Where a transform stands.

    `files` are those known so far, `completed` and `failed` those that are
    done; `looked_up` says that no more files will be found. `reason` is why it
    is not complete, one readable line.
    """

    status: Status = Status.SUBMITTED
    files: int = 0
    completed: int = 0
    failed: int = 0
    looked_up: bool = False
    reason: str = ""

    @property
    def remaining(self) -> int:
        """Files that are known and not done."""
        return self.files - self.completed - self.failed


@dataclass(frozen=True, slots=True)
class LookupStarted:
    """The dataset's files are being looked for; `shared`: for another transform already."""

    shared: bool = False


@dataclass(frozen=True, slots=True)
class FilesFound:
    """`count` more files belong to the transform."""

    count: int


@dataclass(frozen=True, slots=True)
class LookupDone:
    """No more files will be found; `reason` says why, where there is none at all."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class LookupFailed:
    """The dataset cannot be had; `reason` for people."""

    reason: str


@dataclass(frozen=True, slots=True)
class FileDone:
    """One file has its result, told for the first time."""

    ok: bool


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """The user does not want it any more."""


@dataclass(frozen=True, slots=True)
class Broken:
    """It cannot go on: no progress beyond the limit, storage gone, a defect; `reason` says it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Resubmitted:
    """`count` failed files are to be tried again under the same id."""

    count: int


Event: TypeAlias = (
    LookupStarted
    | FilesFound
    | LookupDone
    | LookupFailed
    | FileDone
    | CancelAsked
    | Broken
    | Resubmitted
)


def step(state: State, event: Event) -> State:
    """Return the state after `event`; a final state changes by a resubmission alone.

    Raises
    ------
    RequestError
        If the user asks for what is not possible: to cancel a transform that has
        ended, to try files again while it runs, or where none failed.
    """
    if isinstance(event, Resubmitted):
        return _resubmitted(state, event.count)
    if state.status.is_final:
        if isinstance(event, CancelAsked):
            raise RequestError(
                f"the transform has ended already: {state.status}",
                hint="delete it to remove its results",
            )
        return state
    return _going_on(state, event)


def _going_on(state: State, event: Event) -> State:
    match event:
        case LookupStarted(shared):
            if state.status is not Status.SUBMITTED:
                return state
            return replace(state, status=Status.PENDING_LOOKUP if shared else Status.LOOKUP)
        case FilesFound(count):
            return replace(state, status=Status.RUNNING, files=state.files + count)
        case LookupDone(reason):
            told = reason if not state.files else state.reason
            return _settled(replace(state, looked_up=True, status=Status.RUNNING, reason=told))
        case LookupFailed(reason):
            return replace(state, status=Status.BAD_DATASET, reason=reason)
        case FileDone(ok):
            done = replace(state, completed=state.completed + ok, failed=state.failed + (not ok))
            return _settled(done)
        case CancelAsked():
            return replace(state, status=Status.CANCELED, reason="canceled by the user")
        case Broken(reason):
            return replace(state, status=Status.FATAL, reason=reason)
        case Resubmitted():
            return state
        case _:
            assert_never(event)


def _settled(state: State) -> State:
    """Return `state`, complete if nothing is left to do."""
    if state.looked_up and state.remaining <= 0:
        return replace(state, status=Status.COMPLETE)
    return state


def _resubmitted(state: State, count: int) -> State:
    if not state.status.is_final or state.status is Status.BAD_DATASET:
        raise RequestError(
            f"files cannot be tried again while the transform is {state.status}",
            hint="wait until it has ended" if not state.status.is_final else "submit it again",
        )
    if not 0 < count <= state.failed:
        raise RequestError("no file of the transform failed", hint="there is nothing to try again")
    return replace(state, status=Status.RUNNING, failed=state.failed - count, reason="")
