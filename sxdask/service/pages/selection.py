"""Selections as people read them: Python decoded, JSON indented, s-expressions in lines."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from typing import Any, Final

MOST: Final = 100_000
"""Characters of a selection that a page shows."""

_WIDTH: Final = 88
_WORD: Final = re.compile(r"""\(|\)|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|[^\s()'"]+|['"]""")
_DEPTH: Final = 60


def pretty(codegen: str, selection: str) -> str:
    """Return `selection` for reading; as it is where it cannot be taken apart."""
    try:
        found = _pretty(codegen, selection)
    except (ValueError, RecursionError):
        found = selection
    if len(found) <= MOST:
        return found
    return f"{found[:MOST]}\n... {len(found) - MOST} more characters"


def _pretty(codegen: str, selection: str) -> str:
    if codegen == "python":
        return b64decode(selection, validate=True).decode()
    if codegen == "uproot-raw":
        return json.dumps(_without_nulls(json.loads(selection)), indent=2, ensure_ascii=False)
    if codegen == "uproot":
        return _lines(_parsed(_WORD.findall(selection[: 2 * MOST])), 0)
    return selection


def _without_nulls(value: Any) -> Any:
    """Return JSON without what is null: clients write each option that is not set."""
    if isinstance(value, dict):
        return {name: _without_nulls(item) for name, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _parsed(words: list[str]) -> list[Any]:
    """Return nested lists of atoms; the outermost list is the text."""
    found: list[Any] = []
    open_lists = [found]
    for word in words:
        if word == "(":
            if len(open_lists) > _DEPTH:
                raise ValueError("too deep to be read")
            open_lists[-1].append([])
            open_lists.append(open_lists[-1][-1])
        elif word == ")":
            open_lists.pop()
            if not open_lists:
                raise ValueError("one bracket is too many")
        else:
            open_lists[-1].append(word)
    if len(open_lists) > 1:
        raise ValueError("a bracket is missing")
    return found


def _flat(value: Any) -> str:
    return value if isinstance(value, str) else f"({' '.join(map(_flat, value))})"


def _lines(values: list[Any], indent: int) -> str:
    """Return `values` in lines; a list that fits into one stays in one."""
    found = []
    for value in values:
        text = _flat(value)
        if isinstance(value, str) or len(text) + indent <= _WIDTH:
            found.append(" " * indent + text)
            continue
        heads = 0
        while heads < min(2, len(value)) and isinstance(value[heads], str):
            heads += 1
        head = " ".join(value[:heads])
        found.append(f"{' ' * indent}({head}\n{_lines(value[heads:], indent + 2)})")
    return "\n".join(found)
