"""What comes from papers, slides and other languages: the hint says what to write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sxdask.plan.frontend import FRONTENDS
from tests.refusals import error_of
from tests.unit.plan.schemas import LIMITS, Source

if TYPE_CHECKING:
    from collections.abc import Callable


def native(text):
    return {"where": text}


def lambda_of(text):
    return f"EventDataset().Where(lambda e: {text.replace('MET_pt', 'e.MET_pt')})"


def node(text):
    text = text.replace(">", "")  # no operator of qastle between two values
    return f"(call Where (call EventDataset) (lambda (list e) {text}))"


def skyhook(text):
    return f"select {text}"


LANGUAGES: dict[str, Callable[[str], Any]] = {
    "native": native,
    "func_adl": lambda_of,
    "qastle": node,
    "tcut": str,
    "skyhook": skyhook,
}

PASTED = [
    ("MET_pt > \u201c5\u201d", '"'),
    ("MET_pt > \u20195\u2019", "'"),
    ("MET_pt \u2212 5", "-"),
    ("MET_pt \u2265 5", ">="),
    ("MET_pt\u00b2 > 5", "**2"),
    ("MET_pt\u00a0> 5", "blank"),
]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(("text", "meant"), PASTED)
def test_a_typographic_character_is_pointed_at_with_the_one_to_write(language, text, meant):
    frontend = FRONTENDS.load(language)(LIMITS)
    selection = LANGUAGES[language](text)
    error = error_of(lambda: frontend.parse(selection, Source()), "SX102")
    whole = selection["where"] if isinstance(selection, dict) else selection
    place = next(number for number, sign in enumerate(whole) if not sign.isascii())
    assert str(error).splitlines()[2].index("^") == place
    assert meant in error.hint


@pytest.mark.parametrize(
    ("language", "text", "code", "hint"),
    [
        ("native", "(MET_pt > 5) && (MET_pt < 9)", "SX102", "use &"),
        ("native", "!(MET_pt > 5)", "SX102", "use ~"),
        ("native", "len(Muon_pt) > 1", "SX102", "num"),
        ("func_adl", "MET_pt > 5 && MET_pt < 9", "SX102", "write and"),
        ("func_adl", "MET_pt > 5 || MET_pt < 9", "SX102", "write or"),
        ("func_adl", "!MET_pt", "SX102", "write not"),
        ("func_adl", "e.Muon_pt.Count > 1", "SX103", ".Count()"),
        ("tcut", "MET_pt > 5 and MET_pt < 9", "SX102", "write &&"),
        ("tcut", "MET_pt > 5 OR MET_pt < 9", "SX102", "write ||"),
    ],
)
def test_words_of_another_language_are_told_in_this_one(language, text, code, hint):
    frontend = FRONTENDS.load(language)(LIMITS)
    assert hint in error_of(lambda: frontend.parse(LANGUAGES[language](text), Source()), code).hint


def test_items_are_called_by_the_type_of_one_and_records_by_how_to_zip_them():
    frontend = FRONTENDS.load("func_adl")(LIMITS)
    items = "EventDataset().SelectMany(lambda e: e.Muon_pt).Select(lambda m: m.pt)"
    error = error_of(lambda: frontend.parse(items, Source()), "SX103")
    assert error.problem.startswith("float32 has no 'pt'")
    record = "EventDataset().SelectMany(lambda e: {'a': e.Muon_pt, 'b': e.Jet_pt})"
    error = error_of(lambda: frontend.parse(record, Source()), "SX103")
    assert error.hint == "zip its lists first: .Zip()"
