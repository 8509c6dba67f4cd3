"""Stage 3: plan + index -> dask-awkward collection, one fused task a partition."""

from __future__ import annotations
