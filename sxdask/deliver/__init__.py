"""Stage 4: partitions leave the workers: encode, stream, store, account for."""

from __future__ import annotations
