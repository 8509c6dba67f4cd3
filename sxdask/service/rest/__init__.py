"""The REST interface of ServiceX, as its official client knows it, and what operators need."""

from __future__ import annotations
