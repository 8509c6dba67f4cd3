"""Cuts of all kinds pass exactly the entries that they pass in ROOT."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import sxdask as sx
from tests.differential.tcut.conftest import SAMPLES
from tests.refusals import error_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.differential.tcut.conftest import Data
    from tests.differential.tcut.oracle import Root

CUTS = {
    path.stem: [line for line in path.read_text().splitlines() if line]
    for path in sorted((Path(__file__).parent / "cuts").glob("*.txt"))
}
CASES = [
    pytest.param(theme, cut, id=f"{theme}: {cut}", marks=[pytest.mark.samples] * (theme in SAMPLES))
    for theme, cuts in [*CUTS.items(), ("nano_dy", CUTS["nanoaod"])]
    for cut in cuts
]


@pytest.fixture(scope="module")
def answers(root: Root, data: Callable[[str], Data]) -> Callable[[str, str], list[int] | None]:
    """Return a function that gives ROOT's entries; it is asked for a whole theme at once."""
    known: dict[str, dict[str, list[int] | None]] = {}

    def find(theme: str, cut: str) -> list[int] | None:
        if theme not in known:
            cuts = CUTS["nanoaod" if theme == "nano_dy" else theme]
            found = root.entries(data(theme).path, data(theme).tree, cuts)
            known[theme] = dict(zip(cuts, found, strict=True))
        return known[theme][cut]

    return find


@pytest.mark.parametrize(("theme", "cut"), CASES)
def test_a_cut_passes_the_entries_that_it_passes_in_root(theme, cut, answers, data):
    expected = answers(theme, cut)
    if expected is None:
        error_of(lambda: data(theme).entries(cut), "SX101", "SX102", "SX103")
    else:
        assert data(theme).entries(cut) == expected


def test_there_are_cuts_of_every_outcome(answers, data):
    """A corpus that only passes or fails everything would show nothing."""
    telling = 0
    for cut in CUTS["shapes"]:
        found = answers("shapes", cut)
        telling += found is not None and 0 < len(found) < data("shapes").dataset.num_events
    assert telling > 0.7 * len(CUTS["shapes"])


@pytest.mark.parametrize(
    ("cut", "told"),
    [
        ("s", "text is no number"),
        ("c > 0", "signed bytes"),
        ("v[x] > 1", "fixed size"),
        ("x[][] > 2", "1 dimension"),
        ("w[i] > 1", "2 dimensions"),
        ("Entries$ == 120", "not available"),
        ('strstr(s, "b")', "no function"),
        ("rndm > 0.5", "not available"),
    ],
)
def test_what_root_answers_by_accident_is_refused(cut, told, root, data):
    """In ROOT these give values of memory, of chance, or of what nobody means."""
    (found,) = root.entries(data("shapes").path, "t", [cut])
    assert found is not None
    error = error_of(
        lambda: sx.request("tcut", cut, dataset=data("shapes").dataset), "SX102", "SX103"
    )
    assert told in error.problem
