"""Partitions that failed, grouped by cause, and when there are too many of them.

One broken file may stop hundreds of partitions, so a report says each cause
once: its code, its message without what differs between partitions, how many
partitions it stopped, and the first of them with its traceback.
"""

from __future__ import annotations

import json
import math
import os
import re
from dataclasses import dataclass, replace
from html import escape
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import PartitionFailedError, RequestError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.core.errors import SxdaskError
    from sxdask.deliver.manifest import Failure
    from sxdask.deliver.stream import OnError

_IN_MESSAGE = 3  # causes that the message of an error names; the report has all
_HINT = "the report in this error's context names every cause, with one traceback each"

_USER = re.compile(r"(?<=://)[^/\s'\"]+@")
_QUERY = re.compile(r"(\w+://[^\s'\"?]+)\?[^\s'\"]*")
_VALUE = re.compile(
    r"((?:secret|token|passw(?:or)?d|authorization|signature|credential)[\w-]*['\"]?\s*[:=]\s*"
    r"['\"]?(?:bearer\s+|basic\s+)?)[^\s'\",;&)}\]]+",
    re.IGNORECASE,
)
_SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSW", re.IGNORECASE)
_SHORTEST_SECRET = 8  # a shorter value would be found in innocent words

_PLACE = re.compile(r"\w+://[^\s'\",;]+|(?<![\w.])/[^\s'\",;:]+")
_NUMBER = re.compile(r"0x[0-9a-f]+|\b[0-9a-f]{12,}\b|\d[\d,_.]*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason why partitions failed.

    `message` is that of the first failure if all of them say the same, else
    with ``<file>`` and ``<n>`` for what differs. `example` is the first
    failure, `traceback` that of its worker.
    """

    code: str
    message: str
    count: int
    example: Failure
    traceback: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        first = self.example
        return {
            "code": self.code,
            "message": self.message,
            "partitions": self.count,
            "first": {
                "partition": first.index,
                "output": first.output,
                "file": first.file,
                "tree": first.tree,
                "entry_start": first.entry_start,
                "entry_stop": first.entry_stop,
                "message": first.message,
                "attempts": first.attempts,
            },
            "traceback": self.traceback,
        }


@dataclass(frozen=True, slots=True)
class FailureReport:
    """All failures of a run of `total` partitions. Empty (and false) if nothing failed.

    It prints as text and, in a notebook, as a table; `to_json` has everything.
    No credential is in it: user names and queries of URLs are taken out.
    """

    total: int = 0
    failures: tuple[Failure, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.failures)

    def __len__(self) -> int:
        return len(self.failures)

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The causes, the most frequent first."""
        found: dict[tuple[str, str], list[Failure]] = {}
        for item in self.failures:
            found.setdefault(cause_of(item), []).append(item)
        return tuple(sorted(map(_cause, found.values()), key=lambda cause: -cause.count))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "partitions": self.total,
            "failed": len(self.failures),
            "causes": [cause.to_dict() for cause in self.causes],
        }

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    def tracebacks(self) -> str:
        """Return one traceback a cause, as text."""
        return "\n".join(
            f"{cause.count} x [{cause.code}] {cause.message}\n{cause.traceback}"
            for cause in self.causes
        )

    @property
    def headline(self) -> str:
        """One line: how many failed, of how many causes."""
        if not self.failures:
            return f"none of {self.total} partitions failed"
        causes = len(self.causes)
        return (
            f"{len(self.failures)} of {self.total} partitions failed, "
            f"{'one cause' if causes == 1 else f'{causes} causes'}"
        )

    def __str__(self) -> str:
        lines = [self.headline]
        for cause in self.causes:
            lines.append(f"  {cause.count} x [{cause.code}] {_one_line(cause.message)}")
            lines.append(f"      first: {_where(cause.example)}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<FailureReport {self}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><td>{cause.count}</td><td>{escape(cause.code)}</td>"
            f"<td>{escape(cause.message)}</td><td>{escape(_where(cause.example))}</td>"
            f"<td><details><summary>show</summary><pre>{escape(cause.traceback)}</pre>"
            "</details></td></tr>"
            for cause in self.causes
        )
        head = "".join(
            f"<th>{text}</th>" for text in ("partitions", "code", "cause", "first", "traceback")
        )
        table = f"<table><tr>{head}</tr>{rows}</table>" if rows else ""
        return f"<p><b>{escape(self.headline)}</b></p>{table}"


