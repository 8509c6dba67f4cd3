"""Recipes that wait for a cluster: a queue on disk, and slots that work it off."""

from __future__ import annotations
