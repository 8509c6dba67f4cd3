"""Objects as the rows, fields and items of a query, and what they become at its end."""

from __future__ import annotations

import pytest

from sxdask.graph.kernel import compile_program, run
from sxdask.plan.nodes import Project
from tests.unit.plan.func_adl.atlas import FLOATS, ROWS, plan_of, value_of

PT = FLOATS["AnalysisMuons"]["pt"]
ABOUT = pytest.approx


def columns_of(query):
    """Return the columns that a query computes from the rows of the small tree."""
    (output,) = plan_of(query).outputs
    assert isinstance(output.root, Project)
    names, expressions = zip(*output.root.outputs, strict=True)
    values = run(compile_program(expressions), ROWS)
    return {name: value.to_list() for name, value in zip(names, values, strict=True)}


def test_objects_may_be_the_rows_of_a_query():
    found = columns_of(
        "EventDataset().Select(lambda e: e.Muons()).Select(lambda m: m.Select(lambda x: x.pt()))"
    )
    assert found == {"": PT}


@pytest.mark.parametrize(
    ("record", "muons", "tracks"),
    [
        ("{'m': e.Muons(), 't': e.Tracks()}", "c.m", "c.t"),
        ("(e.Muons(), e.Tracks())", "c[0]", "c[1]"),
    ],
)
def test_objects_may_be_the_fields_of_a_record(record, muons, tracks):
    found = columns_of(
        f"EventDataset().Select(lambda e: {record})"
        f".Select(lambda c: {{'n': {muons}.Count(), 'd0': {tracks}.Select(lambda t: t.d0())}})"
    )
    assert found["n"] == [3, 2, 1]
    assert found["d0"][1] == [ABOUT(0.04)]


def test_select_many_over_objects_gives_their_variables_side_by_side():
    query = (
        "EventDataset().SelectMany(lambda e: e.Muons()).Where(lambda m: m.pt() > 22500)"
        ".Select(lambda m: {'pt': m.pt(), 'eta': m.eta()})"
    )
    assert plan_of(query).outputs[0].shape.items
    assert columns_of(query)["pt"] == [[], [23e3, 24e3], [25e3]]


def test_linked_objects_are_a_sequence_of_their_own():
    tracks = "e.Muons().Select(lambda m: m.inDetTrackParticleLink())"
    assert value_of(f"{tracks}.Count()").to_list() == [3, 2, 1]
    there = f"{tracks}.Where(lambda t: t.isValid())"
    assert value_of(f"{there}.Count()").to_list() == [2, 1, 0]
    assert value_of(f"{there}.OrderBy(lambda t: t.d0()).Select(lambda t: t.d0())").to_list() == [
        [ABOUT(0.01), ABOUT(0.03)],
        [ABOUT(0.04)],
        [],
    ]


def test_links_of_all_objects_can_be_joined():
    body = "e.Electrons().SelectMany(lambda x: x.trackParticleLinks()).Select(lambda t: t.d0())"
    assert value_of(body).to_list() == [[ABOUT(0.02), ABOUT(0.01)], [], [None]]


def test_two_loops_meet_over_a_link():
    body = (
        "e.Muons().Select(lambda m: e.Tracks()"
        ".Where(lambda t: t.d0() > m.inDetTrackParticleLink().d0()).Count())"
    )
    assert value_of(body).to_list() == [[0, 2, 0], [0, 0], [0]]


def test_four_vectors_of_missing_objects_are_missing():
    body = "e.Muons().Select(lambda m: m.inDetTrackParticleLink().p4().{})"
    masses = value_of(body.format("M()")).to_list()
    assert masses == [[ABOUT(139.57039), ABOUT(139.57039), None], [None, ABOUT(139.57039)], [None]]
    momenta = value_of(body.format("Pt()")).to_list()
    plain = value_of("e.Muons().Select(lambda m: m.inDetTrackParticleLink().pt())").to_list()
    assert momenta == [[x if x is None else ABOUT(x) for x in event] for event in plain]


def test_four_vectors_of_two_kinds_of_objects_combine():
    body = "e.Muons().First().p4().{}(e.Electrons().Select(lambda x: x.p4()).{})"
    query = f"EventDataset().Select(lambda e: {body.format('DeltaR', 'First()')})"
    (output,) = plan_of(query).outputs
    events = {name: column[[0, 2]] for name, column in ROWS.items()}
    ((_, expr),) = output.root.outputs
    (found,) = run(compile_program([expr]), events)
    assert found.to_list() == [ABOUT(0.0, abs=1e-6), ABOUT(0.0, abs=1e-6)]


@pytest.mark.parametrize(
    "note",
    ["add_method_type_info", "add_atlas_event_collection_info"],
)
def test_notes_for_a_compiler_change_nothing(note):
    plain = "EventDataset().Select(lambda e: e.Muons().Count())"
    noted = f"EventDataset().MetaData({{'metadata_type': '{note}', 'name': 'Muons'}})"
    assert plan_of(plain.replace("EventDataset()", noted)) == plan_of(plain)
