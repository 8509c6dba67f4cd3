"""sxdask: ServiceX rebuilt as a Dask framework.

``import sxdask as sx`` is quick: awkward, dask, uproot and pyarrow are loaded
when something is read.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sxdask._version import __version__

if TYPE_CHECKING:
    from sxdask.api import Dataset, Partition, Query, connect, dataset, load, request, run_processor
    from sxdask.api.clusters import cluster
    from sxdask.api.consuming import consume
    from sxdask.core.errors import SxdaskError
    from sxdask.deliver.manifest import Manifest

_LAZY = {
    "Dataset": "sxdask.api",
    "Manifest": "sxdask.deliver.manifest",
    "Partition": "sxdask.api",
    "Query": "sxdask.api",
    "SxdaskError": "sxdask.core.errors",
    "cluster": "sxdask.api.clusters",
    "connect": "sxdask.api",
    "consume": "sxdask.api.consuming",
    "dataset": "sxdask.api",
    "load": "sxdask.api",
    "request": "sxdask.api",
    "run_processor": "sxdask.api",
}

__all__ = [
    "Dataset",
    "Manifest",
    "Partition",
    "Query",
    "SxdaskError",
    "__version__",
    "cluster",
    "connect",
    "consume",
    "dataset",
    "load",
    "request",
    "run_processor",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'sxdask' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
