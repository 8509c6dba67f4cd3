"""Deterministic ROOT files and real samples, for tests, demonstrations and benchmarks."""

from __future__ import annotations

from sxdask.testing.nanoaod import expected_arrays, write_nanoaod, write_nanoaod_files
from sxdask.testing.samples import sample_files

__all__ = ["expected_arrays", "sample_files", "write_nanoaod", "write_nanoaod_files"]
