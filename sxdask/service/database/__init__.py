"""Transforms, datasets, results and users in SQLite or PostgreSQL."""

from __future__ import annotations
