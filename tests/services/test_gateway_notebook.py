"""The notebook of the gateway runs against a real server.

``SXDASK_CAPTURE=1`` stores it with the outputs of this run.
"""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services.test_gateway import clusters

if TYPE_CHECKING:
    import pytest

    from tests.services.dask_gateway_server import GatewayServer

NOTEBOOK = Path(__file__).parents[2] / "notebooks" / "04-gateway.ipynb"
# Read before a fixture takes the user's settings away.
CAPTURE = os.environ.get("SXDASK_CAPTURE", "")


def test_the_notebook_of_the_gateway_runs(
    alice: GatewayServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # on import, of Jupyter's own parts
        import nbformat
        from nbclient import NotebookClient

    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "MPLCONFIGDIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    stored = ["".join(cell.source) for cell in notebook.cells]
    client = NotebookClient(
        notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
    )
    client.execute()  # raises what a cell raises
    shown = json.dumps([cell.get("outputs", []) for cell in notebook.cells])
    assert "events after" in shown
    assert "lets nobody choose 'image'" in shown
    assert clusters(alice) == []
    if CAPTURE:
        for cell in notebook.cells:
            cell.metadata = {}
        notebook.metadata.language_info = {"name": "python"}
        assert ["".join(cell.source) for cell in notebook.cells] == stored
        nbformat.write(notebook, NOTEBOOK)
