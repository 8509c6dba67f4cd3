"""Cuts at random pass exactly the entries that they pass in ROOT, or are refused with a reason."""

from __future__ import annotations

from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from sxdask.core.errors import SelectionSyntaxError, SelectionTypeError
from tests.conftest import IN_CI
from tests.differential.tcut.generator import cuts

# What the language refuses and ROOT does not, each with a test of its own.
REFUSED = (
    "has a fixed size: its index",
    "stands beside an array of a fixed size",
    "has no meaning inside an index",
)


# ROOT answers too slowly for shrinking, and the assertion tells the one cut that differs.
@settings(
    derandomize=True,  # ROOT itself reads stale values now and then
    max_examples=40 if IN_CI else 5,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(cuts(), min_size=1, max_size=20))
@example(["x > k && x > b"])  # an array that comes again sets the number of instances again
@example(["k > 2 && x[k] > 1", "y > 0 && x[k] > 5"])  # negative: beyond the first array
@example(["!(x > k[d])", "(y[u]*2-0) > x"])  # one item looked up beside a list
@example(["i < i<=(i)", "i<=j<2", "i>>1>j", "i>j>=1"])  # signs that ROOT does not see
def test_a_cut_passes_the_entries_that_it_passes_in_root(root, data, wanted):
    shapes = data("shapes")
    for cut, expected in zip(wanted, root.entries(shapes.path, "t", wanted), strict=True):
        told, found = "", None
        try:
            found = shapes.entries(cut)
        except (SelectionSyntaxError, SelectionTypeError) as error:
            told = error.problem
        assert found == expected or any(reason in told for reason in REFUSED), cut