class Tally:
    """Counts failures of one run against what it may bear.

    Parameters
    ----------
    total
        Partitions of the run, those of an earlier run that were found included.
    on_error
        ``"raise"`` bears none.
    max_failed
        Most partitions that may fail, as a number or as a share of `total`;
        None bears any but all.

    Raises
    ------
    RequestError
        If `max_failed` is out of range, or nothing is to be skipped.
    """

    def __init__(self, total: int, on_error: OnError, max_failed: float | None = None) -> None:
        check_policy(on_error, max_failed)
        self.total = total
        self._skips = on_error == "skip"
        self._limit = _limit(total, max_failed)
        self._asked = max_failed
        self._failures: list[Failure] = []
        self._told: set[tuple[str, str]] = set()

    @property
    def report(self) -> FailureReport:
        """What failed so far."""
        return FailureReport(self.total, tuple(self._failures))

    @property
    def failures(self) -> tuple[Failure, ...]:
        """What failed so far; of each cause the first has the traceback."""
        return tuple(self._failures)

    def add(self, failure: Failure, error: SxdaskError) -> None:
        """Note a failure.

        Raises
        ------
        SxdaskError
            `error` itself if nothing may fail, else `PartitionFailedError` if
            this is one too many; the report is in the context of either.
        """
        cause = cause_of(failure)
        self._failures.append(replace(failure, traceback="") if cause in self._told else failure)
        self._told.add(cause)
        if not self._skips:
            raise error.add(report=self.report)
        if len(self._failures) > self._limit:
            raise self._too_many(f"max_failed={self._asked}")

    def finish(self) -> None:
        """Check that something is left.

        Raises
        ------
        PartitionFailedError
            If every partition failed.
        """
        if self.total and len(self._failures) == self.total:
            raise self._too_many("all of them")

    def _too_many(self, why: str) -> PartitionFailedError:
        report = self.report
        causes = report.causes
        named = [
            f"{cause.count} x [{cause.code}] {_one_line(cause.message)}"
            for cause in causes[:_IN_MESSAGE]
        ]
        if len(causes) > _IN_MESSAGE:
            named.append(f"and {len(causes) - _IN_MESSAGE} more causes")
        first = causes[0].example
        return PartitionFailedError(
            f"{len(report)} of {report.total} partitions failed ({why}): {'; '.join(named)}",
            hint=_HINT,
            report=report,
            file=first.file,
            tree=first.tree,
            entry_start=first.entry_start,
            entry_stop=first.entry_stop,
            traceback=causes[0].traceback,
        )


def check_policy(on_error: str, max_failed: Any = None) -> None:
    """Check what a user says about failures.

    Raises
    ------
    RequestError
        If there is no such policy, or the limit is out of range.
    """
    if on_error not in ("raise", "skip"):
        raise RequestError(f"on_error is {on_error!r}", hint="use 'raise' or 'skip'")
    if max_failed is None:
        return
    if on_error == "raise":
        raise RequestError(
            "max_failed says how many partitions may be skipped, and none is",
            hint="add on_error='skip'",
        )
    is_share = isinstance(max_failed, float) and 0 <= max_failed <= 1
    is_count = type(max_failed) is int and max_failed >= 0  # True is an int as well
    if not (is_share or is_count):
        raise RequestError(
            f"max_failed is {max_failed!r}",
            hint="use a whole number of partitions, or a share from 0.0 to 1.0",
        )


def _limit(total: int, max_failed: Any) -> int:
    if max_failed is None:
        return total
    if isinstance(max_failed, float):
        return math.floor(max_failed * total + 1e-9)  # 0.29 * 100 is a little less than 29
    return int(max_failed)


def public_text(text: str, environ: Mapping[str, str] | None = None) -> str:
    """Return `text` without what may be a credential.

    Users and queries of URLs, what follows words such as ``token=``, and the
    values that the environment's secrets have.

    Examples
    --------
    >>> public_text("https://me:secret@host/a.root?X-Amz-Signature=1f is gone", {})
    'https://host/a.root is gone'
    """
    for name, value in (os.environ if environ is None else environ).items():
        if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET:
            text = text.replace(value, "***")
    text = _QUERY.sub(r"\1", _USER.sub("", text))
    return _VALUE.sub(r"\1***", text)


def cause_of(failure: Failure) -> tuple[str, str]:
    """Return code and message of `failure` without what differs between partitions."""
    message = failure.message
    if failure.file:
        message = message.replace(failure.file, "<file>")
    return failure.code, _NUMBER.sub("<n>", _PLACE.sub("<file>", message))


def _cause(failures: list[Failure]) -> Cause:
    first = failures[0]
    same = all(item.message == first.message for item in failures)
    traceback = next((item.traceback for item in failures if item.traceback), "")
    message = first.message if same else cause_of(first)[1]
    return Cause(first.code, message, len(failures), first, traceback)


def _where(failure: Failure) -> str:
    output = f" of {failure.output!r}" if failure.output else ""
    return (
        f"partition {failure.index}{output}, {failure.file}:{failure.tree}, "
        f"entries {failure.entry_start} to {failure.entry_stop}"
    )


def _one_line(message: str) -> str:
    return " ".join(message.split())
