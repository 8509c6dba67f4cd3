"""ROOT files to Arrow and Parquet and back: what is delivered is what uproot reads."""

from __future__ import annotations

import awkward as ak
import pytest
import uproot

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.deliver.encode import metadata_of
from sxdask.testing import write_nanoaod

NAMES = ["event", "Muon_pt", "Muon_charge", "MET_pt"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("nanoaod")
    return [
        write_nanoaod(folder / f"{n}.root", 600, seed=n, entries_per_cluster=200) for n in range(3)
    ]


@pytest.fixture(scope="module")
def truth(files):
    found = []
    for path in files:
        with uproot.open(path) as file:
            found.append(file["Events"].arrays(NAMES))
    whole = ak.concatenate(found)
    return whole[whole.MET_pt > 20]


def request(files):
    return (
        sx.dataset([str(path) for path in files], tree="Events").where("MET_pt > 20").select(*NAMES)
    )


@pytest.mark.parametrize("format_name", ["arrow", "parquet"])
def test_what_is_delivered_is_what_uproot_reads(files, truth, tmp_path, format_name):
    manifest = request(files).deliver(tmp_path / "out", format=format_name, scheduler="threads")
    back = manifest.to_awkward()
    assert str(back.type) == str(truth.type)
    assert ak.array_equal(back, truth)
    assert manifest.verify() == []
    assert metadata_of(manifest.to_table())["fingerprint"] == manifest.fingerprint


def test_a_cluster_delivers_the_same(files, truth, tmp_path):
    with LocalBackend(2, threads_per_worker=1) as client:
        manifest = request(files).deliver(tmp_path / "out", client=client)
    assert ak.array_equal(manifest.to_awkward(), truth)


@pytest.mark.parametrize("rows", ["{'pt': e.Muon_pt, 'met': e.MET_pt}", "(e.MET_pt, e.nMuon)"])
def test_a_delivery_of_nothing_reads_back_with_its_types(files, tmp_path, rows):
    text = f"EventDataset().Where(lambda e: e.MET_pt > 1e9).Select(lambda e: {rows})"
    query = sx.request("func_adl", text, dataset=sx.dataset([str(path) for path in files]))
    manifest = query.deliver(tmp_path / "out", scheduler="threads")
    assert manifest.rows == 0
    assert str(manifest.to_awkward().type) == str(query.compute(scheduler="threads").type)
    assert manifest.dataset().schema.equals(manifest.to_table().schema)
