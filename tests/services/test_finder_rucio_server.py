"""Datasets of a real Rucio server: the contract of finders, replicas, and reading them."""

from __future__ import annotations

import os
import time

import pytest
from rucio.common.config import clean_cached_config

import sxdask as sx
from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    RequestError,
)
from sxdask.datasets.address import parse_address
from sxdask.datasets.finders.rucio import RucioFinder
from sxdask.datasets.replicas import Preference
from sxdask.service.database.connect import open_database
from sxdask.service.database.store import SqlStore
from sxdask.service.database.tables import METADATA
from sxdask.service.transforms.lookups import Lookups
from sxdask.service.transforms.ports import NewTransform
from sxdask.testing import write_nanoaod
from tests.contracts.test_finders import FinderContract
from tests.services.rucioserver import SCOPE
from tests.unit.service.test_lookups import ended

DATASETS = int(os.environ.get("SXDASK_RUCIO_DATASETS", "25"))


@pytest.fixture(scope="module")
def rucio(rucio_server, xrootd_server):
    """Return the server with sites and data sets; LAB has the files of the XRootD server."""
    server = rucio_server
    server.site("NEAR", ("root", "near.example.org", 1094, "//data/"))
    server.site(
        "FAR",
        ("davs", "far.example.org", 443, "/far/"),
        ("root", "far.example.org", 1094, "//far/"),
    )
    server.site("TAPE", ("root", "tape.example.org", 1094, "//tape/"), tape=True)
    server.site("OFF", ("root", "off.example.org", 1094, "//off/"))
    server.client.update_rse("OFF", {"availability_read": False})
    server.site("DEAD", ("http", "127.0.0.1", 9, "/dead/"))
    server.site("LAB", ("root", "127.0.0.1", xrootd_server.port, "//data/rucio/"))
    one = server.dataset("one", server.files("a.root", "b.root", "c.root", sites=("NEAR", "FAR")))
    two = server.dataset("two", server.files("d.root", sites=("FAR", "TAPE")))
    on_tape = server.files("tape.root", sites=("TAPE",)) + server.files("off.root", sites=("OFF",))
    server.dataset("mixed", [*on_tape, {"scope": SCOPE, "name": "a.root"}])
    server.dataset("empty", [])
    inner = server.container("inner", [one, two])
    server.container("outer", [inner])
    server.container("hollow", [])
    return server


@pytest.fixture(autouse=True)
def _configured(rucio, monkeypatch):
    monkeypatch.setenv("RUCIO_CONFIG", str(rucio.config))
    clean_cached_config()


def find(name, finder=None):
    address = parse_address(f"rucio://{SCOPE}:{name}")
    return (finder or RucioFinder()).find(address, storage_options={})


class TestRucioServer(FinderContract):
    scheme = "rucio"
    bad_name = "rucio://no-scope"

    @pytest.fixture
    def three_files(self) -> str:
        return f"rucio://{SCOPE}:one"

    @pytest.fixture
    def no_files(self) -> str:
        return f"rucio://{SCOPE}:nothing"


def test_replicas_are_on_disk_and_in_the_order_of_preference():
    prefer = Preference(sites=("FAR",), schemes=("https", "root"))
    (entry,) = find("two", RucioFinder(prefer))
    hosts = [place.split("/")[0] + "//" + place.split("/")[2] for place in entry.places]
    assert hosts == ["https://far.example.org:443", "root://far.example.org:1094"]
    (_, first, _) = find("one", RucioFinder(Preference(sites=("NEAR", "FAR"))))
    assert [place.split("/")[2] for place in first.places] == [
        "near.example.org:1094",
        "far.example.org:1094",
        "far.example.org:443",
    ]
    assert (first.size, first.events, first.adler32) == (1000, 100, "0cc737eb")


@pytest.mark.parametrize(
    ("name", "files"), [("a.root", 1), ("one", 3), ("inner", 4), ("outer", 4), ("outer/", 4)]
)
def test_files_datasets_and_containers_are_expanded(name, files):
    assert len(find(name)) == files


def test_what_is_on_tape_or_switched_off_cannot_be_had():
    with pytest.raises(AccessDeniedError, match=r"off\.root.*tape\.root|tape\.root.*off\.root"):
        find("mixed")
    assert len(find("mixed?get=available")) == 1


