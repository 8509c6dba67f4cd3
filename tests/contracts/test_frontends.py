"""What every request language keeps to: pure, deterministic, bounded, and refusing by default."""

from __future__ import annotations

import json
from functools import reduce

import pytest

from sxdask.core.errors import RequestTooLargeError, SxdaskError, UnknownBranchError
from sxdask.core.settings import load_settings
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontend import FRONTENDS
from sxdask.plan.nodes import Plan
from sxdask.plan.optimize import optimize
from tests.unit.plan.schemas import EVENTS, LIMITS, Source
from tests.watchdog import at_most

HOSTILE = [
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "MET_pt.__init__.__globals__",
    "open('/etc/passwd')",
    "eval('1')",
    "exec('1')",
    "lambda: 1",
    "[x for x in (1, 2)]",
    "(y := 1)",
    "f'{MET_pt}'",
    "np.load('/etc/passwd')",
    "ak.from_parquet('/etc/passwd')",
    "get(get('MET_pt'))",
    "9 ** 9 ** 9 ** 9",
    "1 << 10000000000",
    "(" * 10_000 + ")" * 10_000,
    "-" * 100_000 + "1",
    "MET_pt" + "+MET_pt" * 100_000,
    "a" * 900_000,
    "MET_pt\x00",
    "\u200bMET_pt",
    "MET_pt > 1 and not",
    "",
]


class FrontendContract:
    """A language writes requests in its own way; no new tests."""

    name = ""
    harmless: frozenset[str] = frozenset()  # texts of `HOSTILE` that have a meaning here

    def request(self, columns, conditions):
        """Return a request for `columns` of events with `conditions`: name, operator, number."""
        raise NotImplementedError

    def with_text(self, text):
        """Return requests that hold `text` where the language takes text of the user."""
        raise NotImplementedError

    @pytest.fixture
    def frontend(self):
        return FRONTENDS.load(self.name)(LIMITS)

    def test_the_same_request_is_the_same_plan(self, frontend):
        request = self.request(["Muon_pt", "MET_pt"], [("nMuon", ">=", 2)])
        first, second = (frontend.parse(request, Source()) for _ in range(2))
        assert isinstance(first, Plan)
        assert first == second
        assert fingerprint(first) == fingerprint(second)

    @pytest.mark.parametrize("text", HOSTILE, ids=[repr(text)[:30] for text in HOSTILE])
    def test_hostile_text_is_refused_at_once(self, frontend, text):
        with at_most(2):
            for request in self.with_text(text):
                if text in self.harmless:
                    assert isinstance(frontend.parse(request, Source()), Plan)
                    continue
                with pytest.raises(SxdaskError) as caught:
                    frontend.parse(request, Source())
                assert caught.value.fault == "user"

    def test_a_request_beyond_the_size_limit_is_refused(self):
        small = load_settings({"SXDASK_MAX_SELECTION_BYTES": "1000"})
        request = self.request(["MET_pt"] * 200, [("MET_pt", ">", 1)])
        with pytest.raises(RequestTooLargeError):
            FRONTENDS.load(self.name)(small).parse(as_text(request), Source())


def as_text(request):
    return request if isinstance(request, str) else json.dumps(request)


class PlanContract(FrontendContract):
    """A language whose requests the planner understands whole."""

    def test_an_unknown_branch_has_a_suggestion(self, frontend):
        with pytest.raises(UnknownBranchError) as caught:
            frontend.parse(self.request(["MET_pt"], [("MET_ptt", ">", 1)]), Source())
        assert "MET_pt" in str(caught.value.hint)

    @pytest.mark.parametrize(
        ("columns", "conditions"),
        [
            (["Muon_pt", "MET_pt"], [("nMuon", ">=", 2)]),
            (["MET_pt", "Muon_pt"], [("nMuon", ">=", 2), ("MET_pt", ">", 50)]),
            (["MET_pt"], [("MET_pt", "<=", 0.5), ("nMuon", "==", 1), ("nMuon", "!=", 3)]),
        ],
    )
    def test_it_meets_the_native_language_after_the_optimiser(self, frontend, columns, conditions):
        native = FRONTENDS.load("native")(LIMITS)
        request = {"tree": "Events", "where": written(conditions, " & "), "select": columns}
        plans = [
            native.parse(request, Source()),
            frontend.parse(self.request(columns, conditions), Source()),
        ]
        found = {fingerprint(optimize(plan, {"Events": EVENTS})[0]) for plan in plans}
        assert len(found) == 1


def written(conditions, joined):
    return joined.join(f"({name} {op} {number})" for name, op, number in conditions)


