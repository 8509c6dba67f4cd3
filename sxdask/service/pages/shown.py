"""Numbers and times as people read them. All times are UTC."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

NOTHING: Final = "\N{EN DASH}"
"""What an empty cell shows."""

_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
_SPANS: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_SPACE: Final = "\N{NO-BREAK SPACE}"
_THOUSANDS: Final = "\N{NARROW NO-BREAK SPACE}"


def count(number: float) -> str:
    """Return a whole number, its thousands apart."""
    return f"{round(number):,}".replace(",", _THOUSANDS)


def size(number: float) -> str:
    """Return bytes in powers of a thousand, with three digits."""
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    digits = 0 if unit == 0 or value >= 99.95 else 1
    return f"{value:.{digits}f}{_SPACE}{_UNITS[unit]}"


def speed(number: float) -> str:
    """Return bytes per second."""
    return f"{size(number)}/s"


def duration(seconds: float, units: int = 2) -> str:
    """Return a span of time in its largest unit and the one below it, or the largest alone."""
    if seconds < 9.95:
        return f"{max(seconds, 0.0):.1f}{_SPACE}s"
    left = round(seconds)
    for place, (name, step) in enumerate(_SPANS):
        number, left = divmod(left, step)
        if number:
            words = [f"{number}{_SPACE}{name}"]
            if units > 1 and place + 1 < len(_SPANS):
                smaller, unit = _SPANS[place + 1]
                words += [f"{left // unit}{_SPACE}{smaller}"] if left // unit else []
            return _SPACE.join(words)
    return f"0{_SPACE}s"


def moment(when: datetime | None) -> str:
    """Return a time to the minute; its year only if it is another one."""
    if when is None:
        return NOTHING
    form = "%d %b %H:%M" if when.year == datetime.now(UTC).year else "%d %b %Y %H:%M"
    return when.strftime(form)


def exact(when: datetime | None) -> str:
    """Return a time to the second as machines read it."""
    return "" if when is None else when.strftime("%Y-%m-%dT%H:%M:%SZ")


def clock(when: datetime) -> str:
    """Return a time to the millisecond, for logs."""
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d}"


def percent(part: float, whole: float) -> float:
    """Return how much of `whole` `part` is, 0 to 100 to two digits; 100 only for all of it."""
    if whole <= 0:
        return 0.0
    return 100.0 if part >= whole else min(round(100 * part / whole, 2), 99.99)
