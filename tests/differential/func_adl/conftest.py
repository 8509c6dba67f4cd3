"""The files of the differential tests, opened once by each of the three that are compared."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sxdask as sx
from sxdask.core.settings import load_settings
from sxdask.testing.nanoaod import write_nanoaod_files
from tests.differential.func_adl.oracle import read_events
from tests.peers import require_peer, require_root

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.api import Dataset
    from tests.differential.func_adl.values import Sequence


@dataclass
class Data:
    """A tree in some files, as the engines and the interpreter take it."""

    paths: tuple[Path, ...]
    tree: str

    @cached_property
    def dataset(self) -> Dataset:
        """The files for us, each cluster a partition."""
        settings = replace(load_settings(), partition_bytes=1)
        return sx.dataset([str(path) for path in self.paths], tree=self.tree, settings=settings)

    @cached_property
    def events(self) -> Sequence:
        """The files for the interpreter."""
        return read_events(self.paths, self.tree)


@pytest.fixture(scope="session", autouse=True)
def _peers() -> None:
    """Skip, but not in CI, where func_adl_uproot is not installed."""
    require_peer("func_adl_uproot")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, _peers: None) -> Callable[[str], Data]:
    """Return a function that gives the data of a theme: ``small`` or ``nanoaod``."""
    known: dict[str, Data] = {}

    def find(name: str) -> Data:
        if name not in known:
            known[name] = _WRITERS[name](tmp_path_factory.mktemp("func_adl"))
        return known[name]

    return find


def _small(folder: Path) -> Data:
    require_root()
    path, writer = folder / "small.root", Path(__file__).with_name("write_small_tree.py")
    # ROOT takes over signals and standard streams: it gets a process of its own.
    subprocess.run([sys.executable, "-W", "ignore", str(writer), str(path)], check=True)
    return Data((path,), "t")


def _nanoaod(folder: Path) -> Data:
    """Write three files in five partitions."""
    paths = write_nanoaod_files(folder, 150, 3, entries_per_cluster=30)
    return Data(tuple(paths), "Events")


_WRITERS: dict[str, Any] = {"small": _small, "nanoaod": _nanoaod}
