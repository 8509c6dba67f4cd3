"""Generated data that are shared: written once, whole or not at all."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import uproot

from sxdask.requests.recipe import Generate
from sxdask.testing import generated as module
from sxdask.testing import write_nanoaod_files
from sxdask.testing.generated import generated_files

SPEC = Generate(num_events=300, files=3, seed=4, entries_per_cluster=50)


def test_the_files_hold_what_was_asked_for(tmp_path):
    files = generated_files(SPEC, tmp_path)
    assert [path.name for path in files] == ["nano_0000.root", "nano_0001.root", "nano_0002.root"]
    assert [uproot.open(path)["Events"].num_entries for path in files] == [100, 100, 100]


def test_they_are_written_once(tmp_path, monkeypatch):
    first = generated_files(SPEC, tmp_path)
    times = [path.stat().st_mtime_ns for path in first]
    assert generated_files(SPEC, tmp_path) == first
    assert [path.stat().st_mtime_ns for path in first] == times
    assert generated_files(SPEC.model_copy(update={"seed": 5}), tmp_path) != first


def test_those_who_ask_at_once_wait_for_one_writer(tmp_path, monkeypatch):
    written = []
    write = write_nanoaod_files

    def counted(*args, **options):
        written.append(args)
        return write(*args, **options)

    monkeypatch.setattr(module, "write_nanoaod_files", counted)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: generated_files(SPEC, tmp_path), range(4)))
    assert len(written) == 1
    assert all(files == found[0] for files in found)


def test_a_writer_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def fail(folder, *_args, **_options):
        folder.mkdir()
        (folder / "nano_0000.root").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_nanoaod_files", fail)
        with pytest.raises(KeyboardInterrupt):
            generated_files(SPEC, tmp_path)
    assert [path.suffix for path in (tmp_path / "generated").iterdir()] == [".lock"]
    assert len(generated_files(SPEC, tmp_path)) == 3
