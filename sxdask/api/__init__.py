"""What users hold: datasets, queries and the partitions that stream out of them.

Everything here is lazy: a `Dataset` opens one file when its schema is asked
for, a `Query` is a value, and only `compute`, `stream`, `deliver` and `dask`
look at all files.
"""

from __future__ import annotations

from sxdask.api.datasets import Dataset, dataset
from sxdask.api.processors import run_processor
from sxdask.api.queries import Query
from sxdask.api.remote.connection import connect
from sxdask.api.requests import load, request
from sxdask.api.stream import Partition

__all__ = [
    "Dataset",
    "Partition",
    "Query",
    "connect",
    "dataset",
    "load",
    "request",
    "run_processor",
]
