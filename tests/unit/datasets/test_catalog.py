"""Named datasets: what they hold, who may be called how, and writing that loses nothing."""

from __future__ import annotations

import json
import multiprocessing

import pytest

import sxdask as sx
from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    RequestError,
)
from sxdask.core.settings import Settings, load_settings
from sxdask.datasets.catalog import Catalog, NamedDataset, catalog_path
from sxdask.datasets.resolve import resolve


@pytest.fixture
def settings(tmp_path):
    return Settings(cache_dir=tmp_path, catalog=str(tmp_path / "group" / "catalog.json"))


@pytest.fixture
def catalog(settings):
    return Catalog(catalog_path(settings))


@pytest.fixture
def folder(tmp_path):
    for name in "cab":
        (tmp_path / f"{name}.root").touch()
    return tmp_path


def test_what_was_added_is_there(catalog):
    made = NamedDataset("ttbar_2018", ("/data/*.root", "rucio://a:b"), "Events", "for the thesis")
    catalog.add(made)
    catalog.add(NamedDataset("data", ("/other",)))
    assert list(catalog.datasets()) == ["data", "ttbar_2018"]
    assert Catalog(catalog.path).get("ttbar_2018") == made
    assert catalog.remove("data").files == ("/other",)
    assert list(catalog.datasets()) == ["ttbar_2018"]


def test_a_name_that_is_taken_stays_unless_it_is_to_be_replaced(catalog):
    catalog.add(NamedDataset("data", ("/one",)))
    with pytest.raises(RequestError, match="already"):
        catalog.add(NamedDataset("data", ("/two",)))
    assert catalog.get("data").files == ("/one",)
    catalog.add(NamedDataset("data", ("/two",)), replace=True)
    assert catalog.get("data").files == ("/two",)


@pytest.mark.parametrize(
    "name", ["", "a/b", "x.root", "-x", ".x", "a b", "a:b", "s3://x", "x" * 200]
)
def test_a_dataset_is_not_called_like_a_file_or_a_url(catalog, name):
    with pytest.raises(RequestError, match="cannot be the name"):
        catalog.add(NamedDataset(name, ("/data",)))
    assert not catalog.path.exists()


def test_a_name_that_is_not_there_brings_up_close_ones(catalog):
    catalog.add(NamedDataset("ttbar", ("/data",)))
    for look in (catalog.get, catalog.remove):
        with pytest.raises(FileMissingError, match="did you mean 'ttbar'"):
            look("tbar")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        '{"version": 2, "datasets": {}}',
        '{"version": 1, "datasets": {"a": {}}}',
        '{"version": 1, "datasets": {"a": {"files": "x"}}}',
        '{"version": 1, "datasets": {"a": {"files": [], "tree": 3}}}',
    ],
)
def test_a_file_that_is_no_catalog_is_named_and_kept(catalog, text):
    catalog.path.parent.mkdir()
    catalog.path.write_text(text)
    for use in (catalog.datasets, lambda: catalog.add(NamedDataset("a", ("/b",)))):
        with pytest.raises(RequestError, match="is no catalog"):
            use()
    assert catalog.path.read_text() == text


