"""Failures by cause, the limit of what may fail, and texts without credentials."""

from __future__ import annotations

import json
import pickle

import pytest

from sxdask.core.errors import (
    CorruptBasketError,
    PartitionFailedError,
    ReadFailedError,
    RequestError,
)
from sxdask.deliver.failures import FailureReport, Tally, public_text
from sxdask.deliver.manifest import Failure
from sxdask.deliver.tasks import Labels
from tests.readers import pieces

PARTS = [Labels("f00d").part(item) for item in pieces(12)]


def broken(number: int) -> tuple[Failure, CorruptBasketError]:
    part = PARTS[number]
    error = CorruptBasketError(
        f"basket {number} of 'Muon_pt' in {part.file!r} cannot be decompressed",
        traceback=f"Traceback of {number}",
    )
    return Failure.of(part, error), error


def refused(number: int) -> tuple[Failure, ReadFailedError]:
    error = ReadFailedError("refused by https://me:hunter2@host/a.root?sig=abc")
    return Failure.of(PARTS[number], error, attempts=4), error


def test_failures_that_differ_in_file_and_numbers_are_one_cause():
    tally = Tally(12, "skip")
    for failure, error in (broken(0), refused(5), broken(9), broken(4)):
        tally.add(failure, error)
    first, second = tally.report.causes
    assert (first.code, first.count) == ("SX302", 3)
    assert first.message == "basket <n> of 'Muon_pt' in '<file>' cannot be decompressed"
    assert first.example.index == 0
    assert first.traceback == "Traceback of 0"
    assert (second.count, second.message) == (1, "refused by https://host/a.root")
    assert second.example.attempts == 4


def test_a_report_reads_well_as_text_html_and_json():
    tally = Tally(12, "skip")
    tally.add(*broken(4))
    tally.add(*broken(5))
    report = tally.report
    assert str(report).splitlines() == [
        "2 of 12 partitions failed, one cause",
        "  2 x [SX302] basket <n> of 'Muon_pt' in '<file>' cannot be decompressed",
        "      first: partition 4, /data/1.root:Events, entries 0 to 10",
    ]
    assert "Traceback of 4" in report._repr_html_()
    assert "&#x27;&lt;file&gt;&#x27;" in report._repr_html_()
    values = json.loads(report.to_json())
    assert (values["failed"], values["partitions"]) == (2, 12)
    assert values["causes"][0]["first"]["file"] == "/data/1.root"
    assert values["causes"][0]["traceback"] == "Traceback of 4"
    assert "Traceback of 4" in report.tracebacks()
    assert pickle.loads(pickle.dumps(report)) == report


def test_an_empty_report_is_false_and_says_so():
    assert not FailureReport(4)
    assert str(FailureReport(4)) == "none of 4 partitions failed"


def test_raise_bears_nothing_and_gives_the_first_error_with_the_report():
    failure, error = broken(3)
    with pytest.raises(CorruptBasketError) as caught:
        Tally(12, "raise").add(failure, error)
    assert caught.value is error
    assert caught.value.context["report"].failures == (failure,)


@pytest.mark.parametrize(
    ("max_failed", "borne"), [(0, 0), (2, 2), (0.0, 0), (0.25, 3), (0.29, 3), (1.0, 11), (None, 11)]
)
def test_one_more_than_may_fail_ends_the_run(max_failed, borne):
    tally = Tally(12, "skip", max_failed)
    for number in range(borne):
        tally.add(*broken(number))
    tally.finish()

    def one_more():
        tally.add(*broken(borne))
        tally.finish()

    with pytest.raises(PartitionFailedError, match=f"{borne + 1} of 12 partitions") as caught:
        one_more()
    report = caught.value.context["report"]
    assert len(report) == borne + 1
    assert "basket" in caught.value.problem
    assert pickle.loads(pickle.dumps(caught.value)).context["report"] == report


def test_shares_of_many_partitions_are_not_lost_to_rounding():
    tally = Tally(100, "skip", 0.29)
    for _ in range(29):
        tally.add(*broken(1))
    with pytest.raises(PartitionFailedError):
        tally.add(*broken(1))


@pytest.mark.parametrize("max_failed", [-1, 1.5, -0.1, True, "5", float("nan")])
def test_a_limit_out_of_range_is_refused(max_failed):
    with pytest.raises(RequestError, match="max_failed"):
        Tally(12, "skip", max_failed)


def test_a_limit_without_skipping_is_refused():
    with pytest.raises(RequestError) as caught:
        Tally(12, "raise", 3)
    assert "on_error='skip'" in str(caught.value.hint)


def test_only_raise_and_skip_are_policies():
    with pytest.raises(RequestError, match="ignore"):
        Tally(12, "ignore")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("open https://u:p@h/a.root failed", "open https://h/a.root failed"),
        ("GET 's3://b/k?X-Amz-Signature=ab&x=1'", "GET 's3://b/k'"),
        ("{'token': 'abcdef', 'n': 1}", "{'token': '***', 'n': 1}"),
        ("Authorization: Bearer abc.def", "Authorization: Bearer ***"),
        ("secret_key=hunter2;", "secret_key=***;"),
        ("key 0123456789 is wrong", "key *** is wrong"),
        ("events with mass 91.2 and token of a tree", "events with mass 91.2 and token of a tree"),
    ],
)
def test_what_may_be_a_credential_is_taken_out(text, public):
    assert public_text(text, {"AWS_SECRET_ACCESS_KEY": "0123456789", "A_TOKEN": "x"}) == public
