"""Stores: the same few operations on a local directory and on an fsspec file system."""

from __future__ import annotations

import pickle

import fsspec
import pytest

from sxdask.core.errors import AccessDeniedError, DeliveryError, MissingExtraError, RequestError
from sxdask.deliver.local import LocalStore
from sxdask.deliver.store import RemoteStore, open_store


@pytest.fixture(params=["path", "file url", "memory"])
def store(request, tmp_path):
    urls = {
        "path": str(tmp_path / "a b [1]"),
        "file url": f"file://{tmp_path}/c*d",
        "memory": f"memory://{tmp_path.name}/e[2]*",
    }
    yield open_store(urls[request.param])
    memory = fsspec.filesystem("memory")
    for name in memory.find(f"/{tmp_path.name}"):
        memory.rm_file(name)


def test_what_is_written_is_read(store):
    store.write("deep/er/x", b"data")
    assert store.read("deep/er/x") == b"data"
    assert store.size("deep/er/x") == 4
    assert pickle.loads(pickle.dumps(store)).read("deep/er/x") == b"data"


def test_what_is_not_there_is_none(store):
    assert store.read("x") is None
    assert store.size("x") is None
    store.remove("x")
    store.remove_folder("folder")
    store.remove_folder("folder", only_empty=True)


def test_a_move_replaces_and_leaves_nothing_behind(store):
    store.write("new", b"new")
    store.write("folder/old", b"old")
    store.move("new", "folder/old")
    assert store.read("folder/old") == b"new"
    assert store.size("new") is None


def test_a_move_of_nothing_is_an_error(store):
    with pytest.raises(DeliveryError):
        store.move("nothing", "something")


def test_a_folder_is_removed_whole_and_its_neighbours_stay(store):
    store.write("a/x/1", b"1")
    store.write("a/2", b"2")
    store.write("ab", b"3")
    store.remove_folder("a")
    assert store.size("a/x/1") is None
    assert store.size("a/2") is None
    assert store.read("ab") == b"3"


def test_a_folder_with_something_in_it_is_not_empty(store):
    store.write("a/2", b"2")
    store.remove_folder("a", only_empty=True)
    assert store.read("a/2") == b"2"


def test_a_bucket_stays_though_it_is_empty(monkeypatch):
    removed: list[str] = []
    bucket = type("Bucket", (), {"invalidate_cache": lambda _: None, "find": lambda _, __: []})()
    bucket.rmdir = removed.append
    monkeypatch.setattr(RemoteStore, "connection", (bucket, "bucket"))
    store = RemoteStore("gs://bucket", {})
    for name in ("", ".sxdask"):
        store.remove_folder(name, only_empty=True)
    assert removed == ["bucket/.sxdask"]


def test_an_unknown_scheme_is_refused():
    with pytest.raises(RequestError, match="floppy"):
        open_store("floppy://a")


def test_a_scheme_without_its_package_says_so():
    with pytest.raises((MissingExtraError, RequestError), match="dropbox"):
        open_store("dropbox://folder")


def test_a_full_disk_is_a_clear_error(tmp_path, monkeypatch):
    store = LocalStore(tmp_path)

    class Full:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def write(self, _data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(tmp_path), "open", lambda *_args, **_options: Full())
    with pytest.raises(DeliveryError, match="No space left") as caught:
        store.write("x", b"data")
    assert "space" in str(caught.value.hint)


def test_a_place_that_may_not_be_written_is_a_clear_error(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "mkdir", refuse)  # a test run as root may write anywhere
    with pytest.raises(AccessDeniedError, match="may not be written"):
        LocalStore(tmp_path).write("x", b"data")


def test_of_several_who_create_an_object_one_does(store):
    assert store.create("folder/x", b"mine")
    assert not store.create("folder/x", b"yours")
    assert store.read("folder/x") == b"mine"


def test_names_are_those_below_a_folder_and_relative_to_the_root(store):
    assert store.names("a") == []
    for name in ("a/x", "a/b/y", "ab", "c"):
        store.write(name, b"1")
    assert store.names("a") == ["a/b/y", "a/x"]


def test_later_objects_are_newer_and_those_that_are_not_there_have_no_time(store):
    store.write("old", b"1")
    store.write("new", b"1")
    assert store.modified("nothing") is None
    assert store.modified("old") <= store.modified("new")
    store.settle(["old", "new"])
