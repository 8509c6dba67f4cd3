"""An Arrow Flight server: requests in, partitions out as streams of record batches."""

from __future__ import annotations
