"""Query strings of SkyhookDM: what they mean as a plan, and every refusal with its place."""

from __future__ import annotations

from contextlib import suppress

import pytest

from sxdask.core.errors import (
    RequestError,
    RequestTooLargeError,
    SelectionSyntaxError,
    SelectionTypeError,
    UnknownBranchError,
    UnknownTreeError,
    UnreadableBranchError,
)
from sxdask.core.settings import load_settings
from sxdask.plan.codec import plan_from_json, plan_to_json
from sxdask.plan.expr import Binary, Column, Compare, Constant, Unary
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontend import FRONTENDS
from sxdask.plan.nodes import Filter, Output, Plan, Project, Scan
from sxdask.plan.optimize import optimize
from tests.refusals import error_of
from tests.unit.plan.schemas import EVENTS, LIMITS, Source

EVENT_ID = Column("LocalEntry$")


def parse(query):
    return FRONTENDS.load("skyhook")(LIMITS).parse(query, Source())


def condition(text):
    """Return the condition that ``select <text>`` stands for."""
    (output,) = parse(f"select {text}, project MET_pt").outputs
    assert isinstance(output.root, Project)
    source = output.root.source
    return source.predicate if isinstance(source, Filter) else None


def outputs(project):
    (output,) = parse(f"select *, project {project}").outputs
    return [(name, expr.name) for name, expr in output.root.outputs]


def test_the_query_of_the_client_it_replaces():
    found = parse("select event_id>5, project Events;75.Muon_eta,Events;75.Muon_pt")
    columns = (("Muon_eta", Column("Muon_eta")), ("Muon_pt", Column("Muon_pt")))
    wanted = Project(Filter(Scan("Events"), Compare(">", EVENT_ID, Constant(5))), columns)
    assert found == Plan((Output("", wanted),), by_file=True)


def test_blanks_lines_and_capitals_do_not_matter():
    plain = parse("select event_id>5, project Events;75.Muon_eta,Events;75.Muon_pt")
    for text in (
        "  select  event_id > 5 ,project  Events;75.Muon_eta ,  Events;75.Muon_pt  ",
        "SELECT event_id\n> 5,\n  Project Events;75.Muon_eta,\n\tEvents;75.Muon_pt\n",
    ):
        assert parse(text) == plain


def test_a_star_is_every_event_and_every_readable_column():
    readable = [(field.name, field.name) for field in EVENTS.fields if field.reason is None]
    for text in ("select *", "select*", "select *, project *", "select *, project Events;75.*"):
        (output,) = parse(text).outputs
        assert output.root.source == Scan("Events")
        assert [(name, expr.name) for name, expr in output.root.outputs] == readable


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("event_id >= 5", Compare(">=", EVENT_ID, Constant(5))),
        ("5 < event_id", Compare("<", Constant(5), EVENT_ID)),
        ("event_id = 5", Compare("==", EVENT_ID, Constant(5))),
        ("event_id <> 5", Compare("!=", EVENT_ID, Constant(5))),
        ("Events;75.MET_pt > -1.5e1", Compare(">", Column("MET_pt"), Constant(-15.0))),
        ("Events.MET_pt > .5", Compare(">", Column("MET_pt"), Constant(0.5))),
        ("Jets.fPt != +3", Compare("!=", Column("Jets.fPt"), Constant(3))),
        ("HLT_A", Column("HLT_A")),
        ("!HLT_A", Unary("~", Column("HLT_A"))),
        ("not not HLT_A", Column("HLT_A")),
        ("nMuon < year", Compare("<", Column("nMuon"), Column("year"))),
        ("event > 18446744073709551615", Compare(">", Column("event"), Constant(2**64 - 1))),
    ],
)
def test_a_condition_is_a_comparison_of_columns_and_numbers(text, wanted):
    assert condition(text) == wanted


