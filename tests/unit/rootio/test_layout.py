"""Layouts: shared by digest, lazy, with other spellings of names and logical types."""

from __future__ import annotations

import json

import awkward as ak
import pytest

from sxdask.rootio.layout import BranchFacts, TreeLayout, layout_from_json, make_layout, type_of
from sxdask.rootio.model import ColumnLayout


def facts(name: str, path: str = "", dtype: str = "float32", title: str = "") -> BranchFacts:
    column = ColumnLayout(name, path or name, "flat", f'"{dtype}"', ">f4", dtype)
    return BranchFacts(name, path or name, "float", title, column)


def branches(*, title: str = "x of it") -> list[BranchFacts]:
    return [
        facts("x", title=title),
        facts("y", "p/y"),
        BranchFacts("x.obj", "q/x.obj", "Thing", "", None, "its class is not known"),
    ]


def test_equal_branches_share_one_layout_whatever_their_titles():
    first = make_layout(branches())
    assert make_layout(branches(title="another text")) is first
    assert make_layout(branches()[:2]) is not first
    assert make_layout([facts("x", dtype="float64")]).digest != make_layout([facts("x")]).digest


def test_a_layout_goes_through_text_and_back():
    kept = make_layout(branches())
    text, digest, names = kept.to_json(), kept.digest, kept.names
    columns = dict(kept.columns)
    assert layout_from_json(digest, lambda: pytest.fail("held already")) is kept
    again = TreeLayout(digest, json.loads(text))
    assert (again.names, dict(again.columns), again.titles) == (names, columns, kept.titles)


def test_unreadable_branches_are_named_and_no_columns():
    layout = make_layout(branches())
    assert layout.names == ("x", "y", "x.obj")
    assert list(layout.columns) == ["x", "y"]
    assert len(layout.columns) == 2
    assert "x.obj" not in layout.columns
    with pytest.raises(KeyError):
        layout.columns["x.obj"]
    assert layout.unreadable == {"x.obj": "its class is not known"}
    assert layout.schema["x.obj"].reason == "its class is not known"
    assert str(layout.schema["x.obj"].type) == "Thing"


def test_full_paths_are_other_names_of_columns():
    layout = make_layout(branches())
    assert layout.columns["y"].path == "p/y"
    assert [layout.resolve(name) for name in ("y", "p/y", "q/x.obj", "z")] == [
        "y",
        "y",
        "x.obj",
        None,
    ]
    assert layout.schema["p/y"].name == "y"
    assert layout.schema["x"].title == "x of it"


@pytest.mark.parametrize(
    ("array", "text"),
    [
        ([1.5], "float64"),
        ([[1, 2], []], "var * int64"),
        ([["a"]], "var * string"),
        ([{"a": 1, "b": [True]}], "{a: int64, b: var * bool}"),
        ([(1, "x")], "(int64, string)"),
        ([1, None], "?int64"),
        (ak.to_regular([[1, 2, 3]]), "3 * int64"),
        (ak.Array([[[1], []]]), "var * var * int64"),
    ],
)
def test_logical_types_follow_the_form(array: object, text: str):
    form = ak.Array(array).layout.form
    for given in (form.to_dict(verbose=False), json.loads(form.to_json())):
        assert str(type_of(given)) == text


def test_types_that_the_planner_does_not_model_say_what_they_are():
    union = ak.Array([1, "a"]).layout.form.to_dict()
    assert str(type_of(union)) == "union[int64, string]"
    assert str(type_of(ak.Array([b"x"]).layout.form.to_dict())) == "bytestring"
    assert str(type_of(ak.Array([]).layout.form.to_dict())) == "unknown"
