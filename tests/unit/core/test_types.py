"""Logical types print as awkward's datashapes, and a schema finds columns by all their names."""

from __future__ import annotations

import pickle

import awkward as ak
import pytest

from sxdask.core.types import (
    Field,
    FixedList,
    ListOf,
    Option,
    Primitive,
    Record,
    Schema,
    String,
    Unknown,
    list_depth,
)

FLOAT = Primitive("float32")


@pytest.mark.parametrize(
    ("kind", "text", "depth"),
    [
        (FLOAT, "float32", 0),
        (Primitive("bool"), "bool", 0),
        (String(), "string", 0),
        (ListOf(FLOAT), "var * float32", 1),
        (ListOf(String()), "var * string", 1),
        (ListOf(ListOf(Primitive("int64"))), "var * var * int64", 2),
        (FixedList(FLOAT, 3), "3 * float32", 1),
        (ListOf(FixedList(FLOAT, 4)), "var * 4 * float32", 2),
        (Option(FLOAT), "?float32", 0),
        (ListOf(Option(FLOAT)), "var * ?float32", 1),
        (Record((("x", FLOAT), ("y", ListOf(FLOAT)))), "{x: float32, y: var * float32}", 0),
        (Record((("0", FLOAT), ("1", FLOAT)), is_tuple=True), "(float32, float32)", 0),
    ],
)
def test_a_type_prints_as_awkward_writes_it(kind, text, depth) -> None:
    assert str(kind) == text
    assert list_depth(kind) == Field("x", kind).list_depth == depth
    assert str(ak.types.from_datashape(text, highlevel=False)) == text
    assert pickle.loads(pickle.dumps(kind)) == kind


def test_an_unknown_type_says_what_it_is() -> None:
    assert str(Unknown("TLorentzVector")) == "TLorentzVector"


@pytest.fixture
def schema() -> Schema:
    return Schema(
        (Field("Jet_pt", ListOf(FLOAT)), Field("MET_pt", FLOAT, title="missing momentum")),
        tree="Events",
        aliases=(("Jets/Jet_pt", "Jet_pt"), ("MET_pt", "Jet_pt")),
    )


def test_a_schema_is_an_ordered_mapping(schema) -> None:
    assert list(schema) == ["Jet_pt", "MET_pt"]
    assert len(schema) == 2
    assert schema["MET_pt"].title == "missing momentum"
    with pytest.raises(KeyError):
        schema["MET_phi"]
    assert "MET_phi" not in schema


def test_a_full_path_finds_the_column_and_hides_none(schema) -> None:
    assert schema["Jets/Jet_pt"].name == "Jet_pt"
    assert "Jets/Jet_pt" in schema
    assert schema["MET_pt"].name == "MET_pt"  # a column's own name goes before an alias


def test_a_schema_prints_a_line_a_column(schema) -> None:
    assert str(schema) == "Jet_pt  var * float32\nMET_pt  float32"
    assert str(Schema(())) == ""


def test_a_schema_is_equal_and_pickles(schema) -> None:
    again = pickle.loads(pickle.dumps(schema))
    assert again == schema
    assert hash(again) == hash(schema)
