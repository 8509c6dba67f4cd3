"""Every error prints one readable message, survives a worker's pickle and points at its place."""

from __future__ import annotations

import pickle

import cloudpickle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.errors import (
    DataError,
    DatasetError,
    RequestError,
    SelectionSyntaxError,
    SelectionTypeError,
    SxdaskError,
    SystemFaultError,
    UnknownBranchError,
    UnknownTreeError,
    close_names,
    pointer,
)


def every_class(root: type[SxdaskError] = SxdaskError) -> list[type[SxdaskError]]:
    """Return `root` and all classes below it that the core defines."""
    below = [kind for kind in root.__subclasses__() if kind.__module__ == SxdaskError.__module__]
    return [root, *(item for kind in below for item in every_class(kind))]


CLASSES = every_class()


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
def test_an_error_prints_code_problem_and_hint(kind) -> None:
    error = kind("the disk is full", hint="delete something", file="a.root")
    assert str(error) == f"[{kind.code}] the disk is full\n  hint: delete something"
    assert str(kind("the disk is full")) == f"[{kind.code}] the disk is full"
    assert error.fault in {"user", "data", "system"}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.code)
@pytest.mark.parametrize("pickler", [pickle, cloudpickle], ids=["pickle", "cloudpickle"])
def test_an_error_survives_the_way_from_a_worker(kind, pickler) -> None:
    error = kind("problem", hint="hint", file="a.root", entry_range=(0, 10))
    again = pickle.loads(pickler.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error)
    assert (again.problem, again.hint, again.context) == ("problem", "hint", error.context)
    assert pickle.loads(pickle.dumps(again)).args == error.args


def test_errors_of_constructors_with_other_arguments_survive_too() -> None:
    for error in (
        UnknownBranchError.among("MET_ptt", ["MET_pt"], tree="Events", file="a.root"),
        UnknownTreeError.among("Event", ["Events"], file="a.root"),
        SelectionSyntaxError.at("a + ", 4, "an operand is missing"),
        SelectionTypeError.at("a + b", 4, "depths differ"),
    ):
        again = pickle.loads(pickle.dumps(error))
        assert str(again) == str(error)
        assert again.context == error.context


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [(RequestError, "SX1"), (DatasetError, "SX2"), (DataError, "SX3"), (SystemFaultError, "SX4")],
)
def test_a_code_begins_with_the_number_of_its_family(kind, prefix) -> None:
    assert {item.code[:3] for item in every_class(kind)} == {prefix}


def test_an_outer_caller_adds_facts_and_overwrites_none() -> None:
    error = SxdaskError("problem", file="inner.root")
    assert error.add(file="outer.root", tree="Events") is error
    assert error.context == {"file": "inner.root", "tree": "Events"}


def test_a_wrong_branch_gets_the_close_ones() -> None:
    error = UnknownBranchError.among("met_ptt", ["MET_pt", "MET_phi", "nJet"], tree="Events")
    assert "tree 'Events' has no branch 'met_ptt'" in str(error)
    assert "did you mean 'MET_pt', 'MET_phi'?" in str(error)
    assert UnknownBranchError.among("zzz", ["MET_pt"], tree="Events").hint is None


def test_a_wrong_tree_gets_those_that_exist() -> None:
    assert "it has 'Events', 'Runs'" in str(
        UnknownTreeError.among("Event", ["Events", "Runs"], file="a.root")
    )
    assert "more than one tree" in str(UnknownTreeError.among(None, ["A", "B"], file="a.root"))
    assert "no tree in 'a.root'" in str(UnknownTreeError.among(None, [], file="a.root"))


@pytest.mark.parametrize(
    ("name", "available", "expected"),
    [
        ("muon_PT", ["Muon_pt"], "did you mean 'Muon_pt'?"),
        ("Muon_pt", [], None),
        ("qqq", ["Muon_pt"], None),
    ],
)
def test_close_names_do_not_care_about_capitals(name, available, expected) -> None:
    assert close_names(name, available) == expected


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        ("a + b", 4, "a + b\n    ^"),
        ("a +\nb + c", 8, "b + c\n    ^"),
        ("a +\nb", 3, "a +\n   ^"),
        ("abc", 99, "abc\n   ^"),
        ("abc", -1, "abc\n^"),
        ("", 0, "\n^"),
    ],
)
def test_the_pointer_stands_under_the_column(text, column, expected) -> None:
    assert pointer(text, column) == expected


@given(
    text=st.text(st.characters(codec="ascii", exclude_categories=["Cc"]) | st.just("\n")),
    data=st.data(),
)
def test_the_pointer_stands_under_its_character_in_any_text(text, data) -> None:
    column = data.draw(st.integers(0, max(len(text) - 1, 0)))
    line, caret = pointer(text, column).split("\n")
    assert len(line) <= 100
    under = line[caret.index("^") : caret.index("^") + 1]
    there = text[column : column + 1]
    assert under == ("" if there == "\n" else there)


def test_the_pointer_cuts_a_window_out_of_a_long_line() -> None:
    text = "x" * 5_000 + "!" + "y" * 5_000
    line, caret = pointer(text, 5_000).split("\n")
    assert len(line) == 100
    assert line[caret.index("^")] == "!"


def test_a_huge_selection_is_not_carried_along() -> None:
    error = SelectionSyntaxError.at("(" * 1_000_000, 999_999, "nested too deeply")
    assert len(str(error)) < 400
    assert len(pickle.dumps(error)) < 2_000


def test_a_message_is_readable_whatever_the_user_wrote():
    text = "a\x1b[2J\x1e\u2028\r" + "b" * 5_000
    error = SelectionSyntaxError.at(text, 4, f"no name {text!r}", hint=text)
    first, line, caret = str(error).splitlines()[:3]
    assert len(first) < 400
    assert first.endswith("bbb'")
    assert line.startswith("a [2J   bbb")
    assert caret == "    ^"
    assert "\x1b" not in error.problem
    assert len(str(error)) < 2_000
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
