"""A scan reads what it must and nothing else, and counts it."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from sxdask.core.bounds import ZoneAll, ZoneCompare
from sxdask.core.errors import SelectionTypeError
from sxdask.rootio.model import Conjunct, ReadOptions, ScanSpec
from sxdask.rootio.read import read_columns, zones_of
from sxdask.rootio.scan import SELECTIVITY, Selectivity, scan
from sxdask.rootio.source import HEADER_BYTES
from tests.pieces import Tree, assert_same, describe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

EXACT = ReadOptions(gap_bytes=0)
CLUSTER = 100


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Return a tree of ten clusters of 100 entries; `event` counts them."""
    path = tmp_path_factory.mktemp("scan") / "scan.root"
    rng = np.random.default_rng(3)
    types = {
        "event": "int64",
        "met": "float32",
        "unused": "float64",
        "matrix": np.dtype((np.int16, (2, 3))),
        "pt": "var * float32",
    }
    with uproot.recreate(path) as file:
        written = file.mktree("Events", types)
        for start in range(0, 10 * CLUSTER, CLUSTER):
            counts = rng.integers(0, 4, CLUSTER)
            written.extend(
                {
                    "event": np.arange(start, start + CLUSTER),
                    "met": rng.exponential(30, CLUSTER).astype(np.float32),
                    "unused": rng.normal(size=CLUSTER),
                    "matrix": rng.integers(0, 99, (CLUSTER, 2, 3)).astype(np.int16),
                    "pt": ak.unflatten(
                        rng.exponential(20, counts.sum()).astype(np.float32), counts
                    ),
                }
            )
    return describe(path, "Events")


@pytest.fixture(autouse=True)
def _no_memory() -> None:
    SELECTIVITY.clear()


def _uproot(tree: Tree) -> Mapping[str, Any]:
    with uproot.open(tree.path) as file:
        found = file["Events"]
        return {name: found[name].array() for name in tree.layouts}


def _bytes(tree: Tree, name: str, first: int = 0, last: int | None = None) -> int:
    return int(tree.baskets[name].num_bytes[first:last].sum())


def _passing(name: str, test: Callable[[Any], Any], **options: Any) -> Conjunct:
    return Conjunct((name,), lambda columns: np.asarray(test(columns[name])), name, **options)


def test_reading_two_columns_touches_only_their_baskets(tree: Tree) -> None:
    result = read_columns(tree.piece(), tree.layouts, ["met", "pt"], EXACT)
    wanted = _bytes(tree, "met") + _bytes(tree, "pt")
    assert result.report.bytes_read == wanted + HEADER_BYTES
    assert (result.report.baskets_read, result.report.baskets_skipped) == (20, 0)
    assert (result.report.entries_in, result.report.entries_out) == (1000, 1000)
    assert result.report.ttree_opens == 0


def test_a_predicate_that_nothing_passes_reads_only_its_own_columns(tree: Tree) -> None:
    spec = ScanSpec(("pt", "matrix", "met"), (_passing("met", lambda met: met < 0),))
    result = scan(tree.piece(), tree.layouts, spec, EXACT)
    assert result.num_rows == 0
    assert result.report.bytes_read == _bytes(tree, "met") + HEADER_BYTES
    assert (result.report.baskets_read, result.report.baskets_skipped) == (10, 20)
    for name, array in _uproot(tree).items():
        if name in spec.columns:
            assert_same(result.arrays[name], array[:0], name)


def test_the_rest_is_read_only_for_baskets_with_a_survivor(tree: Tree) -> None:
    chosen = [5, 7, 333, 999]
    spec = ScanSpec(("pt", "event", "matrix"), (_passing("event", lambda e: np.isin(e, chosen)),))
    result = scan(tree.piece(), tree.layouts, spec, EXACT)
    rest = sum(_bytes(tree, name, i, i + 1) for name in ("pt", "matrix") for i in (0, 3, 9))
    assert result.report.bytes_read == _bytes(tree, "event") + rest + 2 * HEADER_BYTES
    for name in spec.columns:
        assert_same(result.arrays[name], ak.to_packed(_uproot(tree)[name][chosen]), name)


def test_known_statistics_leave_only_the_survivors_to_read(tree: Tree) -> None:
    zones = zones_of(tree.piece(), tree.layouts, ["event"], EXACT)
    test = ZoneAll((ZoneCompare("event", ">=", 420), ZoneCompare("event", "<", 430)))
    passing = _passing("event", lambda e: (e >= 420) & (e < 430), zone=test)
    spec = ScanSpec(("event", "pt"), (passing,))
    result = scan(tree.piece(zones=zones), tree.layouts, spec, EXACT)
    wanted = _bytes(tree, "event", 4, 5) + _bytes(tree, "pt", 4, 5)
    assert result.report.bytes_read == wanted + 2 * HEADER_BYTES
    assert result.arrays["event"].to_list() == list(range(420, 430))


