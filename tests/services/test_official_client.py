"""``sxdask serve`` and the official ServiceX client, unchanged: what it delivers is right."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

import sxdask as sx
from tests.services.official_client import OfficialClient, ServedX, served

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SELECTION = """
raw = UPROOT_RAW([{"treename": "Events", "filter_name": ["event", "MET_pt", "Muon_pt"],
                   "cut": "MET_pt > 30"}])
adl = (FUNC_ADL().FromTree("Events").Where(lambda e: e.MET_pt > 30)
       .Select(lambda e: {"event": e.event, "MET_pt": e.MET_pt, "Muon_pt": e.Muon_pt}))

def run_query(path):
    import uproot
    events = uproot.open(path)["Events"].arrays(["event", "MET_pt", "Muon_pt"])
    return events[events.MET_pt > 30]
"""

DELIVER = (
    SELECTION
    + """
def samples(kind):
    files = dataset.FileList(VALUES["files"])
    queries = {"raw": raw, "adl": adl, "python": python(run_query)}
    names = ["raw"] if kind == "URLs" else queries
    return [Sample(Name=name, Dataset=files, Query=queries[name]) for name in names]

async def main():
    wanted = [(name, "LocalCache") for name in ("parquet", "root-ttree", "root-rntuple")]
    wanted.append(("root-ttree", "URLs"))
    calls = [
        get(samples(kind), f"{VALUES['home']}/cache-{number}",
            general={"OutputFormat": name, "Delivery": kind})
        for number, (name, kind) in enumerate(wanted)
    ]
    glob = VALUES["glob"]
    calls.append(get([
        Sample(Name="all", Dataset=dataset.XRootD(glob), Query=raw),
        Sample(Name="one", Dataset=dataset.XRootD(glob), NFiles=1, Query=raw),
    ], f"{VALUES['home']}/cache-x"))
    # One after the other: the client gives a reply five seconds, and has much to do itself.
    *found, from_xrootd = [await call for call in calls]
    named = {" ".join(key): value for key, value in zip(wanted, found)}
    tell({"found": named, "xrootd": from_xrootd})

asyncio.run(main())
"""
)


@pytest.fixture(scope="module")
def files(nanoaod_files: list[Path]) -> list[Path]:
    return nanoaod_files[:2]


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, files: list[Path], xrootd_server: Any
) -> Iterator[ServedX]:
    folder = tmp_path_factory.mktemp("service")
    for file in files:
        xrootd_server.put(f"official/{file.name}", file.read_bytes())
    config = folder / "service.yaml"
    config.write_text(f"hosts: ['127.0.0.1:{xrootd_server.port}']\nallow_python: true\n")
    root = str(files[0].parent)
    arguments = ("--port", "0", "--workers", "2", "--root", root, "--config", str(config))
    with served(folder / "data", *arguments) as running:
        yield running


@pytest.fixture(scope="module")
def client(
    service: ServedX, servicex_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> OfficialClient:
    found = OfficialClient(servicex_python, tmp_path_factory.mktemp("home"))
    found.configure(service.client_file)
    return found


@pytest.fixture(scope="module")
def delivered(client: OfficialClient, files: list[Path], xrootd_server: Any) -> dict[str, Any]:
    """Return paths by format and way of delivery: three samples at the same time."""
    found = client.run(
        DELIVER,
        files=files,
        home=client.home,
        glob=f"root://127.0.0.1:{xrootd_server.port}//data/official/*.root",
    )
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def expected(files: list[Path]) -> ak.Array:
    """Return the events that each sample should have, as uproot reads them."""
    sources = {str(file): "Events" for file in files}
    events = uproot.concatenate(sources, ["event", "MET_pt", "Muon_pt"])
    return ordered(events[events.MET_pt > 30])


def ordered(events: ak.Array) -> ak.Array:
    """Return the events in an order that does not depend on that of files."""
    return events[np.argsort(ak.to_numpy(events.event))]


def read(paths: list[str]) -> ak.Array:
    """Return what the files at `paths` hold together."""
    if paths[0].endswith(".parquet"):
        return ordered(ak.concatenate([ak.from_parquet(path) for path in paths]))
    arrays = []
    for path in paths:
        with uproot.open(path) as file:
            kinds = file.classnames(cycle=False).items()
            (name,) = [key for key, kind in kinds if kind in {"TTree", "ROOT::RNTuple"}]
            arrays.append(file[name].arrays(["event", "MET_pt", "Muon_pt"]))
    return ordered(ak.concatenate(arrays))


def require_same(found: ak.Array, expected: ak.Array) -> None:
    assert len(found) == len(expected) > 0
    for name in ("event", "MET_pt", "Muon_pt"):
        assert ak.array_equal(ak.drop_none(found[name]), expected[name], dtype_exact=False)


@pytest.mark.parametrize("sample", ["raw", "adl", "python"])
@pytest.mark.parametrize("kind", ["parquet", "root-ttree", "root-rntuple"])
def test_a_sample_is_what_uproot_finds_in_every_language_and_format(
    delivered, expected, kind, sample
):
    paths = delivered["found"][f"{kind} LocalCache"][sample]
    assert isinstance(paths, list), paths
    assert len(paths) == 2
    require_same(read(paths), expected)


def test_urls_that_the_client_signs_lead_to_the_same(delivered, expected, tmp_path):
    urls = delivered["found"]["root-ttree URLs"]["raw"]
    assert isinstance(urls, list), urls
    paths = []
    for number, url in enumerate(urls):
        with urllib.request.urlopen(url) as answer:
            paths.append(tmp_path / f"{number}.root")
            paths[-1].write_bytes(answer.read())
    require_same(read(list(map(str, paths))), expected)


def test_files_of_an_xrootd_server_are_found_and_as_many_as_were_asked_for(delivered, expected):
    assert len(delivered["xrootd"]["one"]) == 1
    require_same(read(delivered["xrootd"]["all"]), expected)


@pytest.mark.parametrize("language", ["uproot-raw", "qastle"])
def test_a_sample_is_what_sxdask_finds_without_a_service(delivered, files, language):
    selections = {
        "uproot-raw": '[{"treename": "Events", "filter_name": ["event", "MET_pt", "Muon_pt"], '
        '"cut": "MET_pt > 30"}]',
        "qastle": "(call Select (call Where (call EventDataset 'x' 'Events') (lambda (list e) "
        "(> (attr e 'MET_pt') 30))) (lambda (list e) (dict (list 'event' 'MET_pt' 'Muon_pt') "
        "(list (attr e 'event') (attr e 'MET_pt') (attr e 'Muon_pt')))))",
    }
    here = sx.request(language, selections[language], dataset=sx.dataset(list(map(str, files))))
    sample = "raw" if language == "uproot-raw" else "adl"
    paths = delivered["found"]["parquet LocalCache"][sample]
    require_same(read(paths), ordered(here.compute()))


def test_the_analysis_helper_of_servicex_reads_what_was_delivered(client, delivered, expected):
    kinds = ("parquet", "root-ttree", "root-rntuple")
    found = client.run(
        """
        from servicex_analysis_utils import to_awk

        def events(samples):
            return {name: sorted(item["event"].to_list()) for name, item in to_awk(samples).items()}

        tell({kind: events(samples) for kind, samples in VALUES["samples"].items()})
        """,
        samples={kind: delivered["found"][f"{kind} LocalCache"] for kind in kinds},
    )
    wanted = dict.fromkeys(("raw", "adl", "python"), expected.event.to_list())
    assert found == dict.fromkeys(kinds, wanted)
