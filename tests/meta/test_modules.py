"""House rules for every module: small, described, annotated as text."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("sxdask", "tests", "benchmarks")
MODULES = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))
MAX_LINES = 400
FORBIDDEN_NAMES = {"utils", "util", "helpers", "helper", "manager", "common", "misc"}


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def test_the_modules_are_found() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_keeps_to_the_house_rules(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES, f"split it: more than {MAX_LINES} lines"
    module = ast.parse(text)
    assert ast.get_docstring(module), "no docstring"
    assert any(
        isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in module.body
    ), "no `from __future__ import annotations`"
    assert path.stem not in FORBIDDEN_NAMES, "name it after what it is about"


def test_data_folders_hold_no_code() -> None:
    """See docs/adr/0002-graphs-and-cluster-are-data.md; a gateway is configured in Python."""
    found = [path for folder in ("graphs", "cluster") for path in (ROOT / folder).rglob("*.py")]
    assert found == [ROOT / "cluster" / "gateway" / "dask_gateway_config.py"]
