"""The real experiment files: fetched once, whole or not at all, with a clear error offline."""

from __future__ import annotations

import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import uproot

from sxdask.core.errors import FileMissingError, ReadFailedError
from sxdask.testing import sample_files
from sxdask.testing import samples as module

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _no_chosen_folder(monkeypatch) -> None:
    monkeypatch.delenv("SXDASK_SAMPLES", raising=False)


def test_the_samples_are_files_of_real_experiments(samples) -> None:
    names = {path.name for path in samples.iterdir()}
    assert {"nano_dy.root", "nano_tt_v15.root", "PHYSLITE_example.root", "delphes.root"} <= names
    assert all(name.endswith(".root") for name in names)
    with uproot.open(samples / "nano_dy.root") as file:
        assert file["Events"].num_entries == 40


def test_a_folder_can_be_chosen(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SXDASK_SAMPLES", str(tmp_path))
    assert sample_files() == tmp_path
    monkeypatch.setenv("SXDASK_SAMPLES", str(tmp_path / "none"))
    with pytest.raises(FileMissingError, match="SXDASK_SAMPLES"):
        sample_files()


@pytest.fixture
def unreachable(monkeypatch) -> None:
    """Let pip look for packages where nothing answers."""
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


@pytest.mark.usefixtures("unreachable")
def test_without_a_network_the_error_says_what_to_do(tmp_path) -> None:
    with pytest.raises(ReadFailedError, match="pip cannot fetch") as caught:
        sample_files(tmp_path)
    assert "SXDASK_SAMPLES" in str(caught.value)
    assert [path.name for path in (tmp_path / "samples").iterdir()] == ["2026.9.0.lock"]


def write_archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as bundle:
        for name, content in members.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(content)
            bundle.addfile(facts, io.BytesIO(content))
    return path


ARCHIVE = {
    "coffea-2026.9.0/tests/samples/nano.root": b"root one",
    "coffea-2026.9.0/tests/samples/../../evil.root": b"no",
    "/coffea-2026.9.0/tests/samples/absolute.root": b"no",
    "coffea-2026.9.0/tests/samples/deep/other.root": b"no",
    "coffea-2026.9.0/tests/samples/list.json": b"no",
}


def test_only_sample_files_leave_the_archive_and_none_escapes(tmp_path) -> None:
    archive = write_archive(tmp_path / "a.tar.gz", ARCHIVE)
    folder = module._unpack(archive, tmp_path / "out")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"nano.root": b"root one"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tar.gz", "out"]


def test_processes_that_ask_at_once_fetch_once(tmp_path, monkeypatch) -> None:
    calls = []

    def download(scratch: Path) -> Path:
        calls.append(scratch)
        return write_archive(scratch / "a.tar.gz", ARCHIVE)

    monkeypatch.setattr(module, "_download", download)
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(sample_files, [tmp_path] * 4))
    assert found == {tmp_path / "samples" / "2026.9.0"}
    assert len(calls) == 1
    assert not calls[0].exists()  # nothing half done is left


def test_a_failure_while_unpacking_leaves_nothing_that_looks_complete(
    tmp_path, monkeypatch
) -> None:
    def broken(scratch: Path) -> Path:
        path = write_archive(scratch / "a.tar.gz", ARCHIVE)
        path.write_bytes(path.read_bytes()[:60])
        return path

    monkeypatch.setattr(module, "_download", broken)
    with pytest.raises((EOFError, tarfile.ReadError)):
        sample_files(tmp_path)
    assert not (tmp_path / "samples" / "2026.9.0").exists()


# The least that pip takes for a source distribution: its backend is in the archive.
BACKEND = b"""
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    place = Path(folder) / "coffea-2026.9.0.dist-info"
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\\nName: coffea\\nVersion: 2026.9.0\\n")
    return place.name

def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise NotImplementedError
"""
PYPROJECT = b"[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"


@pytest.mark.usefixtures("unreachable")
def test_a_distribution_that_is_not_the_one_of_pypi_is_refused(tmp_path, monkeypatch) -> None:
    top = "coffea-2026.9.0"
    members = {f"{top}/pyproject.toml": PYPROJECT, f"{top}/backend.py": BACKEND, **ARCHIVE}
    members = {name: content for name, content in members.items() if name.startswith(f"{top}/")}
    del members[f"{top}/tests/samples/../../evil.root"]
    (tmp_path / "mirror").mkdir()
    write_archive(tmp_path / "mirror" / f"{top}.tar.gz", members)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "mirror"))
    with pytest.raises(ReadFailedError, match="digest") as caught:
        sample_files(tmp_path)
    assert module.SAMPLES_SHA256 in str(caught.value)
    assert not (tmp_path / "samples" / "2026.9.0").exists()
