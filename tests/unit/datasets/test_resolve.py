"""Whatever names a dataset leads to the same files in the same order, or to a clear error."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import fsspec
import pytest
import uproot

from sxdask.core.errors import (
    EmptyDatasetError,
    FileMissingError,
    MissingExtraError,
    ReadFailedError,
    RequestError,
    RequestTooLargeError,
    UnknownLanguageError,
)
from sxdask.core.settings import Settings
from sxdask.datasets.model import DuplicateFileWarning, FileEntry, FileSet
from sxdask.datasets.resolve import resolve


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(cache_dir=tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("c.root", "a.root", "b.root"):
        (tmp_path / name).touch()
    return tmp_path


def names(found: FileSet) -> list[str]:
    return [Path(url).name for url in found.urls]


def test_text_path_list_and_mapping_are_understood(folder: Path, settings: Settings) -> None:
    one = FileEntry(str(folder / "a.root"), "Events")
    for source, tree in (
        (str(folder / "a.root"), "Events"),
        (folder / "a.root", "Events"),
        (f"{folder}/a.root:Events", None),
        (f"file://{folder}/a.root:Events", None),
        ([folder / "a.root"], "Events"),
        ({folder / "a.root": "Events"}, None),
        ({str(folder / "a.root"): None}, "Events"),
        ({f"{folder}/a.root:Events": "Events"}, "Events"),
    ):
        assert resolve(source, tree, settings=settings).files == (one,)


def test_a_list_keeps_its_order_and_listed_files_are_sorted(folder, settings) -> None:
    assert names(resolve([folder / "c.root", folder / "a.root"], settings=settings)) == [
        "c.root",
        "a.root",
    ]
    assert names(resolve(folder, settings=settings)) == ["a.root", "b.root", "c.root"]
    assert names(resolve(f"{folder}/*.root", settings=settings)) == ["a.root", "b.root", "c.root"]


def test_the_name_says_what_was_asked_for(folder, settings) -> None:
    assert resolve(f"{folder}/*.root", settings=settings).name == f"{folder}/*.root"
    several = resolve([folder / "a.root", folder / "b.root"], settings=settings)
    assert several.name == f"{folder / 'a.root'} and 1 more"


def test_an_iterator_is_read_once(folder, settings) -> None:
    source = (folder / name for name in ("a.root", "b.root"))
    assert names(resolve(source, settings=settings)) == ["a.root", "b.root"]


@pytest.mark.parametrize(("most", "expected"), [(1, 1), (2, 2), (3, 3), (99, 3)])
def test_files_n_takes_the_first_n_each_time(folder, settings, most, expected) -> None:
    for _ in range(2):
        found = resolve(f"{folder}/*.root:Events?files={most}", settings=settings)
        assert names(found) == ["a.root", "b.root", "c.root"][:expected]
        assert found.trees == ("Events",)


def test_each_file_of_a_mapping_has_its_tree(folder, settings) -> None:
    found = resolve({f"{folder}/[ab].root": "One", f"{folder}/c.root": "Two"}, settings=settings)
    assert [entry.tree for entry in found.files] == ["One", "One", "Two"]
    assert found.trees == ("One", "Two")


def test_the_tree_of_a_suffix_may_not_contradict(folder, settings) -> None:
    with pytest.raises(RequestError, match=r"'Events'.*'Runs'"):
        resolve(f"{folder}/a.root:Events", "Runs", settings=settings)
    with pytest.raises(RequestError, match="name the tree once"):
        resolve({f"{folder}/a.root:Events": "Runs"}, settings=settings)


def test_a_mapping_takes_precedence_over_the_default_tree(folder, settings) -> None:
    found = resolve(
        {folder / "a.root": "Runs", folder / "b.root": None}, "Events", settings=settings
    )
    assert [entry.tree for entry in found.files] == ["Runs", "Events"]


def test_a_file_named_twice_is_read_once_with_a_warning(folder, settings) -> None:
    source = [folder / "a.root", f"{folder}/*.root", f"file://{folder}/b.root"]
    with pytest.warns(DuplicateFileWarning, match=r"a\.root' and 1 more named more than once"):
        found = resolve(source, settings=settings)
    assert names(found) == ["a.root", "b.root", "c.root"]


def test_two_trees_of_one_file_are_no_duplicate(folder, settings) -> None:
    source = [f"{folder}/a.root:Events", f"{folder}/a.root:Runs"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(resolve(source, settings=settings)) == 2


@pytest.mark.parametrize("source", [[], {}])
def test_nothing_is_no_dataset(source, settings) -> None:
    with pytest.raises(EmptyDatasetError, match="list of files is empty"):
        resolve(source, settings=settings)


@pytest.mark.parametrize("source", [3, None, [3], [b"a.root"], {1: "Events"}, {"a.root": 3}])
def test_what_is_no_name_is_refused(source, settings) -> None:
    with pytest.raises(RequestError) as caught:
        resolve(source, settings=settings)
    assert caught.value.hint


def test_a_missing_file_of_a_list_is_named(folder, settings) -> None:
    with pytest.raises(FileMissingError, match=r"d\.root"):
        resolve([folder / "a.root", folder / "d.root"], settings=settings)


def test_more_files_than_the_limit_are_refused(folder, tmp_path) -> None:
    with pytest.raises(RequestTooLargeError, match="more than 2 files") as caught:
        resolve(folder, settings=Settings(cache_dir=tmp_path, max_files=2))
    assert "SXDASK_MAX_FILES" in str(caught.value)
    found = resolve(f"{folder}?files=2", settings=Settings(cache_dir=tmp_path, max_files=2))
    assert len(found) == 2


@pytest.mark.parametrize(
    "options",
    [
        {"key": "AKIA", "secret": "hush"},
        {"token": "hush"},
        {"client_kwargs": {"aws_secret_access_key": "hush"}},
        {"headers": {"Authorization": "hush"}},
        {"password": "hush"},
    ],
)
def test_secrets_are_refused_and_not_repeated(options, folder, settings) -> None:
    with pytest.raises(RequestError, match="travel in the graph") as caught:
        resolve(folder, storage_options=options, settings=settings)
    assert "hush" not in str(caught.value)
    assert "AWS_SECRET_ACCESS_KEY" in str(caught.value)


def test_options_without_secrets_are_kept_in_a_fixed_order(folder, settings) -> None:
    options = {"endpoint_url": "http://127.0.0.1:9000", "anon": True, "token": None}
    found = resolve(folder, storage_options=options, settings=settings)
    assert found.storage_options == (
        ("anon", True),
        ("endpoint_url", "http://127.0.0.1:9000"),
        ("token", None),
    )


def test_an_unknown_scheme_names_the_known_ones(settings) -> None:
    with pytest.raises(UnknownLanguageError, match="no dataset scheme 'htps'") as caught:
        resolve("htps://host/a.root", settings=settings)
    assert "'https'" in str(caught.value)
    with pytest.raises(UnknownLanguageError) as caught:
        resolve("qqqq://host/a.root", settings=settings)
    assert "s3" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "modules", "extra"),
    [
        ("s3://bucket/a.root", ["s3fs"], "sxdask[s3]"),
        ("root://host//a.root", ["fsspec_xrootd", "XRootD"], "sxdask[xrootd]"),
    ],
)
def test_a_missing_package_is_named_with_the_line_for_pip(
    url, modules, extra, settings, monkeypatch
) -> None:
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(MissingExtraError) as caught:
        resolve(url, settings=settings)
    assert f"pip install '{extra}'" in str(caught.value)


def test_s3_urls_are_taken_without_asking_the_storage(settings) -> None:
    urls = [f"s3://no-such-bucket/{name}.root" for name in "ab"]
    assert resolve(urls, "Events", settings=settings).urls == tuple(urls)


@pytest.fixture
def bucket():
    """Return an fsspec storage in memory with three ROOT files, as an object store lists them."""
    storage = fsspec.filesystem("memory")
    for name in ("b.root", "a.root", "sub/c.root", "notes.txt"):
        storage.pipe(f"/bucket/{name}", b"root")
    yield storage
    storage.rm("/bucket", recursive=True)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("memory://bucket/*.root", ["a.root", "b.root"]),
        ("memory://bucket/**/*.root", ["a.root", "b.root", "sub/c.root"]),
        ("memory://bucket/", ["a.root", "b.root", "sub/c.root"]),
        ("memory://bucket", ["a.root", "b.root", "sub/c.root"]),
        ("memory://bucket/?.root?files=1", ["a.root"]),
        ("memory://bucket/sub/c.root", ["sub/c.root"]),
    ],
)
def test_an_object_store_is_listed(bucket, settings, source, expected) -> None:
    found = resolve(source, settings=settings)
    paths = [fsspec.core.url_to_fs(url)[1] for url in found.urls]
    assert paths == [f"/bucket/{name}" for name in expected]


def test_a_pattern_that_matches_nothing_in_a_store_is_empty(bucket, settings) -> None:
    with pytest.raises(EmptyDatasetError, match="no file matches"):
        resolve("memory://bucket/*.parquet", settings=settings)
    bucket.mkdir("/bucket/empty")
    with pytest.raises(EmptyDatasetError, match=r"has no \*\.root file"):
        resolve("memory://bucket/empty/", settings=settings)


def test_http_files_are_taken_as_they_are_and_can_be_opened(
    nanoaod_files, range_http_server, settings
) -> None:
    server = range_http_server(nanoaod_files[0].parent)
    urls = [f"{server.url}/{path.name}" for path in nanoaod_files]
    found = resolve(urls, "Events", settings=settings)
    assert found.urls == tuple(urls)
    assert server.requests == []  # not one request to find them
    assert uproot.open(f"{found.urls[0]}:Events").num_entries == 2_500
    assert any(wanted is not None for _, _, wanted in server.requests)


def test_a_web_server_that_does_not_answer_is_an_error(settings) -> None:
    with pytest.raises(ReadFailedError, match="cannot be listed") as caught:
        resolve("http://127.0.0.1:9/data/*.root", settings=settings)
    assert "127.0.0.1:9" in str(caught.value)
