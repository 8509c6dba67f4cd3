"""The corpus: queries in YAML, and what is to be expected of each.

A query that stands alone gives the same result as func_adl_uproot. Else it is
a mapping with ``query`` and

right
    The type of a row of the right result, where func_adl_uproot fails or is
    wrong for the reason in ``because``; the values are the interpreter's.
refused
    The code of our error; func_adl_uproot fails too, unless ``because`` tells
    what it takes the query for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CORPUS = Path(__file__).parent / "corpus"


@dataclass(frozen=True)
class Case:
    """One query of the corpus; `name` is its theme, heading and number under it."""

    name: str
    data: str
    query: str
    right: str = ""
    refused: str = ""
    because: str = ""


def cases(path: Path) -> list[Case]:
    """Return the cases of one file of the corpus."""
    theme = yaml.safe_load(path.read_text(encoding="utf-8"))
    found = []
    for heading, entries in theme["cases"].items():
        for number, entry in enumerate(entries, 1):
            told: dict[str, Any] = {"query": entry} if isinstance(entry, str) else entry
            found.append(Case(f"{path.stem}: {heading} {number}", theme["data"], **told))
    return found
