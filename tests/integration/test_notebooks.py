"""Notebooks run from top to bottom and are stored without outputs.

Those that need a server are run where it is (tests/services, tests/kubernetes), and
are stored with the outputs of a real run.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import pytest

CAPTURED = {"04-gateway.ipynb"}
ALL = sorted((Path(__file__).parents[2] / "notebooks").rglob("*.ipynb"))
NOTEBOOKS = [path for path in ALL if path.name not in CAPTURED]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_runs(path, tmp_path, monkeypatch):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # on import, of Jupyter's own parts
        import nbformat
        from nbclient import NotebookClient

    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()  # raises what a cell raises
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    shown = json.dumps([cell.outputs for cell in code])
    assert "image/png" in shown
    assert "bytes to read" in shown


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_a_notebook_is_stored_without_outputs(path):
    for cell in json.loads(path.read_text())["cells"]:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.parametrize(
    "path", [path for path in ALL if path.name in CAPTURED], ids=lambda path: path.name
)
def test_a_notebook_that_needs_a_server_is_stored_with_outputs_that_tell_no_secret(path):
    code = [cell for cell in json.loads(path.read_text())["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    shown = json.dumps([cell["outputs"] for cell in code])
    assert "image/png" in shown
    assert "Traceback" not in shown
    assert "password" not in shown.lower()


def test_there_is_a_notebook():
    assert NOTEBOOKS
    assert {path.name for path in ALL} >= CAPTURED
