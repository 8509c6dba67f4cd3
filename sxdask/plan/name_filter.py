"""Name filters as uproot reads them: exact, glob, or ``/regex/flags``; any of several."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Final, TypeAlias

from sxdask.core.errors import SelectionSyntaxError

NameFilter: TypeAlias = Callable[[str], bool]

_SLASHED: Final = re.compile(r"/(.*)/([iLmsux]*)", re.DOTALL)
_FLAGS: Final = {
    "i": re.IGNORECASE,
    "m": re.MULTILINE,
    "s": re.DOTALL,
    "u": re.UNICODE,
    "x": re.VERBOSE,
}
_MAX_PATTERN: Final = 1_000
# a group that repeats and has a repetition in it takes exponential time on some names
_NESTED_REPEAT: Final = re.compile(r"\([^()]*[*+}][^()]*\)\s*[*+{]")


def name_filter(patterns: str | Sequence[str] | None) -> NameFilter:
    """Return a test of names: None accepts all, several accept what any accepts.

    A regular expression need match only the beginning of a name, as in uproot.

    Raises
    ------
    SelectionSyntaxError
        If a regular expression is malformed or could take forever.

    Examples
    --------
    >>> accepts = name_filter(["MET_pt", "/muon_(pt|eta)$/i"])
    >>> [name for name in ("MET_pt", "Muon_eta", "Muon_phi") if accepts(name)]
    ['MET_pt', 'Muon_eta']
    """
    if patterns is None:
        return lambda _: True
    if isinstance(patterns, str):
        return _one(patterns)
    tests = [_one(pattern) for pattern in dict.fromkeys(patterns)]
    exact = {pattern for pattern in patterns if not _is_pattern(pattern)}
    others = [
        test
        for pattern, test in zip(dict.fromkeys(patterns), tests, strict=True)
        if pattern not in exact
    ]
    return lambda name: name in exact or any(test(name) for test in others)


def _is_pattern(text: str) -> bool:
    return _SLASHED.fullmatch(text) is not None or any(sign in text for sign in "*?[")


def _one(pattern: str) -> NameFilter:
    slashed = _SLASHED.fullmatch(pattern)
    if slashed is not None:
        return _regex(pattern, *slashed.groups())
    if _is_pattern(pattern):
        return lambda name: fnmatchcase(name, pattern)
    return lambda name: name == pattern


def _regex(pattern: str, body: str, letters: str) -> NameFilter:
    flags = re.NOFLAG
    for letter in letters:
        if letter not in _FLAGS:
            raise SelectionSyntaxError.at(
                pattern, pattern.rindex(letter), f"flag {letter!r} is for bytes, and names are text"
            )
        flags |= _FLAGS[letter]
    if len(body) > _MAX_PATTERN or _NESTED_REPEAT.search(body):
        raise SelectionSyntaxError.at(
            pattern,
            0,
            "this regular expression could take very long",
            hint="repeat single characters or classes only, such as [a-z]+",
        )
    try:
        matcher = re.compile(body, flags)
    except (re.error, OverflowError, RecursionError) as error:
        place = getattr(error, "pos", None) or 0
        raise SelectionSyntaxError.at(
            pattern, place + 1, f"this is not a regular expression: {error}"
        ) from None
    return lambda name: matcher.match(name) is not None
