"""The index store: fresh or absent, shared by processes, never in the way of a request."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import uproot

from sxdask.core.errors import FileMissingError, NotRootFileError, SxdaskError, UnknownTreeError
from sxdask.rootio import parallel
from sxdask.rootio.build import build_index
from sxdask.rootio.filelock import file_lock
from sxdask.rootio.index import (
    FORMAT_VERSION,
    FileIndex,
    index_from_bytes,
    index_to_bytes,
    open_index,
)
from sxdask.rootio.parallel import FEWEST_FOR_PROCESSES
from sxdask.rootio.store import IndexStore
from tests.processes import commands

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers import RangeServer

HOLD_LOCK = """
    import sys, time
    from pathlib import Path
    from sxdask.rootio.filelock import file_lock
    with file_lock(Path(sys.argv[1]), timeout_s=0) as held:
        print(held, flush=True)
        time.sleep(600)
"""


@pytest.fixture
def store(tmp_path: Path) -> IndexStore:
    return IndexStore(tmp_path / "index")


@pytest.fixture
def data(make_nanoaod: Callable[..., Path]) -> Path:
    return make_nanoaod(100)


def python(code: str, *args: object) -> subprocess.Popen[str]:
    """Start a process of its own that runs `code`."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def leftovers(store: IndexStore) -> list[str]:
    return [path.name for path in store.root.rglob(".new-*")]


def test_an_index_is_absent_then_built_then_found(store: IndexStore, data: Path):
    assert store.get(str(data), "Events") is None
    built = store.build(str(data), "Events")
    found = store.get(str(data), "Events")
    assert found is built  # opened once in this process
    assert found.index_bytes == store.path_of(str(data), "Events").stat().st_size
    assert IndexStore(store.root).get(f"file://{data}", "/Events") is built
    assert leftovers(store) == []


def test_the_usual_tree_is_found_without_opening_the_file(store: IndexStore, data: Path):
    built = store.build(str(data))
    assert built.tree == "Events"
    assert store.get(str(data)) is store.get(str(data), "Events") is built
    assert len(store.entries()) == 1


@pytest.mark.parametrize("change", ["touch", "grow", "replace"])
def test_a_changed_file_has_no_index_until_it_is_built_again(
    store: IndexStore, data: Path, make_nanoaod: Callable[..., Path], change: str
):
    before = store.build(str(data))
    if change == "touch":
        os.utime(data, ns=(0, before.stamp.size))
    elif change == "grow":
        with data.open("ab") as file:
            file.write(b"\0")
    else:
        make_nanoaod(200, name="other.root").replace(data)
    assert store.get(str(data)) is None
    assert store.get(str(data), "Events") is None
    assert [entry.stale for entry in store.entries()] == [True]
    after = store.build(str(data))
    assert after.stamp != before.stamp
    assert after.num_entries == (200 if change == "replace" else 100)
    assert store.get(str(data)) is after


