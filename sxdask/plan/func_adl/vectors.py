"""Four-vectors."""

from __future__ import annotations

CONVERSIONS = frozenset({"ToFourMomentum", "ToFourMomenta"})


def is_momentum(value):
    return False
