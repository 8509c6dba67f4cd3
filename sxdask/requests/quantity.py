"""Sizes and durations as people write them: ``"32 MB"``, ``"30d"``."""

from __future__ import annotations

import re
from typing import Final

from sxdask.core.errors import RequestError

_QUANTITY: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")

# Decimal units of IEC 80000-13 and their binary kin; a bare number is bytes.
_BYTES: Final = {
    "": 1,
    "b": 1,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
    "kib": 2**10,
    "mib": 2**20,
    "gib": 2**30,
    "tib": 2**40,
}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_bytes(text: str | int) -> int:
    """Return the number of bytes that `text` names, such as ``"1.5 GB"`` or ``"64 MiB"``.

    Raises
    ------
    RequestError
        If it is not a number with a unit of bytes.

    Examples
    --------
    >>> parse_bytes("32 MiB"), parse_bytes("1.5GB"), parse_bytes(1000)
    (33554432, 1500000000, 1000)
    """
    return round(_parse(text, _BYTES, "a size", "32 MB, 1.5 GB or 64 MiB"))


def parse_duration(text: str) -> float:
    """Return the seconds that `text` names: a number with s, m, h, d or w.

    Raises
    ------
    RequestError
        If it is not a number with such a unit.

    Examples
    --------
    >>> parse_duration("30d") / 86_400
    30.0
    """
    return _parse(text, _SECONDS, "a duration", "90s, 12h or 30d")


def _parse(text: str | int, units: dict[str, int], what: str, examples: str) -> float:
    found = _QUANTITY.fullmatch(str(text))
    factor = units.get(found[2].lower()) if found else None
    if found is None or factor is None:
        raise RequestError(f"{str(text)[:40]!r} is not {what}", hint=f"write it like {examples}")
    return float(found[1]) * factor
