"""Stage 1: what the user asked, nothing decided yet."""

from __future__ import annotations
