"""Text that means harm, in every language: refused as the user's, soon, with a readable message."""

from __future__ import annotations

import json
import sys
import tracemalloc

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sxdask.core.errors import SxdaskError
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontend import FRONTENDS
from sxdask.plan.nodes import Plan
from tests.unit.plan.schemas import LIMITS, Source
from tests.watchdog import at_most, within

SECONDS = 30
LARGEST = 400 * 1024 * 1024  # bytes that one refusal may take

# How an expression is placed in a request of each language.
WITHIN = {
    "native": lambda text: json.dumps({"where": text}),
    "uproot-raw": lambda text: json.dumps([{"treename": "Events", "expressions": text}]),
    "func_adl": lambda text: f"EventDataset().Select(lambda e: {text})",
    "qastle": lambda text: f"(Select (call EventDataset) (lambda (list e) {text}))",
    "tcut": lambda text: text,
    "skyhook": lambda text: f"select event_id>{text}, project Events;1.MET_pt",
    "python": lambda text: f"def run_query(path, x={text}):\n    return x",
}
VALID = {
    "native": ['{"where": "(nMuon >= 2) & (MET_pt > 50)", "select": ["Muon_*", "sum(Jet_pt)"]}'],
    "uproot-raw": ['[{"treename": "Events", "expressions": ["Muon_pt * 2"], "cut": "nMuon > 1"}]'],
    "func_adl": [
        "EventDataset().Where(lambda e: e.MET_pt > 50).Select(lambda e: {'a': e.Muon_pt[0] + 1})",
        "lambda e: Zip({'pt': e.Muon_pt}).Where('lambda m: m.pt > -2.5e1 or not e.HLT_A').Count()",
    ],
    "qastle": [
        "(Where (call EventDataset) (lambda (list e) (> (attr e 'MET_pt') -5e1)))",
        "(Select (call EventDataset) (lambda (list e) (dict (list 'a') (list (attr e 'run')))))",
    ],
    "tcut": ["Sum$(Muon_pt > 20) >= 2 && !HLT_A || TMath::Abs(Muon_eta[0]) < 2.5e-1 ? 1 : -1"],
    "skyhook": ["select event_id>5, project Events;75.Muon_eta,Events;75.Muon_pt", "select *"],
    "python": ["def run_query(path):\n    import uproot\n    return [path, 'a' * 3]"],
}
LANGUAGES = sorted(WITHIN)

CODE = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "e.__dict__",
    "e.MET_pt.__class__",
    "e._x",
    "eval('1')",
    "open('/etc/passwd')",
    "9**9**9**9",
    "1e999999999",
    "1 << 100000000000",
    "9" * 100_000,
    "(y := 1)",
    "f'{e}'",
    "[x for x in y]",
    "lambda: 1",
    "'unterminated",
    '"unterminated',
    "'unterminated\\'",
    "MET_pt > 3\x00",
    "\x00",
    "\ud800",
    "'\ud800'",
    "\u041c\u0415\u0422_pt > 3",
    "MET_pt \u202e> 3",
    "MET_pt > 3\x1b[2J",
    "\u2028\x1e\x85",
]
DEEP = {
    "parentheses": "(" * 10_000 + "1" + ")" * 10_000,
    "open parentheses": "(" * 10_000,
    "brackets": "[" * 10_000 + "]" * 10_000,
    "braces": "{" * 10_000 + "}" * 10_000,
    "pairs": "{1:" * 10_000,
    "minus": "-" * 10_000 + "1",
    "not": "not " * 10_000 + "1",
    "exclamations": "!" * 10_000 + "1",
    "lambdas": "lambda x: " * 10_000 + "1",
    "calls": "abs(" * 10_000 + "1" + ")" * 10_000,
    "attributes": "e" + ".x" * 10_000,
    "indices": "e" + "[0]" * 10_000,
    "comparisons": "<".join(["1"] * 10_000),
    "powers": "**".join(["9"] * 10_000),
    "choices": "1 if 1 else " * 10_000 + "1",
    "questions": "1 ? 1 : " * 10_000 + "1",
    "sums": "+".join(["1"] * 100_000),
    "nodes": "(list " * 10_000 + ")" * 10_000,
    "negations": "(- " * 10_000 + "1" + ")" * 10_000,
    "functions": "(lambda (list x) " * 10_000 + "1" + ")" * 10_000,
    "commas": "," * 100_000,
    "blanks": " " * 900_000,
    "quotes": "'" * 100_000,
    "backslashes": "\\" * 100_000,
}
LARGE = {
    "words": "MET_pt + " * 1_200_000,
    "a name": "a" * 10_000_000,
    "digits": "9" * 10_000_000,
    "a text": "'" + "a" * 10_000_000 + "'",
    "parentheses": "(" * 10_000_000,
    "zeros": "\x00" * 10_000_000,
}


# In cuts a run of signs is one sign, shifts take six bits, and no cut passes everything.
HARMLESS = {("tcut", "1 << 100000000000"), ("tcut", DEEP["minus"]), ("tcut", DEEP["blanks"])}