def test_a_file_that_is_gone_is_named_and_its_entry_stale(store: IndexStore, data: Path):
    store.build(str(data))
    data.unlink()
    with pytest.raises(FileMissingError, match=data.name):
        store.get(str(data))
    assert [entry.stale for entry in store.entries()] == [True]
    assert store.prune(stale=True).entries == 1
    assert store.entries() == []


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "version", "folder"])
def test_a_damaged_entry_is_absent_and_built_again(store: IndexStore, data: Path, damage: str):
    store.build(str(data), "Events")
    path = store.path_of(str(data), "Events")
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
        with pytest.warns(UserWarning, match="cannot be kept"):
            assert store.build(str(data), "Events").num_entries == 100
        return
    damaged = {
        "cut": content[: len(content) // 2],
        "empty": b"",
        "text": b"no index" * 100,
        "version": content.replace(f'"version": {FORMAT_VERSION}'.encode(), b'"version": 9'),
    }
    path.write_bytes(damaged[damage])
    assert store.get(str(data), "Events") is None
    assert store.entries() == []
    store.build(str(data), "Events")
    found, before = (
        replace(item, build_seconds=0.0) for item in (open_index(path), index_from_bytes(content))
    )
    assert index_to_bytes(found) == index_to_bytes(before)


def test_a_process_waits_for_another_that_builds_the_same_file(store: IndexStore, data: Path):
    path = store.path_of(str(data), "Events")
    with file_lock(store.root / "locks" / path.name[:3], timeout_s=5) as held:
        assert held
        worker = subprocess.Popen(
            [sys.executable, "-m", "sxdask.rootio.worker", str(store.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert worker.stdin is not None
        worker.stdin.write(f'["{data}", "Events"]\n')
        worker.stdin.flush()
        time.sleep(1.5)  # it imports, and comes to the lock
        assert worker.poll() is None
        assert not path.exists()
        store.put(build_index(str(data), "Events"))
        written = path.stat()
    answer, _ = worker.communicate(timeout=60)
    assert answer == "built\n"
    assert path.stat().st_ino == written.st_ino  # it took ours and built nothing


def test_a_killed_process_leaves_no_lock(store: IndexStore, data: Path):
    path = store.path_of(str(data), "Events")
    lock = store.root / "locks" / path.name[:3]
    holder = python(HOLD_LOCK, lock)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "True\n"
    with file_lock(lock, timeout_s=0.05) as held:
        assert not held
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    assert lock.exists()
    with file_lock(lock, timeout_s=0.05) as held:
        assert held


def test_without_a_place_for_the_lock_work_goes_on(tmp_path: Path):
    (tmp_path / "file").touch()
    with file_lock(tmp_path / "file" / "lock", timeout_s=5) as held:
        assert not held


def test_a_folder_that_cannot_be_written_to_costs_a_warning(tmp_path: Path, data: Path):
    # The tests may run as root, whom permissions do not stop: a file is in the way.
    (tmp_path / "file").touch()
    store = IndexStore(tmp_path / "file" / "index")
    assert not store.is_writable()
    with pytest.warns(UserWarning, match=r"cannot be kept in .*: set SXDASK_CACHE_DIR") as caught:
        first = store.build(str(data))
    assert len(caught) == 1
    assert store.get(str(data)) is first
    assert store.get(str(data), "Events") is first
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        os.utime(data, ns=(0, 1))
        assert store.build(str(data)) is not first
    assert store.entries() == []


def test_a_full_disk_costs_a_warning_and_leaves_nothing(tmp_path: Path, data: Path):
    code = """
        import resource, signal, sys, warnings
        from sxdask.rootio.store import IndexStore
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, resource.RLIM_INFINITY))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            index = IndexStore(sys.argv[1]).build(sys.argv[2])
        print(index.num_entries, [str(item.message)[:23] for item in caught])
    """
    done = python(code, tmp_path / "index", data)
    answer, _ = done.communicate(timeout=60)
    assert answer == "100 ['indexes cannot be kept ']\n"
    files = [path for path in (tmp_path / "index").rglob("*") if path.is_file()]
    assert [path for path in files if path.parent.name != "locks"] == []


def test_ensure_answers_in_order_with_one_index_a_file(store: IndexStore, nanoaod_files):
    urls = [str(path) for path in nanoaod_files]
    seen: list[tuple[int, int, float]] = []
    found = store.ensure(
        [(url, "Events") for url in [*urls, urls[0]]], progress=lambda *facts: seen.append(facts)
    )
    assert [index.url for index in found] == [*urls, urls[0]]
    assert found[0] is found[-1]
    assert [facts[:2] for facts in seen] == [(done, 4) for done in (1, 2, 3, 4)]
    assert sorted(facts[2] for facts in seen) == [facts[2] for facts in seen]


def test_many_files_are_built_by_processes_to_the_same_indexes(
    store: IndexStore, tmp_path: Path, data: Path
):
    urls = []
    for number in range(FEWEST_FOR_PROCESSES + 1):
        path = tmp_path / f"copy_{number}.root"
        shutil.copy(data, path)
        urls.append(str(path))
    bad = tmp_path / "bad.root"
    bad.write_text("not ROOT")
    found = store.ensure([(url, None) for url in [*urls, str(bad)]], workers=2, on_error="collect")
    indexes = [item for item in found if isinstance(item, FileIndex)]
    assert [index.url for index in indexes] == urls
    assert isinstance(found[-1], NotRootFileError)
    assert len({index.layout for index in indexes}) == 1
    assert all(index.num_entries == 100 for index in indexes)
    assert len(store.entries()) == len(urls)
    assert leftovers(store) == []


def test_processes_are_started_where_that_pays(
    store: IndexStore, tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
):
    started: list[int] = []
    workers = parallel._Workers

    def counted(store: IndexStore, count: int) -> Any:
        started.append(count)
        return workers(store, count)

    monkeypatch.setattr(parallel, "_Workers", counted)
    monkeypatch.setattr(parallel, "_cores", lambda: 2)
    urls = [tmp_path / f"copy_{number}.root" for number in range(2 * FEWEST_FOR_PROCESSES + 2)]
    for url in urls:
        shutil.copy(data, url)
    half = FEWEST_FOR_PROCESSES + 2
    monkeypatch.setattr(parallel, "_PROCESSES_S", 3600.0)
    assert len(store.ensure([(str(url), "Events") for url in urls[:half]])) == half
    assert started == []  # the second file took little
    monkeypatch.setattr(parallel, "_PROCESSES_S", 0.0)
    found = store.ensure([(str(url), "Events") for url in urls])
    assert [index.url for index in found] == [str(url) for url in urls]
    assert started == []  # too few were left
    assert len(store.entries()) == len(urls)
    store.prune(everything=True)
    store.ensure([(str(url), "Events") for url in urls])
    assert started == [2]
    assert len(store.entries()) == len(urls)


def test_the_first_error_ends_the_processes(store: IndexStore, tmp_path: Path, data: Path):
    wanted: list[tuple[str, str | None]] = [(str(data), "Nothing")]
    for number in range(FEWEST_FOR_PROCESSES):
        shutil.copy(data, tmp_path / f"copy_{number}.root")
        wanted.append((str(tmp_path / f"copy_{number}.root"), None))
    with pytest.raises(UnknownTreeError, match="Nothing"):
        store.ensure(wanted, workers=2)
    running = commands(psutil.Process().children())
    assert [line for line in running if str(store.root) in line] == []


def test_an_error_is_raised_or_takes_the_place_of_its_file(
    store: IndexStore, tmp_path: Path, data: Path
):
    wanted = [(str(tmp_path / "none.root"), None), (str(data), "Nothing"), (str(data), None)]
    found = store.ensure(wanted, on_error="collect")
    assert [type(item) for item in found] == [FileMissingError, UnknownTreeError, FileIndex]
    with pytest.raises(SxdaskError):
        store.ensure(wanted)


def test_remote_files_are_indexed_once_and_again_when_replaced(
    store: IndexStore,
    data: Path,
    make_nanoaod: Callable[..., Path],
    range_http_server: Callable[[Path], RangeServer],
):
    server = range_http_server(data.parent)
    url = f"{server.url}/{data.name}"
    first = store.ensure([(url, "Events"), (f"{server.url}/none.root", None)], on_error="collect")
    assert isinstance(first[1], FileMissingError)
    reads = server.num("GET")
    assert store.ensure([(url, "Events")]) == first[:1]
    assert server.num("GET") == reads  # one look at its stamp, no bytes
    make_nanoaod(200, name="other.root").replace(data)
    (again,) = store.ensure([(url, "Events")])
    assert again.num_entries == 200
    assert [entry.stale for entry in store.entries()] == [None]


def test_entries_tell_what_an_index_costs(store: IndexStore, data: Path):
    index = store.build(str(data))
    (entry,) = store.entries()
    assert (entry.url, entry.tree, entry.num_entries) == (str(data), "Events", 100)
    assert entry.num_branches == len(index.layout.names)
    assert entry.index_bytes == index.index_bytes
    assert entry.build_seconds == index.build_seconds > 0
    assert entry.age_s < 600
    assert entry.stale is False


def test_prune_removes_what_it_is_told_to(store: IndexStore, nanoaod_files):
    urls = [str(path) for path in nanoaod_files[:3]]
    for age, url in zip((300, 200, 100), urls, strict=True):
        store.build(url)
        when = time.time() - age
        os.utime(store.path_of(url, "Events"), (when, when))
    sizes = {entry.url: entry.index_bytes for entry in store.entries()}
    assert store.prune() == store.prune(stale=True)
    assert store.prune(older_than_s=250).bytes == sizes[urls[0]]
    assert store.prune(max_bytes=sizes[urls[2]]).entries == 1
    assert [entry.url for entry in store.entries()] == [urls[2]]
    assert store.prune(everything=True).entries == 1
    assert list(store.root.rglob("*.arrow")) == []  # no links left either
    assert store.get(urls[2]) is None


def test_a_tree_that_appears_later_is_found(store: IndexStore, tmp_path: Path):
    path = tmp_path / "grows.root"
    with uproot.recreate(path) as file:
        file.mktree("first", {"x": "int32"})
    assert store.build(str(path)).tree == "first"
    with uproot.recreate(path) as file:
        file.mktree("Events", {"x": "int32"})
        file.mktree("first", {"x": "int32"})
    os.utime(path, ns=(0, 7))
    assert store.get(str(path)) is None
    assert store.build(str(path)).tree == "Events"
