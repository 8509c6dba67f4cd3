"""Filesets in every form that coffea's Runner takes."""

from __future__ import annotations

import json

import pytest
from coffea.processor.executor import WorkItem

from sxdask.core.errors import EmptyDatasetError, FileMissingError, RequestError
from sxdask.processing.fileset import parse_fileset


def shown(fileset, treename=None):
    return {
        item.name: [(file.name, file.tree, file.steps) for file in item.files]
        for item in parse_fileset(fileset, treename)
    }


@pytest.mark.parametrize(
    ("fileset", "treename"),
    [
        ({"a": ["x.root", "y.root"]}, "Events"),
        ({"a": {"files": ["x.root", "y.root"], "treename": "Events"}}, "Other"),
        ({"a": {"files": {"x.root": "Events", "y.root": "Events"}}}, None),
        ({"a": {"files": {"x.root": {"object_path": "Events"}, "y.root": "Events"}}}, None),
        ({"a": {"files": {"x.root": None, "y.root": None}}}, "Events"),
    ],
)
def test_the_forms_of_a_fileset_mean_the_same(fileset, treename):
    assert shown(fileset, treename) == {
        "a": [("x.root", "Events", None), ("y.root", "Events", None)]
    }


def test_a_fileset_in_a_json_file_is_read(tmp_path):
    path = tmp_path / "fileset.json"
    path.write_text(json.dumps({"a": ["x.root"]}))
    assert shown(path, "T") == {"a": [("x.root", "T", None)]}


def test_what_preprocessing_gives_keeps_its_steps():
    says = {"object_path": "Events", "steps": [[0, 5], [5, 9]], "num_entries": 9, "uuid": "u"}
    assert shown({"a": {"files": {"x.root": says}, "form": None}}) == {
        "a": [("x.root", "Events", ((0, 5), (5, 9)))]
    }


def test_work_items_are_grouped_by_dataset_and_file():
    items = [
        WorkItem("a", "x.root", "T", 0, 5, b"", {"xs": 2}),
        WorkItem("a", "x.root", "T", 5, 9, b"", {"xs": 2}),
        WorkItem("b", "y.root", "T", 0, 3, b""),
    ]
    assert shown(items) == {
        "a": [("x.root", "T", ((0, 5), (5, 9)))],
        "b": [("y.root", "T", ((0, 3),))],
    }
    assert parse_fileset(items)[0].metadata == {"xs": 2}


def test_metadata_of_the_user_may_not_hide_those_of_a_chunk():
    with pytest.raises(RequestError, match="'entrystart'"):
        parse_fileset({"a": {"files": ["x.root"], "metadata": {"entrystart": 1}}})


@pytest.mark.parametrize(
    ("fileset", "kind"),
    [
        (3, RequestError),
        ({"a": 3}, RequestError),
        ({"a": {"treename": "T"}}, RequestError),
        ([1, 2], RequestError),
        ({}, EmptyDatasetError),
        ({"a": []}, EmptyDatasetError),
        ("no-such-file.json", FileMissingError),
    ],
)
def test_what_is_no_fileset_is_refused_with_the_form_of_one(fileset, kind):
    with pytest.raises(kind) as caught:
        parse_fileset(fileset)
    assert "files" in caught.value.hint
