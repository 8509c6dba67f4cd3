"""Deterministic ROOT files and real samples, for tests, demonstrations and benchmarks."""

from __future__ import annotations

from sxdask.testing.nanoaod import expected_arrays, write_nanoaod, write_nanoaod_files

__all__ = ["expected_arrays", "write_nanoaod", "write_nanoaod_files"]
