"""Random queries: the interpreter judges, func_adl_uproot where it agrees with that."""

from __future__ import annotations

import ast
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, note, settings
from hypothesis import strategies as st

import sxdask as sx
from tests.differential.func_adl.generator import queries
from tests.differential.func_adl.interpreter import judge
from tests.differential.func_adl.oracle import (
    ask,
    difference,
    notation,
    rows,
    type_text,
    without_options,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.differential.func_adl.conftest import Data

# An example takes 20 to 40 ms, and most of it is func_adl_uproot's.
EXAMPLES = max(50, min(settings().max_examples, 500))
TOLERANCE = 1e-6  # the last division rounds


def _in_qastle(text: str) -> str:
    import qastle

    tree = qastle.insert_linq_nodes(ast.parse(text))
    try:
        return str(qastle.python_ast_to_text_ast(tree))
    except KeyError:  # qastle has no "in"
        return text


def _outcome(query: str, here: Data) -> str:
    """Check one query and return who was right about it."""
    kind, wanted = judge(query, here.events)
    other = None
    with suppress(Exception):  # it has no errors of its own
        other = ask(query, here.paths, here.tree)
    agrees = other is not None and without_options(type_text(other)) == kind
    agrees = agrees and not difference(rows(other), wanted, TOLERANCE)
    try:
        got = sx.request(notation(query), query, dataset=here.dataset).compute()
    except sx.SxdaskError:
        if agrees:
            raise
        return "refused"
    assert without_options(type_text(got)) == kind
    assert not difference(rows(got), wanted, TOLERANCE)
    if not agrees:
        return "right"
    assert not difference(rows(got), rows(other))
    return "same"


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_generated_queries_are_answered_right(depth: int, data: Callable[[str], Data]):
    outcomes: Counter[str] = Counter()
    here = data("small")

    @settings(max_examples=EXAMPLES)
    @given(queries(depth), st.booleans())
    def check(query: str, qastle: bool) -> None:
        query = _in_qastle(query) if qastle else query
        note(query)
        outcomes[_outcome(query, here)] += 1

    check()
    # Neither may we refuse what has a meaning, nor the judge stand alone.
    assert outcomes["refused"] <= 0.05 * outcomes.total()
    assert outcomes["same"] >= 0.1 * outcomes.total()
