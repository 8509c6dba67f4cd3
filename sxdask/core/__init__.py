"""Imported by everyone; imports nothing of ours and no engine."""

from __future__ import annotations
