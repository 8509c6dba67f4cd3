"""Formulas of ROOT's TTree::Draw and TCut: words, grammar, and what they mean event by event."""

from __future__ import annotations
