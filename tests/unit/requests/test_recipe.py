"""Recipes: what a YAML file means, and what is said of one that means nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sxdask.core.errors import RecipeError
from sxdask.requests.recipe import Generate, load_recipe
from sxdask.requests.yaml_text import MAX_RECIPE_BYTES, YamlText

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sxdask.requests.recipe import Recipe


@pytest.fixture
def load(tmp_path) -> Callable[[str], Recipe]:
    """Return a function that reads a recipe from its text."""

    def from_text(text: str) -> Recipe:
        path = tmp_path / "recipe.yaml"
        path.write_text(text)
        return load_recipe(path)

    return from_text


def refusal(load: Callable[[str], Recipe], text: str) -> RecipeError:
    with pytest.raises(RecipeError) as caught:
        load(text)
    return caught.value


def test_a_recipe_has_all_of_a_request(load):
    recipe = load(
        "title: Muons\n"
        "description: some\n"
        "dataset: {files: [a.root, b.root], name: two}\n"
        "tree: Events\n"
        "where: nMuon >= 2\n"
        "define: {ht: sum(Jet_pt)}\n"
        "select: [event, 'Muon_*', ht]\n"
        "deliver: {to: out, format: parquet, compression: 'zstd:9', merge: file}\n"
        "partition_bytes: 8 MB\n"
    )
    assert recipe.title == "Muons"
    assert recipe.language == "native"
    assert recipe.request == {
        "tree": "Events",
        "where": "nMuon >= 2",
        "define": {"ht": "sum(Jet_pt)"},
        "select": ["event", "Muon_*", "ht"],
    }
    assert recipe.deliver is not None
    assert (recipe.deliver.to, recipe.deliver.format) == ("out", "parquet")
    assert (recipe.deliver.compression, recipe.deliver.merge) == ("zstd:9", "file")
    assert recipe.partition_bytes == 8_000_000


@pytest.mark.parametrize(
    "select",
    [
        "{event: event, twice: MET_pt * 2}",
        "[event, {twice: MET_pt * 2}]",
        "[{event: event}, {twice: MET_pt * 2}]",
    ],
)
def test_columns_may_be_a_list_or_a_mapping(load, select):
    request = load(f"select: {select}").request
    assert request["select"] == ["event", "twice"]
    assert request["define"]["twice"] == "MET_pt * 2"


def test_without_select_all_columns_are_meant(load):
    assert "select" not in load("where: nMuon > 0").request


def test_several_conditions_stay_a_list(load):
    assert load("where: [nMuon > 0, MET_pt > 30]").request["where"] == ["nMuon > 0", "MET_pt > 30"]


@pytest.mark.parametrize(
    "selection", ['\'[{"treename": "Events"}]\'', "[{treename: Events, cut: null}]"]
)
def test_other_languages_take_text_or_structure(load, selection):
    recipe = load(f"language: uproot-raw\nselection: {selection}")
    assert recipe.request == recipe.selection
    assert "Events" in str(recipe.request)


def test_relative_paths_begin_at_the_recipe(load, tmp_path):
    assert load("dataset: {files: data/*.root}").source == str(tmp_path / "data" / "*.root")
    names = load('dataset: {files: ["a.root?files=2", /b.root, root://h//c.root, ~/d.root]}').source
    assert names == [f"{tmp_path}/a.root?files=2", "/b.root", "root://h//c.root", "~/d.root"]
    assert load("dataset: {files: {a.root: T, b.root: null}}").source == {
        f"{tmp_path}/a.root": "T",
        f"{tmp_path}/b.root": None,
    }


def test_a_recipe_may_leave_its_dataset_open(load):
    assert load("select: [event]").source is None


def test_generated_data_have_defaults(load):
    recipe = load("dataset: {generate: {num_events: 1_000}}")
    assert recipe.dataset is not None
    assert recipe.dataset.generate == Generate(num_events=1000)
    assert recipe.source is None


@pytest.mark.parametrize(
    ("text", "line", "place", "hint"),
    [
        ("title: a\nselct: [event]", 2, "selct", "'select'"),
        ("dataset:\n  generate: {num_events: 5, file: 2}", 2, "dataset.generate.file", "'files'"),
        ("dataset: {fils: a.root}", 1, "dataset.fils", "'files'"),
        ("deliver: {to: a, zip: 3}", 1, "deliver.zip", "the keys are to, format"),
    ],
)
def test_an_unknown_key_is_refused_with_the_close_one(load, text, line, place, hint):
    error = refusal(load, text)
    assert f"recipe.yaml:{line}: {place}: there is no such key" in error.problem
    assert error.hint is not None
    assert hint in error.hint
    assert error.context["line"] == line


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "dataset:\n  generate:\n    num_events: ten",
            "recipe.yaml:3: dataset.generate.num_events",
        ),
        ("dataset: {generate: {files: 2}}", "dataset.generate.num_events: field required"),
        ("dataset: {generate: {num_events: -1}}", "greater than or equal to 0"),
        (
            "dataset: {files: a, generate: {num_events: 5}}",
            "one of 'files', 'generate' and 'sample'",
        ),
        ("dataset: {}", "one of 'files', 'generate' and 'sample'"),
        ("select:\n- event\n- 7", "recipe.yaml:3: select.1: should be text, not '7'"),
        ("select:\n- event\n- weight: 1", "recipe.yaml:3: select.1.weight: should be text"),
        ("where: 5", "recipe.yaml:1: where: should be text"),
        ("partition_bytes: 8 MX", "'8 MX' is not a size"),
        ("partition_bytes: 0", "greater than or equal to 1"),
        ("deliver: {to: a, format: csv}", "deliver.format: input should be 'arrow', 'parquet'"),
        ("selection: abc", "'selection' is for other languages"),
        ("language: uproot-raw\nselect: [a]", "'select' is for the native language"),
        ("language: uproot-raw", "needs a 'selection'"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place(load, text, said):
    assert said in refusal(load, text).problem


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("where: a\nwhere: b", "recipe.yaml:2: key 'where' is here twice"),
        ("dataset: {files: a, files: b}", "key 'files' is here twice"),
        ("a: [", "recipe.yaml:1:"),
        ("where: *nothing", "recipe.yaml:1:"),
        ("!!python/object/apply:os.system [ls]", "recipe.yaml:1:"),
        ("- a\n- b", "it holds no keys"),
        ("", "it holds no keys"),
        ("[" * 20_000, "nested too deeply"),
        ("a: &a [*a]", "a"),
    ],
)
def test_what_is_no_recipe_is_refused(load, text, said):
    assert said in refusal(load, text).problem


def test_anchors_may_be_used(load):
    recipe = load("define: {a: &cut nMuon > 1}\nwhere: *cut")
    assert recipe.where == "nMuon > 1"


@pytest.mark.parametrize("kind", ["missing", "directory", "binary", "large"])
def test_a_file_that_cannot_be_read_is_refused(tmp_path, kind):
    path: Path = tmp_path / "recipe.yaml"
    if kind == "directory":
        path.mkdir()
    elif kind == "binary":
        path.write_bytes(b"\xff\xfe\x00root")
    elif kind == "large":
        path.write_text("a: " + "b" * MAX_RECIPE_BYTES)
    with pytest.raises(RecipeError, match=r"recipe\.yaml"):
        load_recipe(path)


def test_a_text_that_is_read_twice_has_the_same_values_and_its_own(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text("base: &base\n  met: MET_pt\nselect:\n  <<: *base\n  met: [MET_sumEt]\n")
    first, second = YamlText(path), YamlText(path)
    assert (
        first.values
        == second.values
        == {
            "base": {"met": "MET_pt"},
            "select": {"met": ["MET_sumEt"]},
        }
    )
    first.values["select"]["met"].append("changed")
    assert second.values["select"]["met"] == YamlText(path).values["select"]["met"] == ["MET_sumEt"]
    assert second.line(["select", "met"]) == 5
