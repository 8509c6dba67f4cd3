"""Memory stays within its budget, and partitions that are too large are cut without a loss."""

from __future__ import annotations

import itertools
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.settings import load_settings

COLUMNS = ("event", "MET_pt", "nMuon", "Muon_pt", "Jet_pt")


def asked(path, columns=COLUMNS, **values):
    settings = replace(load_settings(), **values)
    return sx.dataset(path, "Events", settings=settings).select(*columns)


@pytest.fixture(scope="module")
def one_cluster(tmp_path_factory):
    """Return a file of one cluster whose baskets end at different entries in each branch."""
    path = tmp_path_factory.mktemp("flow") / "one.root"
    rng = np.random.default_rng(5)
    counts = rng.integers(0, 9, 6000)
    with uproot.recreate(path) as file:
        file.mktree("Events", {"event": "uint64", "Jet_pt": "var * float32"})
        file["Events"].extend(
            {
                "event": np.arange(6000, dtype=np.uint64),
                "Jet_pt": ak.unflatten(rng.random(counts.sum(), np.float32), counts),
            }
        )
    return path


@pytest.mark.parametrize("most", [10_000, 100_000, 10_000_000])
def test_partitions_that_are_cut_hold_every_row_once_and_in_order(nanoaod, most):
    query = asked(nanoaod, max_partition_memory=most)
    parts = list(query.stream(ordered=True))
    whole = ak.concatenate([ak.from_arrow(part.table) for part in parts])
    assert ak.array_equal(whole, uproot.open(nanoaod)["Events"].arrays(COLUMNS))
    edges = [(part.entry_start, part.entry_stop) for part in parts]
    assert edges[0][0] == 0
    assert edges[-1][1] == 20_000
    assert all(before[1] == after[0] for before, after in itertools.pairwise(edges))
    assert max(part.table.nbytes for part in parts) <= 2 * most
    assert (len(parts) == 1) == (most == 10_000_000)


@pytest.mark.parametrize("cut", ["Jet_pt[:, 0] > 0.9", "event % 7 == 3", "event > 5_500"])
def test_cuts_inside_a_cluster_change_no_selection(one_cluster, cut):
    whole = sx.dataset(one_cluster, "Events").where("num(Jet_pt) > 0").where(cut)
    small = replace(load_settings(), max_partition_memory=9_000)
    split = sx.dataset(one_cluster, "Events", settings=small).where("num(Jet_pt) > 0").where(cut)
    number = "get('LocalEntry$')"
    wanted = whole.select("event", "Jet_pt", n=number).compute()
    for _ in range(2):  # the second time with what the first one learned of the baskets
        assert ak.array_equal(split.select("event", "Jet_pt", n=number).compute(), wanted)
    assert len(wanted) > 10


@pytest.mark.samples
@pytest.mark.parametrize("name", ["pfnano.root", "nano_tree_rntuple.root"])
def test_real_files_are_cut_without_a_loss(samples, name):
    data = sx.dataset(samples / name, "Events")
    columns = [item for item in data.schema if item.startswith(("Muon_p", "Jet_p", "event"))]
    cut = replace(load_settings(), max_partition_memory=700)
    split = sx.dataset(samples / name, "Events", settings=cut).select(*columns)
    parts = list(split.stream(ordered=True))
    assert len(parts) > 2
    whole = ak.concatenate([ak.from_arrow(part.table) for part in parts])
    assert ak.array_equal(whole, data.select(*columns).compute())


def test_explain_says_why_and_where(nanoaod, one_cluster):
    assert "split" not in asked(nanoaod).explain()
    text = asked(nanoaod, max_partition_memory=500_000).explain()
    assert "split          because " in text
    assert "decoded exceed 500.0 kB: 1 range in " in text
    assert "at cluster edges" in text
    inside = asked(one_cluster, ("event", "Jet_pt"), max_partition_memory=90_000)
    assert "1 cut inside clusters" in inside.explain()


def test_partitions_depend_on_the_setting_and_not_on_the_budget(nanoaod, tmp_path):
    query = asked(nanoaod, max_partition_memory=200_000)
    names = [
        [item.object for item in query.deliver(tmp_path / str(memory), memory=memory).partitions]
        for memory in ("1 kB", "2 GB")
    ]
    assert names[0] == names[1]
    assert len(names[0]) > 3


def test_a_partition_larger_than_the_budget_still_runs(nanoaod):
    wanted = asked(nanoaod).compute()
    found = asked(nanoaod, partition_bytes=1).compute(memory=1)
    assert ak.array_equal(found, wanted)


def test_a_stalled_consumer_holds_no_more_than_the_budget(nanoaod):
    query = asked(nanoaod, max_partition_memory=20_000)
    assert query.stream().summary.partitions == 0
    with query.stream(memory="150 kB", scheduler="threads") as stream:
        next(stream)
        budget = stream._running().budget
        for _ in stream:
            assert budget.in_flight <= 150_000
            assert len(budget._expected) + len(budget._weighed) <= 5
    assert stream.summary.done > 40
    assert 20_000 < budget.most <= 150_000


def test_a_budget_on_a_cluster_bounds_what_is_fetched(nanoaod):
    query = asked(nanoaod, max_partition_memory=20_000)
    with (
        LocalBackend(2, threads_per_worker=1, processes=False) as client,
        query.stream(client=client, memory="100 kB", ordered=True) as stream,
    ):
        rows = next(stream).table.num_rows
        budget = stream._running().budget
        for part in stream:
            held = sum(budget._weighed.values())
            assert held <= 100_000
            rows += part.table.num_rows
    assert rows == 20_000
    assert budget.most <= 110_000


@pytest.mark.parametrize("memory", ["plenty", "0", 0, "-1 GB", True])
def test_a_budget_that_is_none_is_refused_at_once(nanoaod, memory):
    with pytest.raises(sx.SxdaskError) as caught:
        asked(nanoaod).stream(memory=memory)
    assert caught.value.code == "SX100"
    assert caught.value.hint


def test_the_setting_is_the_default(nanoaod):
    stream = asked(nanoaod, memory_budget=123_456).stream()
    next(stream)
    assert stream._running().budget.limit == 123_456
    stream.close()
