"""The query strings of SkyhookDM: words and signs, conditions, names of columns."""

from __future__ import annotations