def test_statistics_that_rule_out_everything_leave_nothing_but_the_check_of_the_file(
    tree: Tree,
) -> None:
    zones = zones_of(tree.piece(), tree.layouts, ["event"])
    passing = _passing("event", lambda e: e > 5000, zone=ZoneCompare("event", ">", 5000))
    result = scan(tree.piece(zones=zones), tree.layouts, ScanSpec(("pt",), (passing,)))
    assert (result.num_rows, result.report.baskets_read) == (0, 0)
    assert (result.report.requests, result.report.bytes_read) == (1, HEADER_BYTES)


def test_statistics_are_learned_for_whole_baskets(tree: Tree) -> None:
    learned = read_columns(tree.piece(50, 350), tree.layouts, ["event", "pt"]).learned
    assert learned["event"].known.tolist() == [False, True, True, False]
    assert learned["event"].low[1:3].tolist() == [100, 200]
    assert learned["event"].high[1:3].tolist() == [199, 299]
    counts = ak.num(_uproot(tree)["pt"][100:200])
    assert learned["pt"].count_high is not None
    assert learned["pt"].count_high[1] == ak.max(counts)
    off = ReadOptions(learn_zones=False)
    assert not read_columns(tree.piece(), tree.layouts, ["event"], off).learned


def test_statistics_known_already_are_not_read_again(tree: Tree) -> None:
    first = zones_of(tree.piece(), tree.layouts, ["event", "pt"])
    again = zones_of(tree.piece(zones=first), tree.layouts, ["event", "pt"])
    assert again["event"] is first["event"]


def test_a_column_is_read_once_however_often_it_is_used(tree: Tree) -> None:
    spec = ScanSpec(
        ("met", "met", "event"),
        (_passing("met", lambda met: met > 20), _passing("met", lambda met: met < 60)),
    )
    result = scan(tree.piece(), tree.layouts, spec, EXACT)
    assert list(result.arrays) == ["met", "event"]
    assert result.report.baskets_read == 20
    met = _uproot(tree)["met"]
    assert_same(result.arrays["met"], met[(met > 20) & (met < 60)])


def test_the_cheaper_condition_is_evaluated_first(tree: Tree) -> None:
    seen: list[str] = []

    def noting(name: str) -> Conjunct:
        def mask(columns: Mapping[str, Any]) -> np.ndarray:
            seen.append(name)
            return np.zeros(len(columns[name]), np.bool_)

        return Conjunct((name,), mask, name)

    assert _bytes(tree, "met") < _bytes(tree, "unused")
    scan(tree.piece(), tree.layouts, ScanSpec((), (noting("unused"), noting("met"))))
    assert seen == ["met"]


def test_a_condition_that_can_fail_sees_only_rows_that_the_others_leave(tree: Tree) -> None:
    first = Conjunct(
        ("pt",),
        lambda columns: np.asarray(columns["pt"][:, 0] > 10),
        "pt[:, 0] > 10",
        fallible=True,
    )
    guard = Conjunct(("pt",), lambda columns: np.asarray(ak.num(columns["pt"]) > 0), "num(pt) > 0")
    pt = _uproot(tree)["pt"]
    result = scan(tree.piece(), tree.layouts, ScanSpec(("pt",), (first, guard)))
    expected = pt[ak.num(pt) > 0]
    assert_same(result.arrays["pt"], ak.to_packed(expected[expected[:, 0] > 10]))
    with pytest.raises(SelectionTypeError, match=r"pt\[:, 0\] > 10 cannot be evaluated") as caught:
        scan(tree.piece(), tree.layouts, ScanSpec(("pt",), (first,)))
    assert caught.value.context["tree"] == "Events"


def test_a_condition_that_gives_a_mask_of_lists_is_an_error(tree: Tree) -> None:
    bad = Conjunct(("pt",), lambda columns: columns["pt"] > 10, "pt > 10")
    with pytest.raises(SelectionTypeError, match="pt > 10"):
        scan(tree.piece(), tree.layouts, ScanSpec(("met",), (bad,)))
    number = _passing("met", lambda met: met * 2)
    with pytest.raises(SelectionTypeError, match="one boolean for each entry"):
        scan(tree.piece(), tree.layouts, ScanSpec(("met",), (number,)))


def test_a_selective_condition_moves_to_the_front() -> None:
    memory = Selectivity()
    assert memory.removed("a") == 0.5
    memory.observe("a", 100, 1)
    memory.observe("a", 100, 3)
    assert memory.removed("a") == pytest.approx(0.98)
    memory.clear()
    assert memory.removed("a") == 0.5


def test_a_result_pickles(tree: Tree) -> None:
    result = read_columns(tree.piece(), tree.layouts, ["pt"])
    copy = pickle.loads(pickle.dumps(result))
    assert_same(copy.arrays["pt"], result.arrays["pt"])
    assert copy.report == result.report


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_any_number_of_threads_gives_the_same(tree: Tree, threads: int) -> None:
    names = list(tree.layouts)
    result = read_columns(tree.piece(30, 970), tree.layouts, names, ReadOptions(threads=threads))
    for name, array in _uproot(tree).items():
        assert_same(result.arrays[name], array[30:970], name)


def test_an_empty_range_has_columns_of_the_right_type(tree: Tree) -> None:
    result = read_columns(tree.piece(40, 40), tree.layouts, list(tree.layouts))
    for name, array in _uproot(tree).items():
        assert_same(result.arrays[name], array[:0], name)
