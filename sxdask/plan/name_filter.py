"""Name filters as uproot reads them: exact, glob, or ``/regex/flags``; any of several."""

from __future__ import annotations

import math
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
_PIECE: Final = re.compile(
    r"""(?P<other>\\.|\[\^?\]?(?:\\.|[^\]\\])*\])
      | (?P<blank>\s)
      | (?P<open>\((?:\?[\w<=!>:-]*)?)
      | (?P<close>\))
      | (?P<bar>\|)
      | (?P<option>\?[?+]?)
      | (?P<exactly>\{\d+\})
      | (?P<repeat>(?:[*+]|\{\d*,\d*\})[?+]?)
      | (?P<character>.)""",
    re.VERBOSE | re.DOTALL,
)
_MOST_WAYS: Final = 1_000_000
_WAYS: Final = {"option": 2, "exactly": 1, "repeat": 30}  # 30 places in a name where it may end


def name_filter(patterns: str | Sequence[str] | None) -> NameFilter:
    """Return a test of names: None accepts all, several accept what any accepts.

    A regular expression need match only the beginning of a name, as in uproot.

    Raises
    ------
    SelectionSyntaxError
        If a regular expression is malformed, or a pattern is too long or could take forever.

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
        if len(pattern) > _MAX_PATTERN:
            raise SelectionSyntaxError.at(
                pattern,
                0,
                f"this pattern has {len(pattern)} characters, and the limit is {_MAX_PATTERN}",
                hint="give a list of shorter ones",
            )
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
    slow = SelectionSyntaxError.at(
        pattern,
        0,
        "this regular expression could take very long",
        hint="use few repetitions and choices, and no repetition of a group that has some",
    )
    if len(body) > _MAX_PATTERN:
        raise slow
    try:
        matcher = re.compile(body, flags)
    except (re.error, OverflowError, RecursionError) as error:
        place = getattr(error, "pos", None) or 0
        raise SelectionSyntaxError.at(
            pattern, place + 1, f"this is not a regular expression: {error}"
        ) from None
    if _ways(body) > _MOST_WAYS:
        raise slow
    return lambda name: matcher.match(name) is not None


def _ways(body: str) -> float:
    """Return an upper estimate of the ways that `body`, which compiles, may try to match a name.

    Python's engine tries them all before it gives up. A repeated group with a
    repetition or a choice inside has exponentially many.
    """
    if "#" in body:  # a comment could stand between a group and its repetition
        return math.inf if re.search(r"[*+?{|]", body) else 1.0
    ways, choices = [1.0], [1]  # of each group that is open
    most = last = 1.0  # of the alternatives of the whole pattern; of the item before
    kinds = (piece.lastgroup or "" for piece in _PIECE.finditer(body))
    for kind in kinds:
        match kind:
            case "option" | "exactly" | "repeat":
                if last > 1 and kind != "option":
                    return math.inf
                ways[-1] *= _WAYS[kind]
            case "open":
                ways.append(1.0)
                choices.append(1)
            case "close":
                last = ways.pop() * choices.pop()
                ways[-1] *= last
            case "bar" if len(ways) > 1:
                choices[-1] += 1
            case "bar":
                most, ways[0] = max(most, ways[0]), 1.0
            case "other" | "character":
                last = 1.0
    return max(most, math.prod(ways))
