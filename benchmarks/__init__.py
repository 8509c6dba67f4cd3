"""Measurements of sxdask, each beside its peer in one run with equal results."""

from __future__ import annotations
