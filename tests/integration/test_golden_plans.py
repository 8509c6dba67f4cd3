"""The plan of every recipe is text that a physicist can review; it changes only on purpose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sxdask as sx
from sxdask.pipeline.compile import optimized_plan
from sxdask.plan.explain import explain_text, show
from sxdask.requests.recipe import load_recipe
from sxdask.testing.generated import generated_files

if TYPE_CHECKING:
    from collections.abc import Callable

GRAPHS = Path(__file__).parents[2] / "graphs"
CASES: dict[str, Callable[[sx.Dataset], sx.Query]] = {
    "case_select_then_where": lambda data: (
        data.select("MET_pt", twice="MET_pt * 2").where("twice > 100").select("twice")
    ),
    "case_constants": lambda data: data.where("MET_pt > 2 * 25").select("MET_pt"),
    "case_same_condition_twice": lambda data: (
        data.where("nMuon >= 2").where("(nMuon >= 2) & (MET_pt > 20)").select("Muon_pt")
    ),
}
SAME_QUERY: dict[str, object] = {
    "native": {"where": "(nMuon >= 2) & (MET_pt > 50)", "select": ["Muon_pt", "MET_pt"]},
    "uproot-raw": [
        {
            "treename": "Events",
            "cut": "(nMuon >= 2) & (MET_pt > 50)",
            "expressions": ["Muon_pt", "MET_pt"],
            "fail_on_missing_trees": True,
        }
    ],
    "func_adl": """
        EventDataset()
        .Where(lambda e: e.nMuon >= 2 and e.MET_pt > 50)
        .Select(lambda e: {'Muon_pt': e.Muon_pt, 'MET_pt': e.MET_pt})
    """,
    "qastle": """
        (call Select
            (call Where (call EventDataset)
                (lambda (list e) (and (>= (attr e 'nMuon') 2) (> (attr e 'MET_pt') 50))))
            (lambda (list e)
                (dict (list 'Muon_pt' 'MET_pt') (list (attr e 'Muon_pt') (attr e 'MET_pt')))))
    """,
    "tcut": {"selection": "nMuon >= 2 && MET_pt > 50", "columns": ["Muon_pt", "MET_pt"]},
    "skyhook": "select nMuon >= 2 && MET_pt > 50, project Events.Muon_pt,Events.MET_pt",
}
RECIPES = sorted((GRAPHS / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_plan_matches_golden(recipe, tmp_path_factory, request, golden):
    data = load_recipe(recipe).dataset
    assert data is not None
    if data.sample is not None:
        file = request.getfixturevalue("samples") / data.sample
    else:
        assert data.generate is not None, "other recipes here generate their data"
        few = data.generate.model_copy(update={"num_events": 50, "files": 1})
        (file,) = generated_files(few, tmp_path_factory.getbasetemp())
    query = sx.load(recipe, dataset=sx.dataset(file))
    golden(recipe.stem, f"# {query.title}\n\n{plan_text(query)}\n")


@pytest.mark.parametrize("case", CASES)
def test_plan_of_a_chained_query_matches_golden(case, nanoaod, golden):
    golden(case, f"{plan_text(CASES[case](sx.dataset(nanoaod)))}\n")


@pytest.mark.parametrize("language", SAME_QUERY)
def test_one_query_in_any_language_is_one_plan(language, nanoaod, golden):
    data = sx.dataset(nanoaod)
    query = sx.request(language, SAME_QUERY[language], dataset=data)
    native = sx.request("native", SAME_QUERY["native"], dataset=data)
    assert query.fingerprint == native.fingerprint
    golden("case_same_query", show(optimized_plan(query.plan, query.source)[0]))


def test_every_golden_belongs_to_a_recipe_or_a_case():
    stems = {path.stem for path in (GRAPHS / "golden").glob("*.txt")}
    plans = {name for name in stems if not name.startswith("kubernetes_")}  # specs of clusters
    assert plans == {"case_same_query", *CASES, *(path.stem for path in RECIPES)}


def plan_text(query: sx.Query) -> str:
    """Return logical plan, rewrites and optimised plan, without anything of the files."""
    _, steps = optimized_plan(query.plan, query.source)
    return explain_text(query.plan, steps)
