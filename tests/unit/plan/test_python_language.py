"""Python functions as requests: what is read from their text, and what is refused; nothing runs."""

from __future__ import annotations

import inspect
import math
import threading
from base64 import b64encode
from functools import partial

import awkward as ak
import numpy as np
import pytest

from sxdask.core.errors import SelectionSyntaxError
from sxdask.core.settings import load_settings
from sxdask.plan.codec import plan_from_json, plan_to_json
from sxdask.plan.explain import show
from sxdask.plan.expr import Column, Compare, Constant
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontend import FRONTENDS
from sxdask.plan.nodes import Filter, Project, Scan
from tests.refusals import error_of
from tests.unit.plan.schemas import LIMITS, Source

PER_FILE = """\
import uproot

def run_query(path):
    return uproot.open(path)["Events"].arrays(["MET_pt"])
"""
PER_PARTITION = "def run_query(events):\n    return events.MET_pt\n"
CUT = 30.0
NAMES = ["Muon_pt", "Jet_pt"]


def parse(selection, limits=LIMITS):
    return FRONTENDS.load("python")(limits).parse(selection, Source())


def the_output(selection):
    (output,) = parse(selection).outputs
    return output


def columns(selection):
    root = the_output(selection).root
    assert isinstance(root, Project)
    return [name for name, _ in root.outputs]


# functions as users write them; most of them use modules around them


def masses(events):
    """Count."""
    return ak.num(events.Muon_pt), np.sqrt(events["Muon_mass"])


def above(events):
    return events.MET_pt[events.MET_pt > CUT]


def several(events):
    return {name: events[name] for name in NAMES}


def of_a_path(path, tree="Events"):
    return path


def annotated(events: ak.Array) -> ak.Array:
    return events.MET_pt


def again(path):
    return again(path) if path is None else []


# -- forms ---------------------------------------------------------------------------------


def test_text_bytes_and_base64_are_one_request():
    plan = parse(PER_FILE)
    packed = b64encode(PER_FILE.encode()).decode()
    lines = "\n".join(packed[at : at + 60] for at in range(0, len(packed), 60))
    for same in (PER_FILE.encode(), packed, packed.encode(), lines + "\n", {"selection": packed}):
        assert parse(same) == plan
        assert fingerprint(parse(same)) == fingerprint(plan)


def test_base64_may_hold_any_unicode():
    text = PER_FILE + "# \u03b7 und \u03c6\n"
    assert the_output(b64encode(text.encode()).decode()).function.text == text


def test_a_path_is_for_a_file_and_events_for_a_partition():
    file, partition = the_output(PER_FILE), the_output(PER_PARTITION)
    assert (file.function.per, file.function.argument) == ("file", "path")
    assert (partition.function.per, partition.function.argument) == ("partition", "events")
    assert partition.root == Project(Scan("Events"), (("MET_pt", Column("MET_pt")),))


def test_conditions_and_tree_stand_beside_a_function_of_events():
    output = the_output({"selection": PER_PARTITION, "where": ["nMuon > 1"]})
    wanted = Filter(Scan("Events"), Compare(">", Column("nMuon"), Constant(1)))
    assert output.root.source == wanted
    output = the_output({"selection": "def run_query(events): return events.lumi", "tree": "Runs"})
    assert output.root == Project(Scan("Runs"), (("lumi", Column("lumi")),))


# -- columns -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("return events.MET_pt", ["MET_pt"]),
        ("return events['MET_pt']", ["MET_pt"]),
        ("return events[['MET_pt', 'run']]", ["run", "MET_pt"]),
        ("good = events[events.nMuon > 1]; return good.Muon_pt", ["nMuon", "Muon_pt"]),
        ("return {'met': getattr(events, 'MET_pt')}", ["MET_pt"]),
        ("return (lambda e: e.MET_pt)(events)", ["MET_pt"]),
        ("return [events[n] for n in ('run', 'event')][0]", ["run", "event"]),
        ("return events['odd name/x']", ["odd name/x"]),
        ("return len(events) * [1]", []),
        ("return events.broken", []),
        ("return events['Muon_' + 'pt'.lower()]", []),
    ],
)
def test_the_columns_are_those_that_the_text_names(body, wanted):
    assert columns(f"def run_query(events): {body}") == wanted


def test_the_columns_of_a_callable_are_those_of_its_code_and_of_what_it_uses():
    assert columns(masses) == ["Muon_pt", "Muon_mass"]
    assert columns(several) == ["Muon_pt", "Jet_pt"]
    name = "MET_pt"
    assert columns(lambda events: events[name]) == ["MET_pt"]


# -- identity ------------------------------------------------------------------------------


def test_a_function_that_uses_modules_alone_is_its_text():
    function = the_output(masses).function
    assert function.text == inspect.getsource(masses)
    assert function.imports == (("ak", "awkward"), ("np", "numpy"))
    assert function.pickled == ""
    assert the_output(again).function.pickled == ""
    assert the_output(annotated).function.pickled == ""


def test_a_function_that_uses_values_takes_them_along():
    for function in (above, several, of_a_path, lambda path: [path, CUT]):
        assert the_output(function).function.pickled
    assert the_output(above).function.text == inspect.getsource(above)


def test_captured_values_tell_functions_apart():
    def make(cut):
        def run_query(events):
            return events.MET_pt[events.MET_pt > cut]

        return run_query

    one, same, other = (fingerprint(parse(make(cut))) for cut in (10, 10, 20))
    assert one == same != other


def test_callables_of_other_kinds_are_taken():
    function = the_output(partial(of_a_path, tree="Runs")).function
    assert (function.argument, function.per, function.name) == ("path", "file", "partial")


