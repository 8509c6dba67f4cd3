"""The files of the differential tests, opened once by each of the three that are compared."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sxdask as sx
from sxdask.testing import write_nanoaod
from tests.conftest import IN_CI
from tests.differential.func_adl.oracle import read_events

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.api import Dataset
    from tests.differential.func_adl.values import Sequence

NANOAOD_EVENTS = 150


@dataclass
class Data:
    """A tree of a file, as the engines and the interpreter take it."""

    path: Path
    tree: str

    @cached_property
    def dataset(self) -> Dataset:
        """The file for us."""
        return sx.dataset(str(self.path), tree=self.tree)

    @cached_property
    def events(self) -> Sequence:
        """The file for the interpreter."""
        return read_events(self.path, self.tree)


@pytest.fixture(scope="session", autouse=True)
def _peers() -> None:
    """Skip, but not in CI, where the peers are not installed."""
    missing = [
        name for name in ("func_adl_uproot", "ROOT") if importlib.util.find_spec(name) is None
    ]
    if missing:
        told = f"{' and '.join(missing)} are not installed (extra 'peers')"
        pytest.fail(told) if IN_CI else pytest.skip(told)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, _peers: None) -> Callable[[str], Data]:
    """Return a function that gives the data of a theme: ``small`` or ``nanoaod``."""
    known: dict[str, Data] = {}

    def find(name: str) -> Data:
        if name not in known:
            path = tmp_path_factory.mktemp("func_adl") / f"{name}.root"
            known[name] = _WRITERS[name](path)
        return known[name]

    return find


def _small(path: Path) -> Data:
    writer = Path(__file__).with_name("write_small_tree.py")
    # ROOT takes over signals and standard streams: it gets a process of its own.
    subprocess.run([sys.executable, "-W", "ignore", str(writer), str(path)], check=True)
    return Data(path, "t")


def _nanoaod(path: Path) -> Data:
    return Data(write_nanoaod(path, NANOAOD_EVENTS), "Events")


_WRITERS: dict[str, Any] = {"small": _small, "nanoaod": _nanoaod}
