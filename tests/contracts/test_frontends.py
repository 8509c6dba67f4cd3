"""What every request language keeps to: pure, deterministic, bounded, and refusing by default."""

from __future__ import annotations

import json
import time

import pytest

from sxdask.core.errors import RequestTooLargeError, SxdaskError, UnknownBranchError
from sxdask.core.settings import load_settings
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontend import FRONTENDS
from sxdask.plan.nodes import Plan
from sxdask.plan.optimize import optimize
from tests.unit.plan.schemas import EVENTS, LIMITS, Source

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
    "MET_pt > 1 and HLT_A",
    "",
]


class FrontendContract:
    """A language gives `selection` for columns and a condition; no new tests."""

    name = ""

    def selection(self, columns, condition):
        """Return a request for `columns` of the events with `condition`."""
        raise NotImplementedError

    @pytest.fixture
    def frontend(self):
        return FRONTENDS.load(self.name)(LIMITS)

    def test_the_same_request_is_the_same_plan(self, frontend):
        request = self.selection(["Muon_pt", "MET_pt"], "nMuon >= 2")
        first, second = (frontend.parse(request, Source()) for _ in range(2))
        assert isinstance(first, Plan)
        assert first == second
        assert fingerprint(first) == fingerprint(second)

    def test_text_and_structure_are_the_same_request(self, frontend):
        request = self.selection(["Muon_pt"], "nMuon >= 2")
        assert frontend.parse(json.dumps(request), Source()) == frontend.parse(request, Source())

    @pytest.mark.parametrize("text", HOSTILE, ids=[repr(text)[:30] for text in HOSTILE])
    def test_hostile_text_is_refused_at_once(self, frontend, text):
        before = time.process_time()
        for request in (self.selection(["MET_pt"], text), self.selection([text], "nMuon >= 2")):
            with pytest.raises(SxdaskError) as caught:
                frontend.parse(request, Source())
            assert caught.value.fault == "user"
        assert time.process_time() - before < 2.0

    def test_an_unknown_branch_has_a_suggestion(self, frontend):
        with pytest.raises(UnknownBranchError) as caught:
            frontend.parse(self.selection(["MET_pt"], "MET_ptt > 1"), Source())
        assert "MET_pt" in str(caught.value.hint)

    def test_a_request_beyond_the_size_limit_is_refused(self):
        small = load_settings({"SXDASK_MAX_SELECTION_BYTES": "1000"})
        request = json.dumps(self.selection(["MET_pt"], "MET_pt > 1" + " " * 1000))
        with pytest.raises(RequestTooLargeError):
            FRONTENDS.load(self.name)(small).parse(request, Source())

    @pytest.mark.parametrize("text", ["{", "3", "[[]]", "[" * 100_000, '"x"', "null"])
    def test_malformed_requests_are_the_users_fault(self, frontend, text):
        with pytest.raises(SxdaskError) as caught:
            frontend.parse(text, Source())
        assert caught.value.fault == "user"

    @pytest.mark.parametrize(
        ("columns", "condition"),
        [
            (["Muon_pt", "MET_pt"], "(nMuon >= 2) & (MET_pt > 50)"),
            (["Muon_pt", "sum(Muon_pt) * 2"], "10 < MET_pt < 1 + 49"),
            (["Jets.fPt"], "any(Muon_pt > 3)"),
        ],
    )
    def test_it_meets_the_native_language_after_the_optimiser(self, frontend, columns, condition):
        native = FRONTENDS.load("native")(LIMITS)
        request = {"tree": "Events", "where": condition, "select": columns}
        plans = [
            native.parse(request, Source()),
            frontend.parse(self.selection(columns, condition), Source()),
        ]
        found = {fingerprint(optimize(plan, {"Events": EVENTS})[0]) for plan in plans}
        assert len(found) == 1


class TestNative(FrontendContract):
    name = "native"

    def selection(self, columns, condition):
        return {"select": columns, "where": condition}


class TestUprootRaw(FrontendContract):
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


def test_every_registered_language_keeps_the_contract():
    tested = {kind.name for kind in FrontendContract.__subclasses__()}
    assert tested == set(FRONTENDS.names())
