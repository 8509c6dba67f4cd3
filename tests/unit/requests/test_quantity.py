"""Sizes and durations as people write them."""

from __future__ import annotations

import pytest

from sxdask.core.errors import RequestError
from sxdask.requests.quantity import parse_bytes, parse_duration


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0", 0),
        ("1500", 1500),
        ("32 MB", 32_000_000),
        ("32MiB", 32 * 2**20),
        ("1.5 gb", 1_500_000_000),
        (" 2 TiB ", 2 * 2**40),
        (7, 7),
    ],
)
def test_sizes(text, number):
    assert parse_bytes(text) == number


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("2m", 120), ("12 h", 43_200), ("30d", 2_592_000), ("1w", 604_800)],
)
def test_durations(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "MB", "-1 MB", "1 MX", "1e6", "12 parsecs", "1 MB 2"])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(RequestError, match="not a size") as caught:
        parse_bytes(text)
    assert "32 MB" in str(caught.value)


@pytest.mark.parametrize("text", ["", "30", "d", "3x", "-1d"])
def test_a_duration_needs_a_unit(text):
    with pytest.raises(RequestError, match="not a duration"):
        parse_duration(text)
