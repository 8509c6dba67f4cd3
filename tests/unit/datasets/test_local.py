"""Files of this machine: patterns and directories leave nothing out in silence."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sxdask.core.errors import AccessDeniedError, EmptyDatasetError, FileMissingError
from sxdask.datasets.local import find_local

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Return a folder with files at three depths, a link, a hidden folder and other files."""
    for name in (
        "b.root",
        "a.root",
        "notes.txt",
        "one/c.root",
        "one/deep/d.root",
        "two/e.root.1",
        ".hidden/f.root",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("a.root", ["a.root"]),
        ("*.root", ["a.root", "b.root"]),
        ("[b-z].root", ["b.root"]),
        ("?.root", ["a.root", "b.root"]),
        ("*/*.root", ["one/c.root"]),
        ("one/*", ["one/c.root"]),
        ("**/*.root", ["a.root", "b.root", "one/c.root", "one/deep/d.root"]),
        ("**/deep/*.root", ["one/deep/d.root"]),
        ("one/**", ["one/c.root", "one/deep/d.root"]),
        (".hidden/*.root", [".hidden/f.root"]),
        ("", ["a.root", "b.root", "one/c.root", "one/deep/d.root", "two/e.root.1"]),
        ("one", ["one/c.root", "one/deep/d.root"]),
    ],
)
def test_a_pattern_finds_its_files_in_order(tree: Path, pattern: str, expected: list[str]) -> None:
    assert find_local(str(tree / pattern)) == [str(tree / name) for name in expected]


def test_a_relative_path_becomes_absolute(tree: Path, monkeypatch) -> None:
    monkeypatch.chdir(tree)
    assert find_local("a.root") == [str(tree / "a.root")]
    assert find_local("one/*.root") == [str(tree / "one/c.root")]


def test_home_is_expanded(tree: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tree))
    assert find_local("~/a.root") == [str(tree / "a.root")]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tree: Path) -> None:
    (tree / "a[1].root").touch()
    assert find_local(str(tree / "a[1].root")) == [str(tree / "a[1].root")]


def test_linked_directories_are_followed_and_loops_end(tree: Path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "g.root").touch()
    (tree / "one/link").symlink_to(elsewhere)
    (tree / "one/deep/up").symlink_to(tree)
    (tree / "one/deep/self").symlink_to(tree / "one/deep")
    found = find_local(str(tree / "one"))
    assert found == [str(tree / f"one/{name}") for name in ("c.root", "deep/d.root", "link/g.root")]


def test_links_that_lead_to_each_other_end(tmp_path: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        (tmp_path / one).mkdir()
        (tmp_path / one / "x.root").touch()
        (tmp_path / one / "link").symlink_to(tmp_path / other)
    found = find_local(str(tmp_path))
    assert {str(tmp_path / "a/x.root"), str(tmp_path / "b/x.root")} <= set(found)
    assert len(found) < 10


def test_a_missing_file_is_named_with_its_neighbours(tree: Path) -> None:
    (tree / "muons_2018.root").touch()
    with pytest.raises(FileMissingError) as caught:
        find_local(str(tree / "muon_2018.root"))
    assert "muon_2018.root" in str(caught.value)
    assert "did you mean 'muons_2018.root'?" in str(caught.value)


def test_a_missing_directory_is_named_with_its_neighbours(tree: Path) -> None:
    with pytest.raises(FileMissingError) as caught:
        find_local(str(tree / "onee/deep/*.root"))
    assert f"no directory {str(tree / 'onee')!r}" in str(caught.value)
    assert "'one'" in str(caught.value)


def test_a_pattern_without_files_says_what_is_close(tree: Path) -> None:
    with pytest.raises(EmptyDatasetError, match="no file matches") as caught:
        find_local(str(tree / "*.roott"))
    assert "'a.root'" in str(caught.value)


def test_a_directory_without_root_files_is_empty(tree: Path) -> None:
    (tree / "three").mkdir()
    with pytest.raises(EmptyDatasetError, match=r"has no \*\.root file"):
        find_local(str(tree / "three"))


def test_a_name_too_long_for_the_system_is_missing(tree: Path) -> None:
    with pytest.raises(FileMissingError):
        find_local(str(tree / ("x" * 300)))


@contextmanager
def ordinary_user() -> Iterator[None]:
    """Drop the rights of root, to whom no directory is closed, for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)  # nobody
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("pattern", ["closed/a.root", "closed", "closed/*.root", "**/*.root", ""])
def test_a_closed_directory_is_an_error_and_not_an_empty_one(pattern: str) -> None:
    # Not in tmp_path: pytest closes its parents to other users.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        closed = folder / "closed"
        closed.mkdir()
        (closed / "a.root").touch()
        (folder / "b.root").touch()
        closed.chmod(0)
        try:
            with ordinary_user(), pytest.raises(AccessDeniedError) as caught:
                find_local(str(folder / pattern))
        finally:
            closed.chmod(0o755)
        assert "closed" in str(caught.value)
        assert "may not be read" in str(caught.value)