def test_and_binds_tighter_than_or_and_words_are_signs():
    a, b, c = Column("HLT_A"), Column("HLT_B"), Compare(">", EVENT_ID, Constant(5))
    wanted = Binary("|", a, Binary("&", Unary("~", b), c))
    assert condition("HLT_A || !HLT_B && event_id > 5") == wanted
    assert condition("HLT_A or not HLT_B AND event_id > 5") == wanted
    grouped = Binary("&", Binary("|", a, b), c)
    assert condition("((HLT_A || HLT_B)) && (event_id > 5)") == grouped


@pytest.mark.parametrize(
    ("project", "wanted"),
    [
        ("MET_pt", [("MET_pt", "MET_pt")]),
        ("Events.MET_pt", [("MET_pt", "MET_pt")]),
        ("Events;75.Jets.fPt", [("Jets.fPt", "Jets.fPt")]),
        ("Jets.fPt", [("Jets.fPt", "Jets.fPt")]),
        ("Events;75.Jets/Jets.fPt", [("Jets.fPt", "Jets.fPt")]),
        ("Events;75.odd name/x", [("odd name/x", "odd name/x")]),
        ("event_id, Events;75.event_id", [("event_id", "LocalEntry$")]),
        ("Events;75.HLT_*", [("HLT_A", "HLT_A"), ("HLT_B", "HLT_B")]),
        ("MET_pt, Events;75.MET_pt", [("MET_pt", "MET_pt")]),
    ],
)
def test_a_column_is_named_as_its_branch(project, wanted):
    assert outputs(project) == wanted


def test_the_tree_comes_from_the_names_then_from_the_request_then_from_the_dataset():
    (output,) = parse("select *, project Runs;1.lumi").outputs
    assert output.root.source == Scan("Runs")
    (output,) = parse({"selection": "select lumi > 0", "tree": "Runs"}).outputs
    assert output.root.source.source == Scan("Runs")
    (output,) = parse("select *").outputs
    assert output.root.source == Scan("Events")


def test_the_same_request_in_the_native_language_has_the_same_fingerprint():
    native = FRONTENDS.load("native")(LIMITS)
    request = {"where": "(nMuon >= 2) & (MET_pt > 50)", "select": ["Muon_pt", "MET_pt"]}
    query = "select nMuon >= 2 && MET_pt > 50, project Events;75.Muon_pt, Events;75.MET_pt"
    plans = [native.parse(request, Source()), parse(query)]
    marks = {fingerprint(optimize(plan, {"Events": EVENTS})[0]) for plan in plans}
    assert len(marks) == 1
    assert [plan.by_file for plan in plans] == [False, True]


def test_a_plan_keeps_that_it_goes_by_file():
    plan = parse("select event_id > 5")
    assert plan_from_json(plan_to_json(plan)) == plan


