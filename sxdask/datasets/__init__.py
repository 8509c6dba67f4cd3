"""Stage 1b: names -> files."""

from __future__ import annotations
