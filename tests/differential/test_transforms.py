"""Every codegen in every format of results: equal to sxdask run here, and to uproot."""

from __future__ import annotations

from base64 import b64encode

import awkward as ak
import pyarrow.parquet as pq
import pytest
import uproot

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from tests.transforms import laboratory

COLUMNS = ["MET_pt", "Muon_pt"]
QASTLE = (
    "(call Select (call Where (call EventDataset 'bogus.root' 'Events')"
    " (lambda (list e) (> (attr e 'MET_pt') 30)))"
    " (lambda (list e) (dict (list 'MET_pt' 'Muon_pt')"
    " (list (attr e 'MET_pt') (attr e 'Muon_pt')))))"
)
RAW = [{"treename": "Events", "filter_name": COLUMNS, "cut": "MET_pt > 30"}]
FUNCTION = """
import uproot

def run_query(path):
    events = uproot.open(path)["Events"].arrays(["MET_pt", "Muon_pt"])
    return events[events.MET_pt > 30]
"""
REQUESTS = {
    "uproot": (QASTLE, "qastle", QASTLE, "servicex"),
    "uproot-raw": (RAW, "uproot-raw", RAW, "Events"),
    "tcut": (
        {"selection": "MET_pt > 30", "columns": COLUMNS, "tree": None},
        "tcut",
        {"selection": "MET_pt > 30", "columns": COLUMNS},
        "servicex",
    ),
    "skyhook": (
        "select MET_pt>30, project Events;1.MET_pt,Events;1.Muon_pt",
        "skyhook",
        "select MET_pt>30, project Events;1.MET_pt,Events;1.Muon_pt",
        "servicex",
    ),
    "python": (b64encode(FUNCTION.encode()).decode(), "python", FUNCTION, "servicex"),
}


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    with LocalBackend(1, threads_per_worker=2, processes=False) as client:
        folder = tmp_path_factory.mktemp("lab")
        with laboratory(folder, lambda: client, allow_python=True) as found:
            yield found


def read(path, tree):
    """Return the two columns of a result."""
    if path.suffix == ".parquet":
        table = pq.read_table(path)
        return ak.from_arrow(table.select(COLUMNS))
    with uproot.open(path) as file:
        return file[tree].arrays(COLUMNS)


def equal(found, expected):
    return all(
        ak.array_equal(ak.drop_none(found[name]), expected[name], dtype_exact=False)
        for name in COLUMNS
    )


@pytest.mark.parametrize("codegen", REQUESTS)
@pytest.mark.parametrize("result_format", ["parquet", "root-file", "root-rntuple"])
def test_results_are_those_of_a_run_here_and_of_uproot(lab, nanoaod_files, codegen, result_format):
    selection, language, local, tree = REQUESTS[codegen]
    files = nanoaod_files[: 1 if codegen == "python" else 2]
    transform, results = lab.run(selection, files, codegen, result_format)
    lab.require_exact(transform.request_id)
    for item, path in zip(results, files, strict=True):
        assert item.ok, item.message
        found = read(lab.folder(transform.request_id) / item.object, tree)
        here = sx.request(language, local, dataset=sx.dataset(str(path), "Events")).compute()
        here = ak.from_arrow(here) if codegen == "skyhook" else here
        with uproot.open(path) as file:
            expected = file["Events"].arrays(COLUMNS)
        expected = expected[expected.MET_pt > 30]
        assert item.rows == len(found) == len(here) == len(expected) > 0
        assert equal(found, here)
        assert equal(found, expected)
