"""What every finder promises. A new finder adds a subclass with one fixture and no tests."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import fsspec
import pytest

from sxdask.core.errors import DatasetError
from sxdask.datasets.address import parse_address
from sxdask.datasets.finder import FINDERS
from sxdask.datasets.model import FileEntry

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sxdask.datasets.finder import Finder


class FinderContract:
    """A subclass says which finder, and names that lead to three files and to none."""

    scheme: str

    @pytest.fixture
    def three_files(self) -> str:
        """Return a dataset's name that means three files."""
        raise NotImplementedError

    @pytest.fixture
    def no_files(self) -> str:
        """Return a dataset's name that means none."""
        raise NotImplementedError

    @pytest.fixture
    def finder(self) -> Finder:
        return FINDERS.load(self.scheme)()

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


def test_every_finder_has_a_contract() -> None:
    tested = {kind.scheme for kind in FinderContract.__subclasses__()}
    assert tested == set(FINDERS.names())
