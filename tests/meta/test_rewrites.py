"""A rewrite that no golden shows is dead or unreviewed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sxdask.plan.optimize import RULES

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_rewrite_fires_in_some_golden(rule) -> None:
    fired = re.compile(rf"\b{rule.__name__}\b")
    goldens = sorted((ROOT / "graphs" / "golden").glob("*.txt"))
    assert goldens, "there are no goldens"
    assert any(fired.search(path.read_text(encoding="utf-8")) for path in goldens)


def test_every_rewrite_is_in_use() -> None:
    modules = {path.stem for path in (ROOT / "sxdask" / "plan" / "rewrites").glob("[!_]*.py")}
    assert modules == {rule.__module__.rpartition(".")[2] for rule in RULES}
