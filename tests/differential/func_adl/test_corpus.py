"""Queries written by hand, against func_adl_uproot and a per-event interpreter."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import sxdask as sx
from tests.differential.func_adl.corpus import CORPUS, Case, cases
from tests.differential.func_adl.interpreter import judge
from tests.differential.func_adl.oracle import (
    ask,
    difference,
    notation,
    rows,
    type_text,
    without_options,
)
from tests.differential.func_adl.values import WrongQueryError
from tests.refusals import error_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.differential.func_adl.conftest import Data

CASES = [case for path in sorted(CORPUS.glob("*.yaml")) for case in cases(path)]
SAME = [case for case in CASES if not case.right and not case.refused]
RIGHT = [case for case in CASES if case.right]
REFUSED = [case for case in CASES if case.refused]

# The interpreter adds in another order, and its Lorentz vectors are float64 all through.
SUMS, MOMENTA = 1e-6, 1e-3


def _ours(case: Case, here: Data) -> Any:
    return sx.request(notation(case.query), case.query, dataset=here.dataset).compute()


def _named(case: Case) -> str:
    return case.name


def test_the_corpus_is_large_and_written_half_in_either_notation():
    assert len({case.query for case in CASES}) == len(CASES) > 700
    in_qastle = sum(notation(case.query) == "qastle" for case in CASES)
    assert 0.4 < in_qastle / len(CASES) < 0.6


@pytest.mark.parametrize("case", SAME, ids=_named)
def test_a_query_gives_what_func_adl_uproot_gives(case: Case, data: Callable[[str], Data]):
    here = data(case.data)
    wanted, got = ask(case.query, here.paths, here.tree), _ours(case, here)
    assert type_text(got) == type_text(wanted)
    assert not difference(rows(got), rows(wanted))


@pytest.mark.parametrize("case", RIGHT, ids=_named)
def test_a_query_is_right_where_func_adl_uproot_is_not(case: Case, data: Callable[[str], Data]):
    here = data(case.data)
    kind, wanted = judge(case.query, here.events)
    assert kind == without_options(case.right)
    got = _ours(case, here)
    assert type_text(got) == case.right
    assert not difference(rows(got), wanted, SUMS)
    try:
        other = ask(case.query, here.paths, here.tree)
    except Exception:  # noqa: BLE001 (whatever it fails with, it does not answer)
        return
    assert type_text(other) != case.right or difference(rows(other), wanted, SUMS)


@pytest.mark.parametrize("case", REFUSED, ids=_named)
def test_a_query_without_a_meaning_is_refused(case: Case, data: Callable[[str], Data]):
    here = data(case.data)
    error_of(lambda: _ours(case, here), case.refused)
    if not case.because:
        with pytest.raises(Exception):  # noqa: B017, PT011 (it has no errors of its own)
            ask(case.query, here.paths, here.tree)


@pytest.mark.parametrize("theme", sorted({case.name.split(":")[0] for case in SAME}))
def test_the_interpreter_agrees_with_func_adl_uproot(theme: str, data: Callable[[str], Data]):
    judged = 0
    for case in (case for case in SAME if case.name.startswith(f"{theme}:")):
        here = data(case.data)
        other = ask(case.query, here.paths, here.tree)
        try:
            kind, wanted = judge(case.query, here.events)
        except WrongQueryError:
            continue  # a record of momenta, or NumPy's sum of lists
        judged += 1
        momenta = "ToFourMoment" in case.query
        tolerance = MOMENTA if momenta else SUMS
        assert not difference(rows(other), wanted, tolerance), case.query
        assert momenta or without_options(type_text(other)) == kind, case.query
    assert judged
