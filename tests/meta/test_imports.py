"""Importing sxdask is quick: the engines are loaded when something is read, and not before."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {
    "awkward",
    "bokeh",
    "coffea",
    "dask",
    "dask_awkward",
    "distributed",
    "fsspec",
    "hist",
    "matplotlib",
    "numba",
    "numpy",
    "pandas",
    "pyarrow",
    "uproot",
}
SCRIPT = "import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"


def loaded_by(module: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has after importing `module`."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(module=module)],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    "module", ["sxdask", "sxdask.api", "sxdask.pipeline", "sxdask.cli.main", "sxdask.datasets"]
)
def test_importing_loads_no_engine(module: str) -> None:
    loaded = loaded_by(module)
    assert "sxdask" in loaded
    assert loaded & HEAVY == set()


def test_help_of_the_command_line_loads_no_engine() -> None:
    script = (
        "import json, sys\n"
        "from sxdask.cli.main import main\n"
        "sys.argv = ['sxdask', '--help']\n"
        "try:\n"
        "    main()\n"
        "except SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "print()\n"
        "print(json.dumps(sorted(sys.modules)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    *text, names = done.stdout.rstrip().split("\n")
    assert "demo" in "\n".join(text)
    assert {name.partition(".")[0] for name in json.loads(names)} & HEAVY == set()


def test_the_check_would_notice_an_engine() -> None:
    assert "numpy" in loaded_by("sxdask.rootio.model")
