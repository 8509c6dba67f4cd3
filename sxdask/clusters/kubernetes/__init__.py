"""What a Dask cluster on Kubernetes is made of: objects as values, faults read from objects."""

from __future__ import annotations
