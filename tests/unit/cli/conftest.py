"""A command line in this process, and the files that commands are tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from sxdask.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def sxdask() -> Callable[..., Any]:
    """Return a function that runs ``sxdask ARGS`` and gives status, stdout and stderr."""

    def run(*args: object) -> Any:
        # A wide terminal: help is checked as text, not as it is wrapped.
        return CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(arg) for arg in args])

    return run


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """Give this test a cache directory of its own."""
    folder: Path = tmp_path / "own-cache"
    monkeypatch.setenv("SXDASK_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def recipe(tmp_path, nanoaod) -> Path:
    """Return a recipe over the generated file: events with hard muons."""
    path: Path = tmp_path / "recipe.yaml"
    path.write_text(
        "title: Hard muons\n"
        f"dataset: {{files: {nanoaod}}}\n"
        "where: any(Muon_pt > 40)\n"
        "select: [event, Muon_pt]\n"
    )
    return path