def refused(language, text):
    """Check that `text` ends soon as a mistake of the user, in a message of a few lines."""
    if (language, text) in HARMLESS:
        with within(SECONDS):
            FRONTENDS.load(language)(LIMITS).parse(text, Source())
        return
    with within(SECONDS), at_most(5), pytest.raises(SxdaskError) as caught:
        FRONTENDS.load(language)(LIMITS).parse(text, Source())
    require_readable(caught.value)


def require_readable(error):
    """Check that the user is named as the cause in lines that fit a terminal."""
    assert error.fault == "user"
    first, *rest = error.problem.splitlines()
    assert len(first) < 400
    assert len(rest) in {0, 2}
    assert len(str(error)) < 1_500
    assert "\x1b" not in str(error)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("text", CODE, ids=[ascii(text)[:30] for text in CODE])
def test_code_and_odd_characters_are_refused_alone(language, text):
    modules = set(sys.modules)
    refused(language, text)
    assert "pdb" not in set(sys.modules) - modules


# The language 'python' is code: what it holds is looked at by nobody before a worker runs it.
@pytest.mark.parametrize("language", [name for name in LANGUAGES if name != "python"])
@pytest.mark.parametrize("text", CODE, ids=[ascii(text)[:30] for text in CODE])
def test_code_and_odd_characters_are_refused_within_a_request(language, text):
    refused(language, WITHIN[language](text))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", DEEP)
def test_deep_text_is_refused_at_once(language, kind):
    refused(language, DEEP[kind])
    if kind in {"blanks", "comparisons"} and language == "python":
        return  # nothing deep about these as Python
    refused(language, WITHIN[language](DEEP[kind]))


def nested(pattern, times):
    """Return `pattern` put into itself."""
    text = "1"
    for _ in range(times):
        text = pattern.replace("@", text)
    return text


@pytest.mark.parametrize(
    ("language", "pattern", "times"),
    [
        ("native", "(0 < @ < nMuon)", 60),
        ("uproot-raw", "(0 < @ < nMuon)", 60),
        ("native", "(nMuon & @ == 1) * 1", 40),
        ("func_adl", "(0 < @ < e.nMuon)", 60),
        ("func_adl", "(lambda v: v + v)(@)", 60),
        ("qastle", "(call (lambda (list v) (+ v v)) @)", 60),
        ("qastle", "(Select (attr e 'Muon_pt') (lambda (list v) (+ v @)))", 40),
    ],
)
def test_values_that_are_used_twice_do_not_multiply(language, pattern, times):
    text = nested(pattern, times)
    with within(SECONDS):
        try:
            FRONTENDS.load(language)(LIMITS).parse(WITHIN[language](text), Source())
        except SxdaskError as error:
            require_readable(error)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("native", "num(combinations(Jet_pt, 2222222222)) > 1"),
        ("func_adl", "e.Jet_pt.Choose(2222222222)"),
        ("qastle", "(Choose (attr e 'Jet_pt') 2222222222)"),
    ],
)
def test_huge_numbers_of_combinations_are_refused(language, text):
    refused(language, WITHIN[language](text))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", LARGE)
def test_ten_megabytes_are_refused_without_being_read(language, kind):
    for text in (LARGE[kind], WITHIN[language](LARGE[kind])):
        tracemalloc.start()
        try:
            refused(language, text)
            assert tracemalloc.get_traced_memory()[1] < LARGEST
        finally:
            tracemalloc.stop()


PIECES = [
    *("(", ")", "[", "]", "{", "}", "'", '"', "\\", ",", ";", ":", ".", "$", "#", "\n", "\x00"),
    *("+", "-", "*", "**", "/", "<", "==", "&", "&&", "|", "!", "~", "?", "lambda e: ", " if "),
    *(" else ", "not ", "e", "e.Muon_pt", "Muon_pt", "[0]", "[1:2]", "[::0]", "1e308", "9" * 25),
    *(".Select(lambda x: x)", ".Choose(2)", ".First()", "(list ", "(attr e 'run')", "(call "),
    *("Sum$(", "Alt$(", "TMath::", "select ", "project ", "event_id", "None", "True", "\u00e9"),
    *("label", "broken", "Jet_tracks", "cells", "matrix", "def ", "import os", "return "),
]
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1), st.integers(0, 12), st.sampled_from(PIECES), st.sampled_from([0, 1, 1, 40])
    ),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize("language", LANGUAGES)
@given(choice=st.integers(0, 9), edits=EDITS)
@example(choice=0, edits=[(0.5, 0, "(", 40)])
@example(choice=0, edits=[(1.0, 0, "\x00", 1)])
def test_damaged_requests_are_plans_or_refused(language, choice, edits):
    text = VALID[language][choice % len(VALID[language])]
    for place, removed, piece, times in edits:
        start = int(place * len(text))
        text = text[:start] + piece * times + text[start + removed :]
    frontend = FRONTENDS.load(language)(LIMITS)
    with within(SECONDS):
        try:
            plan = frontend.parse(text, Source())
        except SxdaskError as error:
            require_readable(error)
        else:
            assert isinstance(plan, Plan)
            assert fingerprint(plan) == fingerprint(frontend.parse(text, Source()))


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_undamaged_requests_are_plans(language):
    for text in VALID[language]:
        assert isinstance(FRONTENDS.load(language)(LIMITS).parse(text, Source()), Plan)


def test_every_language_is_tested():
    assert set(LANGUAGES) == set(FRONTENDS.names())