def test_a_plan_with_a_function_travels_as_json():
    for selection in (PER_FILE, PER_PARTITION, masses, above):
        plan = parse(selection)
        assert plan_from_json(plan_to_json(plan)) == plan
    spoilt = plan_to_json(parse(PER_FILE)).replace('"per":"file"', '"per":"night"')
    assert error_of(lambda: plan_from_json(spoilt), "SX100")


def test_explain_shows_the_function():
    assert show(the_output(PER_FILE)).splitlines() == [
        "Call run_query(path) for each file",
        *(f"  | {line}".rstrip() for line in PER_FILE.splitlines()),
    ]
    text = show(the_output(above))
    assert text.startswith("Call above(events) for each partition with the values around it\n")
    assert text.endswith("  Project [MET_pt]\n    Scan Events [*]")


# -- refusals ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "says"),
    [
        ("def run_query(path)\n    return 1", (0, 19), "expected ':'"),
        ("def run_query(path):\n    return (1", (1, 11), "never closed"),
        ("x = 1\ndef run_query(path):\nreturn 1", (2, 0), "expected an indented block"),
        ("return 1 # (", (0, 0), "'return' outside function"),
        ("def query(path): return 1", (0, 0), "does not define a function run_query"),
        ("run_query = lambda path: 1", (0, 0), "does not define a function run_query"),
        ("def run_query(): return 1", (0, 0), "one argument"),
        ("x = 1\ndef run_query(a, b): return 1", (1, 0), "one argument"),
        ("def run_query(a, *, b): return 1", (0, 0), "one argument"),
        ("async def run_query(path): return 1", (0, 0), "coroutine"),
        ("def run_query(path):\n  x = '\u00e9' + )", (1, 12), "unmatched"),
    ],
)
def test_a_mistake_in_the_text_is_shown_at_its_place(text, place, says):
    error = error_of(lambda: parse(text), "SX102")
    assert isinstance(error, SelectionSyntaxError)
    assert says in error.problem.splitlines()[0]
    line, caret = error.problem.splitlines()[1:]
    assert line == text.splitlines()[place[0]]
    assert caret.index("^") == place[1]


@pytest.mark.parametrize(
    "selection",
    [
        "",
        "  \n",
        "run_query",
        "abcd",
        b64encode(b"\xff\xfe\x00\x01").decode(),
        b"\xff\xfe def (:",
        "def run_query(path): return '\ud800'",
        3,
        None,
        ["def run_query(path): pass"],
        max,
        lambda: 1,
        lambda a, b: a + b,
        {"selection": PER_PARTITION, "treee": "Events"},
        {"selection": PER_PARTITION, "tree": 3},
        {"selection": PER_PARTITION, "where": 3},
        {"selection": PER_FILE, "tree": "Events"},
        {"selection": PER_FILE, "where": "nMuon > 1"},
        {"tree": "Events"},
    ],
    ids=lambda value: getattr(value, "__name__", repr(value)[:30]),
)
def test_what_is_no_function_of_one_argument_is_refused(selection):
    assert error_of(lambda: parse(selection), "SX100").fault == "user"


def test_coroutines_and_generators_are_refused():
    async def later(path):
        return path

    def one_by_one(path):
        yield path

    for function in (later, one_by_one):
        assert error_of(lambda function=function: parse(function), "SX100")


def test_a_function_that_cannot_travel_is_refused():
    lock = threading.Lock()

    def run_query(path):
        with lock:
            return [path]

    error = error_of(lambda: parse(run_query), "SX100")
    assert "cannot be sent to workers" in error.problem


def test_a_condition_beside_it_is_checked():
    error_of(lambda: parse({"selection": PER_PARTITION, "where": "MET_ptt > 1"}), "SX101")
    error_of(lambda: parse({"selection": PER_PARTITION, "where": "Muon_pt > 1"}), "SX103")


HOSTILE = {
    "minus": "-" * 500_000 + "1",
    "brackets": "(" * 500_000,
    "dots": "a" + ".b" * 200_000,
    "plus": "a" + "+a" * 200_000,
    "not": "not " * 100_000 + "a",
    "lambdas": "lambda:" * 50_000 + "1",
    "choices": "x if y else " * 40_000 + "z",
    "branches": "if a: pass\n" + "elif a: pass\n" * 30_000,
    "calls": "f" + "()" * 200_000,
    "blocks": "".join(" " * n + "if a:\n" for n in range(300)),
    "digits": "9" * 500_000,
    "null": "a\x00b",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_refused_at_once(text):
    error = error_of(lambda: parse(f"def run_query(path): return 1\n{text}\n"), "SX102", "SX104")
    assert error.fault == "user"


def test_planning_runs_nothing(tmp_path):
    mark = tmp_path / "mark"
    text = f"open({str(mark)!r}, 'w')\ndef run_query(events=open({str(mark)!r}, 'w')): return 1\n"
    parse(text)
    assert not mark.exists()


def test_texts_and_pickles_beyond_the_size_limit_are_refused():
    small = load_settings({"SXDASK_MAX_SELECTION_BYTES": "1000"})
    error_of(lambda: parse(PER_FILE + "#" * 1000, small), "SX104")
    data = np.arange(10_000)
    error_of(lambda: parse(lambda path: [path, data, math.pi], small), "SX104")


def test_the_language_can_be_switched_off():
    off = load_settings({"SXDASK_ALLOW_PYTHON": "0"})
    for selection in (PER_FILE, PER_PARTITION, masses):
        error = error_of(lambda selection=selection: parse(selection, off), "SX100")
        assert "switched off" in error.problem


def test_warnings_of_the_users_text_are_the_users_own():
    assert the_output("def run_query(path): return ['\\d']").function.per == "file"
