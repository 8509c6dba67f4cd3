"""Numbers, selections, causes and plans as the pages show them."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from sxdask.service.database.overview import ResultLine
from sxdask.service.pages.failures import FILES_SHOWN, by_cause
from sxdask.service.pages.plans import PlanRequest, Plans, explained_apart
from sxdask.service.pages.selection import MOST, pretty
from sxdask.service.pages.shown import count, duration, moment, percent, size
from tests.pages import QASTLE, RAW


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (83_240_000, "83.2 MB")),
        *((99_950_000, "100 MB"), (999_600_000, "1.0 GB"), (5.4e18, "5400 PB")),
    ],
)
def test_sizes_have_three_digits(number, text):
    assert size(number).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-1, "0.0 s"), (1.24, "1.2 s"), (9.96, "10 s"), (59.6, "1 min"), (60, "1 min")),
        *((61, "1 min 1 s"), (3_599, "59 min 59 s"), (3_600, "1 h"), (7_260, "2 h 1 min")),
        *((86_400, "1 d"), (90_000, "1 d 1 h"), (10**8, "1157 d 9 h")),
    ],
)
def test_spans_have_two_units(seconds, text):
    assert duration(seconds).replace("\N{NO-BREAK SPACE}", " ") == text


def test_counts_and_times_are_short():
    assert count(1_234_567).replace("\N{NARROW NO-BREAK SPACE}", " ") == "1 234 567"
    assert moment(None) == "\N{EN DASH}"
    assert moment(datetime(1999, 12, 31, 23, 59, tzinfo=UTC)) == "31 Dec 1999 23:59"


def test_a_bar_is_full_at_the_end_only():
    assert percent(99_999, 100_000) == 99.99
    assert percent(999_999, 1_000_000) == 99.99
    assert percent(5, 5) == 100
    assert percent(0, 0) == 0


def test_selections_are_taken_apart_for_reading():
    assert "null" not in pretty("uproot-raw", RAW)
    assert json.loads(pretty("uproot-raw", RAW))[0]["treename"] == "Events"
    shown = pretty("uproot", QASTLE)
    assert " ".join(shown.split()).replace("( ", "(") == QASTLE
    assert max(map(len, shown.splitlines())) <= 88
    code = "def run_query(path):\n    return 'é'"
    assert pretty("python", base64.b64encode(code.encode()).decode()) == code


@pytest.mark.parametrize("codegen", ["uproot", "uproot-raw", "python", "tcut", "of later"])
@pytest.mark.parametrize(
    "text", ["", ")", "(" * 10_000, "(a 'b", "[" * 10_000, "{}", "\0", "'" * 99, "(a))(b"]
)
def test_what_is_no_selection_is_shown_as_it_is(codegen, text):
    assert pretty(codegen, text).replace("\n", "").replace(" ", "") == text.replace(" ", "")


def test_a_long_selection_is_cut():
    assert len(pretty("tcut", "x" * 10 * MOST)) < MOST + 100


def failure(number: int, path: str, message: str, code: str = "SX401") -> ResultLine:
    now = datetime.now(UTC)
    return ResultLine(number, path, False, "", 0, 0, 1.0, code, message, now)


def test_messages_that_name_their_file_are_one_cause():
    found = by_cause(
        [
            *(failure(n, f"/d/{n}.root", f"/d/{n}.root: no answer in {n} s") for n in range(30)),
            failure(40, "/d/x.root", "x.root has no tree 'Events' (hint: use one of 'a (b)', 'c')"),
            failure(41, "/d/y.root", "y.root has no tree 'Events'\n  hint: use one"),
            failure(42, "/d/y.root", "", ""),
        ]
    )
    assert [cause.count for cause in found] == [30, 2, 1]
    assert len(found[0].files) == FILES_SHOWN
    assert found[0].more == 30 - FILES_SHOWN
    assert found[1].hint == "use one of 'a (b)', 'c'"
    assert found[1].message == "x.root has no tree 'Events'"
    assert found[2].message == "no message"


def test_a_plan_is_made_once_and_kept(nanoaod):
    plans = Plans()
    wanted = PlanRequest("key", "uproot-raw", RAW, str(nanoaod))
    assert plans.explain(wanted) is None
    found = plans.explain(wanted, wait=60)
    assert found is not None
    assert "bytes to read" in found.text
    assert plans.explain(wanted) is found


def test_a_plan_that_cannot_be_made_says_why(nanoaod, tmp_path):
    wrong = RAW.replace("MET_pt > 50", "MET_ptt > 50")
    found = explained_apart(PlanRequest("", "uproot-raw", wrong, str(nanoaod)), 60)
    assert "MET_ptt" in found.problem
    slow = explained_apart(PlanRequest("", "uproot-raw", RAW, str(nanoaod)), 0.05)
    assert "did not answer" in slow.problem