@pytest.mark.parametrize("name", ["empty", "hollow"])
def test_what_is_empty_exists(name):
    with pytest.raises(EmptyDatasetError, match="has no files") as caught:
        find(name)
    assert caught.value.context["exists"]


def test_a_scope_that_is_not_there_takes_no_time():
    begin = time.monotonic()
    with pytest.raises(FileMissingError):
        RucioFinder().find(parse_address("rucio://no.scope:one"), storage_options={})
    with pytest.raises(RequestError, match="add the scope"):
        RucioFinder().find(parse_address("rucio://data18_13TeV.physics"), storage_options={})
    assert time.monotonic() - begin < 10


def test_a_wrong_password_is_not_let_in_and_not_repeated(rucio, tmp_path, monkeypatch):
    text = rucio.config.read_text().replace("password = ", "password = wrong-")
    config = tmp_path / "rucio.cfg"
    config.write_text(text.replace("auth_token_file_path = ", f"auth_token_file_path = {tmp_path}"))
    monkeypatch.setenv("RUCIO_CONFIG", str(config))
    clean_cached_config()
    with pytest.raises(AccessDeniedError, match="does not let this process in") as caught:
        find("one")
    assert "wrong-" not in str(caught.value)


def test_a_dataset_is_read_from_the_replica_that_answers(rucio, xrootd_server, tmp_path):
    local = []
    names = [f"nano.{number}.root" for number in range(2)]
    rucio.dataset("nano", rucio.files(*names, sites=("DEAD", "LAB")))
    prefer = Preference(sites=("DEAD", "LAB"), schemes=("http", "root"))
    for number, entry in enumerate(find("nano", RucioFinder(prefer))):
        dead, good = entry.places
        assert dead.startswith("http://127.0.0.1:9/")
        local.append(write_nanoaod(tmp_path / f"{number}.root", 300, seed=number))
        xrootd_server.put(good.partition("//data/")[2], local[-1].read_bytes())
    found = sx.dataset(
        f"rucio://{SCOPE}:nano:Events",
        settings=sx_settings(tmp_path, replica_sites="DEAD,LAB", replica_schemes="http,root"),
    )
    assert found.num_events == 600
    rows = found.select("MET_pt").compute().to_list()
    assert rows == sx.dataset(local, "Events").select("MET_pt").compute().to_list()


def sx_settings(folder, **values):
    from sxdask.core.settings import Settings

    return Settings(cache_dir=folder, **values)


def test_a_large_container_is_looked_up_in_parts(rucio, tmp_path):
    """``SXDASK_RUCIO_DATASETS`` says how many datasets of ten files it has."""
    names = {
        f"large.{number:04}": [f"large.{number:04}.{item}.root" for item in range(10)]
        for number in range(DATASETS)
    }
    rucio.files(*(name for files in names.values() for name in files), sites=("NEAR",))
    members = rucio.datasets(
        {
            dataset: [{"scope": SCOPE, "name": name} for name in files]
            for dataset, files in names.items()
        }
    )
    rucio.container("large", members)
    engine = open_database(f"sqlite:///{tmp_path / 'service.db'}")
    METADATA.create_all(engine)
    store = SqlStore(engine)
    did = f"rucio://{SCOPE}:large"
    made = store.submit(NewTransform("t", "s", "c", "parquet", "volume", "k", did=did))
    record, first = store.dataset(made.did_id), list[float]()
    assert record is not None
    begin = time.monotonic()

    def wake():
        if not first and store.dataset_files(made.did_id):
            first.append(time.monotonic() - begin)

    lookups = Lookups(store=store, wake=wake)
    try:
        lookups.begin(record)
        found = ended(store, made, 20 + DATASETS)
        seconds = time.monotonic() - begin
    finally:
        lookups.stop()
        engine.dispose()
    assert (found.lookup_status, found.num_files) == ("complete", 10 * DATASETS)
    assert found.events == 1000 * DATASETS
    print(f"{DATASETS} datasets in {seconds:.2f} s, the first files after {first[0]:.2f} s")  # noqa: T201
    if DATASETS > 20:
        assert first[0] < seconds  # work begins before all is known