class ExpressionContract(PlanContract):
    """A language of native expressions in a structure: JSON text or a mapping."""

    def selection(self, columns, condition):
        """Return a request with the text of `condition`."""
        raise NotImplementedError

    def request(self, columns, conditions):
        return self.selection(columns, written(conditions, " & "))

    def with_text(self, text):
        return self.selection(["MET_pt"], text), self.selection([text], "nMuon >= 2")

    def test_text_and_structure_are_the_same_request(self, frontend):
        request = self.selection(["Muon_pt"], "nMuon >= 2")
        assert frontend.parse(json.dumps(request), Source()) == frontend.parse(request, Source())

    @pytest.mark.parametrize("text", ["{", "3", "[[]]", "[" * 100_000, '"x"', "null"])
    def test_malformed_requests_are_the_users_fault(self, frontend, text):
        with pytest.raises(SxdaskError) as caught:
            frontend.parse(text, Source())
        assert caught.value.fault == "user"

    @pytest.mark.parametrize(
        ("columns", "condition"),
        [
            (["Muon_pt", "sum(Muon_pt) * 2"], "10 < MET_pt < 1 + 49"),
            (["Jets.fPt"], "any(Muon_pt > 3)"),
        ],
    )
    def test_expressions_are_those_of_the_native_language(self, frontend, columns, condition):
        native = FRONTENDS.load("native")(LIMITS)
        request = {"tree": "Events", "where": condition, "select": columns}
        plans = [
            native.parse(request, Source()),
            frontend.parse(self.selection(columns, condition), Source()),
        ]
        found = {fingerprint(optimize(plan, {"Events": EVENTS})[0]) for plan in plans}
        assert len(found) == 1


class TestNative(ExpressionContract):
    name = "native"

    def selection(self, columns, condition):
        return {"select": columns, "where": condition}


class TestUprootRaw(ExpressionContract):
    name = "uproot-raw"

    def selection(self, columns, condition):
        return [
            {
                "treename": "Events",
                "expressions": columns,
                "cut": condition,
                "fail_on_missing_trees": True,
            }
        ]


class TestFuncAdl(PlanContract):
    name = "func_adl"

    def request(self, columns, conditions):
        test = " and ".join(f"e.{name} {op} {number}" for name, op, number in conditions)
        result = ", ".join(f"'{name}': e.{name}" for name in dict.fromkeys(columns))
        text = f"EventDataset().Where(lambda e: {test}).Select(lambda e: {{{result}}})"
        return text + " " * 7 * len(columns)

    def with_text(self, text):
        return (
            text,
            f"EventDataset().Where(lambda e: {text})",
            f"EventDataset().Select(lambda e: e.Muon_pt.Where(lambda p: {text}))",
        )


class TestQastle(PlanContract):
    name = "qastle"

    def request(self, columns, conditions):
        tests = [f"({op} (attr e '{name}') {number})" for name, op, number in conditions]
        test = reduce(lambda left, right: f"(and {left} {right})", tests)
        names = " ".join(f"'{name}'" for name in dict.fromkeys(columns))
        values = " ".join(f"(attr e '{name}')" for name in dict.fromkeys(columns))
        source = f"(call Where (call EventDataset) (lambda (list e) {test}))"
        result = f"(dict (list {names}) (list {values}))"
        return f"(call Select {source} (lambda (list e) {result}))" + " " * len(columns) * 7

    def with_text(self, text):
        return text, f"(call Where (call EventDataset) (lambda (list e) {text}))"


class TestTCut(PlanContract):
    name = "tcut"
    # ROOT shifts by the last six bits of the number, and signs may repeat
    harmless = frozenset({"1 << 10000000000", "-" * 100_000 + "1"})

    def request(self, columns, conditions):
        return {"selection": written(conditions, " && "), "columns": columns}

    def with_text(self, text):
        columns = {"selection": "nMuon >= 2", "columns": [text]}
        return [columns, *([{"selection": text}] if text else [])]  # no cut is no mistake


class TestSkyhook(PlanContract):
    name = "skyhook"

    def request(self, columns, conditions):
        names = ",".join(f"Events.{name}" for name in columns)
        test = " && ".join(f"{name} {op} {number}" for name, op, number in conditions)
        return f"select {test}, project {names}"

    def with_text(self, text):
        return f"select {text}, project Events.MET_pt", f"select *, project Events.MET_pt,{text}"


class TestPython(FrontendContract):
    name = "python"

    def request(self, columns, conditions):
        test = " & ".join(f"(events.{name} {op} {number})" for name, op, number in conditions)
        return f"def run_query(events):\n    return events[{test}][{columns!r}]\n"

    def with_text(self, text):
        return text, f"def run_query(path): return {text})"


def languages(contract):
    for kind in contract.__subclasses__():
        yield from [kind.name] if kind.name else languages(kind)


def test_every_registered_language_keeps_the_contract():
    assert set(languages(FrontendContract)) == set(FRONTENDS.names())
