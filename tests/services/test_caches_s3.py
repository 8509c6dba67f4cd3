"""Results kept in a bucket, and columns of files in one, with the workers of a cluster."""

from __future__ import annotations

import awkward as ak
import pytest

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.settings import load_settings
from sxdask.deliver.cache import open_cache
from sxdask.deliver.cache_upkeep import objects_of, prune, requests_of
from sxdask.testing import write_nanoaod_files


@pytest.fixture
def files(tmp_path) -> list[str]:
    (tmp_path / "data").mkdir()
    paths = write_nanoaod_files(tmp_path / "data", 2_000, 4, entries_per_cluster=500)
    return [str(path) for path in paths]


@pytest.fixture
def kept(bucket, s3_environment, monkeypatch, tmp_path):
    """Keep results in the bucket, columns on the disk; return the cache."""
    monkeypatch.setenv("SXDASK_RESULT_CACHE", f"{bucket.url}/results")
    monkeypatch.setenv("SXDASK_RESULT_CACHE_BYTES", "100000000")
    monkeypatch.setenv("SXDASK_COLUMN_CACHE", "auto")
    monkeypatch.setenv("SXDASK_CACHE_DIR", str(tmp_path / "cache"))
    cache = open_cache(load_settings())
    assert cache is not None
    return cache


def skim(files) -> sx.Query:
    return sx.dataset(files, "Events").where("nMuon >= 1").select("event", lead="max(Muon_pt)")


def test_results_in_a_bucket_are_listed_reused_and_pruned(kept, files):
    whole = skim(files).compute(cache=False)
    skim(files[:3]).compute()
    assert "stored results 3 of 4 partitions" in skim(files).explain()
    query = skim(files)
    assert ak.array_equal(query.compute(), whole)
    assert query.summary.report.results_reused == 3
    (entry,) = requests_of(kept)
    assert (entry.objects, entry.reused) == (4, 3)
    assert prune(kept, everything=True).objects == 4 + 2  # two runs as a whole
    assert objects_of(kept) == []


def test_workers_of_a_cluster_reuse_results_by_themselves(kept, files):
    with LocalBackend(1, threads_per_worker=2) as client:
        whole = skim(files).compute(client)
        query = skim(files)
        assert ak.array_equal(query.compute(client), whole)
        assert query.summary.report.results_reused == 4
        assert query.summary.report.baskets_read == 0


def test_columns_of_files_in_a_bucket_are_fetched_once(kept, bucket, files, monkeypatch):
    monkeypatch.setenv("SXDASK_RESULT_CACHE_BYTES", "0")
    name = f"{bucket.url}/data/a.root"
    import fsspec

    filesystem, place = fsspec.core.url_to_fs(name)
    filesystem.put_file(files[0], place)
    first = sx.dataset(name, "Events").select("MET_pt", "Muon_pt")
    again = sx.dataset(name, "Events").select("MET_pt", "Muon_pt")
    assert ak.array_equal(first.compute(), again.compute())
    report = again.summary.report
    assert (report.requests, report.bytes_read) == (1, 80)
    assert report.cached_baskets == first.summary.report.baskets_read


def test_a_bucket_that_is_gone_only_costs_the_computing(kept, files, monkeypatch):
    files = files[:1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    query = skim(files)
    rows = query.compute()
    assert ak.array_equal(rows, skim(files).compute(cache=False))
    assert query.summary.report.results_kept == 0
