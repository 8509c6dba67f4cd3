"""The chart of sxdask with the operator's in it, as ``helm dependency build`` leaves it."""

from __future__ import annotations

import re
import shutil
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
OPERATOR = "dask-kubernetes-operator"


def chart_with_operator(folder: Path) -> Path:
    """Copy the chart to `folder`, with the operator's chart out of the wheel of dask-kubernetes.

    That one has no version before it is published; it gets one that fits.
    """
    chart = folder / "sxdask"
    shutil.copytree(ROOT / "cluster/helm/sxdask", chart)
    with as_file(files("dask_kubernetes") / f"operator/deployment/helm/{OPERATOR}") as source:
        shutil.copytree(source, chart / "charts" / OPERATOR)
    description = chart / "charts" / OPERATOR / "Chart.yaml"
    text = description.read_text(encoding="utf-8")
    description.write_text(re.sub(r"(?m)^version: .*$", "version: 2026.3.0", text))
    return chart
