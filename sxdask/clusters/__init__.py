"""Where the scheduler lives; knows nothing about plans."""

from __future__ import annotations