@pytest.mark.parametrize(
    ("query", "kind", "place", "says"),
    [
        ("", SelectionSyntaxError, 0, "begins with 'select'"),
        ("project MET_pt", SelectionSyntaxError, 0, "begins with 'select'"),
        ("select", SelectionSyntaxError, 6, "the condition ends here"),
        ("select , project MET_pt", SelectionSyntaxError, 7, "the condition ends here"),
        ("select *, MET_pt", SelectionSyntaxError, 10, "followed by 'project'"),
        ("select * project MET_pt", SelectionSyntaxError, 7, "a column or a number"),
        ("select *, project", SelectionSyntaxError, 17, "a column is missing"),
        ("select *, project MET_pt,,run", SelectionSyntaxError, 25, "a column is missing"),
        ("select *, project Events;75", SelectionSyntaxError, 27, "missing after the tree"),
        ("select *, project Events;74.run", SelectionSyntaxError, 25, "older cycle"),
        ("select *, project Events;9.run", SelectionSyntaxError, 25, "Events;75, Events;74"),
        ("select *, project MET_pt, Runs;1.lumi, Events;75.run", SelectionSyntaxError, 39, "one"),
        ("select event_id > 5 &, project run", SelectionSyntaxError, 20, "does not join"),
        ("select event_id 5", SelectionSyntaxError, 16, "not expected"),
        ("select event_id >", SelectionSyntaxError, 17, "the condition ends here"),
        ("select > 5", SelectionSyntaxError, 7, "'>' is here"),
        ("select 1 < event_id < 9", SelectionSyntaxError, 20, "two sides"),
        ("select 1 < 2", SelectionSyntaxError, 7, "two numbers"),
        ("select event_id > -HLT_A", SelectionSyntaxError, 19, "a number is expected"),
        ("select event_id > 99999999999999999999", SelectionSyntaxError, 18, "64 bits"),
        ("select event_id > 5cm", SelectionSyntaxError, 18, "begin with a digit"),
        ("select (event_id > 5", SelectionSyntaxError, 7, "not closed"),
        ("select event_id > 5)", SelectionSyntaxError, 19, "closes nothing"),
        ("select !event_id > 5", SelectionSyntaxError, 7, "differently"),
        ("select event_id + 1 > 5", SelectionSyntaxError, 16, "'+' is not expected"),
        ("select label == 'x'", SelectionSyntaxError, 16, "is not part"),
        ("select Muon_pt > 5", SelectionTypeError, 7, "a list per event"),
        ("select MET_pt", SelectionTypeError, 7, "not boolean"),
        ("select MET_ptt > 5", UnknownBranchError, 7, "MET_ptt"),
        ("select *, project Events;75.MET_ptt", UnknownBranchError, 28, "MET_ptt"),
        ("select *, project broken", UnreadableBranchError, 18, "cannot be read"),
    ],
)
def test_a_mistake_is_shown_at_its_place(query, kind, place, says):
    error = error_of(lambda: parse(query), kind.code)
    assert says in error.problem
    shown, caret = error.problem.splitlines()[1:]
    assert shown == query
    assert caret.index("^") == place


def test_a_tree_or_pattern_that_leads_nowhere_is_said():
    assert "'Runs'" in str(error_of(lambda: parse("select *, project Evts;1.run"), "SX204"))
    assert "'zz*'" in str(error_of(lambda: parse("select *, project zz*"), "SX101"))
    with pytest.raises(UnknownTreeError):
        parse({"selection": "select *", "tree": "Nothing"})


@pytest.mark.parametrize(
    "request_", [3, None, b"select *", {"selection": "select *", "cut": "x"}, {"tree": "Events"}]
)
def test_what_is_no_query_is_refused(request_):
    assert error_of(lambda: parse(request_), "SX100").fault == "user"


HOSTILE = [
    "select __import__('os').system('true')",
    "select event_id > 5; drop table Events",
    "select " + "(" * 100_000,
    "select " + "!" * 100_000 + "HLT_A",
    "select " + "HLT_A && " * 50_000 + "HLT_A",
    "select *, project " + "run," * 100_000 + "run",
    "select *, project " + "x" * 500_000,
    "select " + "a" * 500_000,
    "select event_id > " + "9" * 500_000,
    "select event_id\x00 > 5",
    "select \u200bevent_id > 5",
    "select ev\u00e9nement > 5",
    "select *, project Events;99999999999999999999999.run",
    "\ud800",
]


@pytest.mark.parametrize("query", HOSTILE, ids=[repr(text)[:30] for text in HOSTILE])
def test_hostile_text_is_refused_at_once(query):
    error = error_of(lambda: parse(query), "SX101", "SX102", "SX104")
    assert error.fault == "user"


def test_a_query_beyond_the_size_limit_is_refused():
    small = load_settings({"SXDASK_MAX_SELECTION_BYTES": "100"})
    with pytest.raises(RequestTooLargeError):
        FRONTENDS.load("skyhook")(small).parse("select *" + " " * 100, Source())


def test_a_deep_condition_is_refused_and_a_long_one_is_not():
    deep = "(" * 300 + "HLT_A" + ")" * 300
    assert error_of(lambda: condition(deep), "SX104")
    assert condition(" && ".join(["event_id > 1"] * 1000)) is not None


def test_every_refusal_is_one_of_ours():
    """Cut a good query at every place: what is left is a query or a clear refusal."""
    query = "select event_id>5 && !(HLT_A || MET_pt <= 1.5e3), project Events;75.Muon_*,run"
    for stop in range(len(query)):
        with suppress(RequestError):
            parse(query[:stop])
