"""Four-vector operations: the `vector` library's behaviours on arrays of records.

The behaviours travel with the arrays and are not registered for all of
awkward: what a user's own code registers stays its own business.
"""

from __future__ import annotations

from typing import Any

import awkward as ak

_NAME = "Momentum4D"


def momentum4d(value: Any, *, depth_limit: int | None = None) -> Any:
    """Return four-vectors of a mapping of coordinates, or of an array of records."""
    from vector.backends.awkward import behavior

    records = ak.zip(value, depth_limit=depth_limit) if isinstance(value, dict) else value
    return ak.with_name(records, _NAME, behavior=behavior)


def vector_get(value: Any, *, name: str) -> Any:
    """Return a property of four-vectors."""
    return getattr(value, name)


def vector_call(value: Any, *others: Any, name: str) -> Any:
    """Return what a method of four-vectors gives."""
    if name == "negative":
        return -value
    if name == "scale":
        return value * others[0]
    if name == "divide":
        return value / others[0]
    return getattr(value, name)(*others)


def vector_sum(value: Any, *, axis: int) -> Any:
    """Return the sum of each list of four-vectors."""
    return ak.sum(value, axis=axis)