def test_a_place_that_cannot_be_written_to_is_an_error(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(AccessDeniedError, match="cannot be written"):
        Catalog(tmp_path / "file" / "catalog.json").add(NamedDataset("a", ("/b",)))


def _add(path, first):
    for number in range(first, first + 10):
        Catalog(path).add(NamedDataset(f"d{number}", ("/data",)))


def test_many_who_write_at_once_lose_nothing(catalog):
    start = multiprocessing.get_context("spawn")
    writers = [start.Process(target=_add, args=(catalog.path, 10 * item)) for item in range(3)]
    for writer in writers:
        writer.start()
    _add(catalog.path, 100)
    for writer in writers:
        writer.join()
    assert len(catalog.datasets()) == 40
    assert [path.name for path in catalog.path.parent.iterdir() if "json-" in path.name] == []


def test_a_catalog_of_a_group_stays_readable_for_it(catalog):
    catalog.add(NamedDataset("a", ("/b",)))
    catalog.path.chmod(0o664)
    catalog.add(NamedDataset("c", ("/d",)))
    assert catalog.path.stat().st_mode & 0o777 == 0o664


def test_the_file_is_in_the_users_configuration(monkeypatch, tmp_path):
    monkeypatch.delenv("SXDASK_CATALOG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert catalog_path(load_settings()) == tmp_path / "sxdask" / "catalog.json"


def urls(found):
    return [url.rpartition("/")[2] for url in found.urls]


def test_names_lead_to_files_with_tree_and_limit(catalog, folder, settings):
    catalog.add(NamedDataset("all", (f"{folder}/[ab].root", f"{folder}/c.root:Runs"), "Events"))
    for name in ("catalog://all", "all"):
        found = resolve(name, settings=settings)
        assert urls(found) == ["a.root", "b.root", "c.root"]
        assert [entry.tree for entry in found.files] == ["Events", "Events", "Runs"]
    assert urls(resolve("all?files=2", settings=settings)) == ["a.root", "b.root"]
    assert resolve("all:Other?files=1", settings=settings).trees == ("Other",)
    assert resolve("all", "Other", settings=settings).trees == ("Other",)


def test_a_dataset_may_be_made_of_others(catalog, folder, settings):
    catalog.add(NamedDataset("one", (f"{folder}/a.root",), "Events"))
    catalog.add(NamedDataset("two", (f"{folder}/[bc].root",)))
    catalog.add(NamedDataset("both", ("catalog://two?files=1", "catalog://one")))
    found = resolve("both", settings=settings)
    assert urls(found) == ["b.root", "a.root"]
    assert [entry.tree for entry in found.files] == [None, "Events"]


def test_datasets_that_name_each_other_are_refused(catalog, settings):
    catalog.add(NamedDataset("one", ("catalog://two",)))
    catalog.add(NamedDataset("two", ("catalog://one",)))
    with pytest.raises(RequestError, match="one -> two -> one"):
        resolve("one", settings=settings)


def test_an_empty_dataset_says_so(catalog, settings):
    catalog.add(NamedDataset("none", ()))
    with pytest.raises(EmptyDatasetError, match="of the catalog is empty"):
        resolve("catalog://none", settings=settings)


def test_a_bare_name_that_is_a_file_too_is_ambiguous(catalog, folder, settings, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "mine").mkdir()
    catalog.add(NamedDataset("mine", (f"{folder}/a.root",)))
    with pytest.raises(RequestError, match=r"write './mine' or 'catalog://mine'"):
        resolve("mine", settings=settings)
    assert urls(resolve("catalog://mine", settings=settings)) == ["a.root"]
    with pytest.raises(EmptyDatasetError, match="has no"):
        resolve("./mine", settings=settings)


def test_a_catalog_that_is_broken_leaves_files_alone(catalog, folder, settings, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "sub").mkdir()
    (folder / "sub" / "x.root").touch()
    catalog.path.parent.mkdir()
    catalog.path.write_text("nonsense")
    assert urls(resolve("sub", settings=settings)) == ["x.root"]
    with pytest.raises(RequestError, match="is no catalog"):
        resolve("nothing", settings=settings)


def test_a_password_in_the_catalog_is_refused_and_not_repeated(catalog, settings):
    catalog.add(NamedDataset("bad", ("root://ada:hush@host//a.root",)))
    with pytest.raises(RequestError) as caught:
        resolve("bad", settings=settings)
    assert "hush" not in str(caught.value)


def test_a_person_may_write_the_file(catalog, folder, settings):
    catalog.path.parent.mkdir()
    text = {"version": 1, "datasets": {"mine": {"files": [f"{folder}/a.root"]}}}
    catalog.path.write_text(json.dumps(text))
    assert urls(resolve("mine", settings=settings)) == ["a.root"]


def test_a_named_dataset_is_read(nanoaod_files, settings):
    Catalog(catalog_path(settings)).add(
        NamedDataset("nano", tuple(map(str, nanoaod_files)), "Events")
    )
    assert sx.dataset("nano", settings=settings).num_events == 10_000
