"""What the tests of the result cache share: a request over four files, and the cache's folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sxdask as sx
from sxdask.testing import write_nanoaod_files

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

CUT = "(nMuon >= 2) & (MET_pt > 20)"
LEAD = {"lead": "max(Muon_pt)"}


def keep_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Switch the result cache on; return its folder."""
    folder = tmp_path / "results"
    monkeypatch.setenv("SXDASK_RESULT_CACHE", str(folder))
    monkeypatch.setenv("SXDASK_RESULT_CACHE_BYTES", "100000000")
    return folder


def four_files(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "data"
    folder.mkdir()
    return write_nanoaod_files(folder, 4_000, 4, entries_per_cluster=500)


def skim(files: list[Path]) -> sx.Query:
    query = sx.dataset([str(path) for path in files], "Events").where(CUT)
    return query.select("event", "Muon_pt", "MET_pt", **LEAD)


def objects(folder: Path) -> list[Path]:
    return sorted(folder.glob("*/*.arrow"))
