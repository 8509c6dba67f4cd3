"""What every finder promises. A new finder adds a subclass with one fixture and no tests."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import TYPE_CHECKING

import fsspec
import pytest

from sxdask.core.errors import DatasetError, RequestError
from sxdask.core.settings import Settings, load_settings
from sxdask.datasets.address import parse_address
from sxdask.datasets.catalog import Catalog, NamedDataset, catalog_path
from sxdask.datasets.finder import FINDERS, CheckedFinder, StreamingFinder, make_finder
from sxdask.datasets.model import FileEntry
from sxdask.datasets.resolve import resolve
from tests.rucio_rest import serve_rucio
from tests.servers import serve_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sxdask.datasets.finder import Finder


class FinderContract:
    """A subclass says which finder, and names that lead to three files and to none.

    `bad_name` is what can be no name of it.
    """

    scheme: str
    bad_name: str | None = None

    @pytest.fixture
    def three_files(self) -> str:
        """Return a dataset's name that means three files."""
        raise NotImplementedError

    @pytest.fixture
    def no_files(self) -> str:
        """Return a dataset's name that means none."""
        raise NotImplementedError

    @pytest.fixture
    def settings(self) -> Settings:
        return load_settings()

    @pytest.fixture
    def finder(self, settings: Settings) -> Finder:
        return make_finder(self.scheme, settings)

    def test_it_finds_the_files(self, finder: Finder, three_files: str) -> None:
        found = finder.find(parse_address(three_files), storage_options={})
        assert len(found) == 3
        assert {type(entry) for entry in found} == {FileEntry}
        assert all(entry.url for entry in found)

    def test_it_finds_the_same_files_each_time(self, finder: Finder, three_files: str) -> None:
        address = parse_address(three_files)
        first = finder.find(address, storage_options={})
        assert list(finder.find(address, storage_options={})) == list(first)
        assert len(set(first)) == 3

    def test_it_passes_the_tree_on(self, finder: Finder, three_files: str) -> None:
        found = finder.find(parse_address(f"{three_files}:Events"), storage_options={})
        assert {entry.tree for entry in found} == {"Events"}

    def test_no_files_are_an_error_that_names_them(self, finder: Finder, no_files: str) -> None:
        with pytest.raises(DatasetError) as caught:
            finder.find(parse_address(no_files), storage_options={})
        assert caught.value.context["file"]
        again = pickle.loads(pickle.dumps(caught.value))
        assert str(again) == str(caught.value)

    def test_files_n_is_left_to_who_asks(
        self, finder: Finder, three_files: str, settings: Settings
    ) -> None:
        address = parse_address(f"{three_files}?files=2")
        everything = finder.find(address, storage_options={})
        assert len(everything) == 3
        taken = [resolve(f"{three_files}?files=2", settings=settings).files for _ in range(2)]
        assert taken == [tuple(everything[:2])] * 2

    def test_what_is_found_one_by_one_is_what_is_found(
        self, finder: Finder, three_files: str
    ) -> None:
        address = parse_address(three_files)
        found = set(finder.find(address, storage_options={}))
        if isinstance(finder, StreamingFinder):
            assert set(finder.stream(address, storage_options={})) == found

    def test_the_places_of_a_file_are_addresses_each_once(
        self, finder: Finder, three_files: str
    ) -> None:
        for entry in finder.find(parse_address(three_files), storage_options={}):
            assert len(set(entry.places)) == len(entry.places)
            assert all(place.startswith("/") or "://" in place for place in entry.places)
            assert entry.size >= 0
            assert entry.events >= 0

    def test_an_operator_is_told_what_answers(self, finder: Finder, three_files: str) -> None:
        assert finder.find(parse_address(three_files), storage_options={})
        if isinstance(finder, CheckedFinder):
            assert len(finder.check()) > 10

    def test_what_can_be_no_name_is_refused_with_a_hint(self, finder: Finder) -> None:
        if self.bad_name is not None:
            with pytest.raises(RequestError) as caught:
                finder.find(parse_address(self.bad_name), storage_options={})
            assert caught.value.hint


class TestLocalFiles(FinderContract):
    scheme = "files"

    @pytest.fixture
    def three_files(self, tmp_path: Path) -> str:
        for name in "cab":
            (tmp_path / f"{name}.root").touch()
        return str(tmp_path / "*.root")

    @pytest.fixture
    def no_files(self, tmp_path: Path) -> str:
        return str(tmp_path / "none" / "*.root")


class TestRemoteFiles(FinderContract):
    scheme = "files"

    @pytest.fixture
    def three_files(self) -> Iterator[str]:
        storage = fsspec.filesystem("memory")
        for name in "cab":
            storage.pipe(f"/contract/{name}.root", b"root")
        yield "memory://contract/*.root"
        storage.rm("/contract", recursive=True)

    @pytest.fixture
    def no_files(self) -> str:
        return "memory://contract/none/*.root"


class TestRucio(FinderContract):
    scheme = "rucio"
    bad_name = "rucio://data18_13TeV.no.scope"

    @pytest.fixture(autouse=True)
    def _server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        from rucio.common.config import clean_cached_config

        with serve_rucio() as server:
            files = [server.file(f"{name}.root", f"A=root://a//{name}.root") for name in "cab"]
            server.group("data", files)
            monkeypatch.setenv("RUCIO_CONFIG", str(server.config(tmp_path)))
            clean_cached_config()
            yield
        clean_cached_config()

    @pytest.fixture
    def three_files(self) -> str:
        return "rucio://user.ada:data"

    @pytest.fixture
    def no_files(self) -> str:
        return "rucio://user.ada:nothing"


class TestOpenData(FinderContract):
    scheme = "cernopendata"
    bad_name = "cernopendata://CMS_Run2010B"

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Iterator[Settings]:
        records = tmp_path / "api" / "records"
        records.mkdir(parents=True)
        files = [
            {"uri": f"root://eospublic.cern.ch//eos/opendata/{name}.root", "size": 5}
            for name in "cab"
        ]
        (records / "12").write_text(json.dumps({"metadata": {"files": files}}))
        with serve_ranges(tmp_path) as server:
            yield Settings(cache_dir=tmp_path, opendata_url=server.url)

    @pytest.fixture
    def three_files(self) -> str:
        return "cernopendata://12"

    @pytest.fixture
    def no_files(self) -> str:
        return "cernopendata://13"


class TestCatalog(FinderContract):
    scheme = "catalog"

    @pytest.fixture
    def settings(self, tmp_path: Path) -> Settings:
        return Settings(cache_dir=tmp_path, catalog=str(tmp_path / "catalog.json"))

    @pytest.fixture
    def three_files(self, tmp_path: Path, settings: Settings) -> str:
        for name in "cab":
            (tmp_path / f"{name}.root").touch()
        Catalog(catalog_path(settings)).add(NamedDataset("mine", (f"{tmp_path}/*.root",)))
        return "catalog://mine"

    @pytest.fixture
    def no_files(self) -> str:
        return "catalog://nobody"


def test_every_finder_has_a_contract() -> None:
    """Those that need a server process have theirs in ``tests/services``."""
    texts = [path.read_text() for path in Path(__file__).parents[1].rglob("test_*finder*.py")]
    tested = re.findall(
        r'^class \w+\(FinderContract\):\n    scheme = "(\w+)"', "\n".join(texts), re.MULTILINE
    )
    assert set(tested) == set(FINDERS.names())
