"""`sxdask.__all__` is what a user sees, and notebooks use nothing else."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import sxdask
import sxdask.testing

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_all_equals_what_is_visible() -> None:
    assert sorted(set(sxdask.__all__)) == sorted(sxdask.__all__)
    assert sorted(dir(sxdask)) == sorted(sxdask.__all__)
    for name in sxdask.__all__:
        assert getattr(sxdask, name) is not None
    # Submodules become attributes when something imports them, which Python decides.
    visible = {
        name
        for name, value in vars(sxdask).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    machinery = {"annotations", "import_module", "TYPE_CHECKING", "Any"}
    assert visible - machinery == set(sxdask.__all__) - {"__version__"}


def test_every_public_name_says_what_it_is() -> None:
    for name in set(sxdask.__all__) - {"__version__"}:
        assert getattr(sxdask, name).__doc__, name


LOAD_ALL = """
import importlib, pkgutil, types
import sxdask
for module in pkgutil.walk_packages(sxdask.__path__, "sxdask."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print([name for name in sxdask.__all__ if isinstance(getattr(sxdask, name), types.ModuleType)])
"""


def test_no_submodule_takes_the_place_of_a_public_name() -> None:
    """Python makes each submodule that is imported an attribute of the package."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD_ALL], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def private_uses(notebook: Path) -> list[str]:
    """Return what the code cells of `notebook` take from sxdask that is not public."""
    cells = json.loads(notebook.read_text())["cells"]
    lines = [
        line
        for cell in cells
        if cell["cell_type"] == "code"
        for line in "".join(cell["source"]).split("\n")
        if not line.lstrip().startswith(("%", "!"))
    ]
    found: list[str] = []
    aliases = {"sxdask"}
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.Import):
            for item in node.names:
                if item.name == "sxdask":
                    aliases.add(item.asname or "sxdask")
                elif item.name.startswith("sxdask."):
                    found.append(item.name)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("sxdask"):
            public = {"sxdask": sxdask.__all__, "sxdask.testing": sxdask.testing.__all__}
            allowed = public.get(node.module or "", [])
            found += [
                f"{node.module}.{name.name}" for name in node.names if name.name not in allowed
            ]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found += [f"sxdask.{node.attr}"] * (
                node.value.id in aliases and node.attr not in sxdask.__all__
            )
    return found


def test_notebooks_use_public_names_only() -> None:
    notebooks = sorted(NOTEBOOKS.rglob("*.ipynb"))
    assert {path.name: private_uses(path) for path in notebooks} == {
        path.name: [] for path in notebooks
    }


def test_the_check_finds_private_names(tmp_path: Path) -> None:
    source = (
        "%matplotlib inline\n"
        "import sxdask as sx\n"
        "import sxdask.core.errors\n"
        "from sxdask.testing import write_nanoaod\n"
        "from sxdask.plan.nodes import Scan\n"
        "sx.dataset('a.root')\n"
        "sx.pipeline"
    )
    notebook = tmp_path / "a.ipynb"
    notebook.write_text(json.dumps({"cells": [{"cell_type": "code", "source": [source]}]}))
    assert private_uses(notebook) == [
        "sxdask.core.errors",
        "sxdask.plan.nodes.Scan",
        "sxdask.pipeline",
    ]
