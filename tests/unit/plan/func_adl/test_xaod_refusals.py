"""What an xAOD query cannot have is refused by name, at its place, with what to write instead."""

from __future__ import annotations

import pytest

from tests.refusals import error_of
from tests.unit.plan.func_adl.atlas import plan_of

# what the lambda gives, the text at the caret, words of the problem, words of the hint
REFUSED = [
    ("e.Electrons('Electrons')", "e.Elec", "no container 'Electrons'", "'AnalysisElectrons'"),
    ("e.Muons('AnalysisElectrons')", "e.Mu", "class Electron, not Muon", "'AnalysisMuons'"),
    ("e.TruthParticles()", "e.Truth", "needs the name of a container", "'TruthElectrons'"),
    ("e.TruthParticles('TruthBoson')", "e.Truth", "no variables in this file", "'TruthElectrons'"),
    ("e.Photons()", "e.Photons", "no container 'AnalysisPhotons'", "AnalysisMuons"),
    ("e.Jets('AnalysisJets', calibrate=True)", "True", "needs ATLAS C++", "calibrate=False"),
    ("e.Muons(3)", "3", "takes the name of a container", 'e.Muons("AnalysisMuons")'),
    ("e.Muons(e.EventInfo().eventNumber())", "e.EventInfo", "takes constants", None),
    ("e.Muons()", "e.Muons", "only their variables can be stored", "such as pt()"),
    ("{'m': e.Muons(), 'n': 1}", "e.Muons", "only their variables can be stored", "such as pt()"),
    ("e.EventInfo()", "e.EventInfo", "only their variables can be stored", "eventNumber()"),
    ("e.Muons().pt()", "e.Muons().pt", "a method of one object", ".Select(lambda x: x.pt())"),
    ("e.Muons().Select(lambda m: m.pt)", "m.pt", "is not called", "call it: pt()"),
    ("e.Muons().Select(lambda m: m.ptt())", "m.ptt", "no variable 'ptt'", "'pt'"),
    ("e.Muons().Select(lambda m: m.pt(1))", "m.pt", "takes no argument", None),
    ("e.Muons().Select(lambda m: m.pt(unit=1))", "1)", "no argument by name", None),
    ("e.Muons().Select(lambda m: m.charge())", "m.charge", "no variable 'charge'", None),
    ("e.Tracks().Select(lambda t: t.summaryValue(3))", "t.summ", "ATLAS C++", "numberOfPixelHits"),
    ("e.Electrons().Select(lambda x: x.isolation(1))", "x.isol", "ATLAS C++", "topoetcone20"),
    (
        "e.Electrons().Select(lambda x: x.passSelection('Tight'))",
        "x.pass",
        "no variable 'Tight'",
        "physlite.md",
    ),
    (
        "e.Electrons().Select(lambda x: x.getAttributeFloat('topoetcone'))",
        "x.getAttributeFloat",
        "no variable 'topoetcone'",
        "'topoetcone20'",
    ),
    (
        "e.Electrons().Select(lambda x: x.getAttributeInt('pt'))",
        "x.getAttributeInt",
        "'pt' is float32 in the file, and not int",
        None,
    ),
    (
        "e.Electrons().Select(lambda x: x.getAttributeVectorFloat('pt'))",
        "x.getAttributeVectorFloat",
        "'pt' is float32 in the file, and not vector<float>",
        None,
    ),
    (
        "e.Electrons().Select(lambda x: x.auxdataConst['JetScale']('pt'))",
        "x.auxdataConst",
        "'JetScale' is no type",
        "float",
    ),
    ("e.Electrons().Select(lambda x: x.pt['float']('pt'))", "x.pt", "take a type", "physlite.md"),
    ("e.Electrons().Select(lambda x: x.trackParticle(-1).d0())", "x.track", "from 0 on", None),
    ("e.Muons().Select(lambda m: m.isAuthor(99))", "m.isAuthor", "0 to 15", None),
    ("e.EventInfo().mcEventWeight('nominal')", "e.EventInfo().mc", "number of a weight", None),
]


@pytest.mark.parametrize(("body", "at", "problem", "hint"), REFUSED)
def test_what_cannot_be_answered_is_refused(body, at, problem, hint):
    text = f"EventDataset().Select(lambda e: {body})"
    error = error_of(lambda: plan_of(text), "SX103")
    assert problem in error.problem
    assert hint is None or hint in str(error.hint)
    _, line, caret = error.problem.splitlines()
    place = caret.index("^")
    assert line[place:].startswith(at)


def test_an_accessor_needs_an_xaod_file():
    from sxdask.plan.frontend import FRONTENDS
    from tests.unit.plan.schemas import LIMITS, Source

    text = "EventDataset().Select(lambda e: e.Muons().Select(lambda m: m.pt()))"
    error = error_of(lambda: FRONTENDS.load("func_adl")(LIMITS).parse(text, Source()), "SX103")
    assert "no containers" in error.problem
    assert error.hint == "name a branch: e.Muon_pt"


NOTES = ["inject_code", "add_job_script", "add_cpp_function", "define_enum"]


@pytest.mark.parametrize("kind", NOTES)
def test_notes_that_need_cpp_are_refused_by_name(kind):
    text = (
        f"EventDataset().MetaData({{'metadata_type': '{kind}', 'name': 'x'}})"
        ".Select(lambda e: e.Muons().Count())"
    )
    error = error_of(lambda: plan_of(text), "SX103")
    assert kind in error.problem
