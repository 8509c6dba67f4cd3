"""Logical types of columns: primitive, string, lists, records, options; and the schema.

These are plain values that name what awkward would hold, without importing
it: the planner infers types with them and the reader describes branches with
them. ``str(type)`` is the awkward datashape of one entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final, TypeAlias

# As experiments write units into branch titles: "pt [GeV]", "(in cm)", "distance, in mm".
_UNIT = re.compile(r"(?:[\[(]|\bin )\s*(GeV|MeV|TeV|keV|cm|mm|um|ns|ps|rad)\b")


@dataclass(frozen=True, slots=True)
class Primitive:
    """A number or boolean; `dtype` is numpy's name (``"float32"``, ``"bool"``)."""

    dtype: str

    def __str__(self) -> str:
        return self.dtype


@dataclass(frozen=True, slots=True)
class String:
    """Text of any length."""

    def __str__(self) -> str:
        return "string"


@dataclass(frozen=True, slots=True)
class ListOf:
    """Lists of any length (a jagged dimension)."""

    item: Type

    def __str__(self) -> str:
        return f"var * {self.item}"


@dataclass(frozen=True, slots=True)
class FixedList:
    """Lists that all have `size` items (a fixed-size array branch)."""

    item: Type
    size: int

    def __str__(self) -> str:
        return f"{self.size} * {self.item}"


@dataclass(frozen=True, slots=True)
class Record:
    """Named fields, in order; a tuple has the names ``"0"``, ``"1"``, ..."""

    fields: tuple[tuple[str, Type], ...]
    is_tuple: bool = False

    def __str__(self) -> str:
        if self.is_tuple:
            return "(" + ", ".join(str(item) for _, item in self.fields) + ")"
        return "{" + ", ".join(f"{name}: {item}" for name, item in self.fields) + "}"


@dataclass(frozen=True, slots=True)
class Option:
    """A value that may be missing."""

    item: Type

    def __str__(self) -> str:
        plain = isinstance(self.item, Primitive | String)
        return f"?{self.item}" if plain else f"option[{self.item}]"


@dataclass(frozen=True, slots=True)
class Unknown:
    """A type that the planner does not model; `text` says what it is."""

    text: str = "unknown"

    def __str__(self) -> str:
        return self.text


Type: TypeAlias = Primitive | String | ListOf | FixedList | Record | Option | Unknown


def list_depth(kind: Type) -> int:
    """Return how many list dimensions lie below the entry: 0 for a plain number."""
    match kind:
        case ListOf(item) | FixedList(item, _):
            return 1 + list_depth(item)
        case Option(item):
            return list_depth(item)
        case _:
            return 0


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a tree.

    `title` is the doc string found in the file; `reason` is set for a branch
    that exists and cannot become an array, and says why. `typename` is the
    C++ type as the file has it (``"float[]"``, ``"vector<float>"``). `counter`
    is the branch with the lengths of the lists (``nMuon``), if there is one:
    columns of one counter have the same lengths.
    """

    name: str
    type: Type
    title: str = ""
    reason: str | None = None
    typename: str = ""
    counter: str = ""

    @property
    def list_depth(self) -> int:
        """Number of list dimensions below the entry."""
        return list_depth(self.type)

    @property
    def unit(self) -> str | None:
        """Unit that the title states (``"dxy wrt PV, in cm"``), None if it states none."""
        found = _UNIT.search(self.title)
        return found[1] if found else None


ENTRY: Final = "Entry$"
LOCAL_ENTRY: Final = "LocalEntry$"

ENTRY_COLUMNS: Final[dict[str, Field]] = {
    ENTRY: Field(ENTRY, Primitive("int64"), title="number of the entry in the dataset"),
    LOCAL_ENTRY: Field(LOCAL_ENTRY, Primitive("int64"), title="number of the entry in its tree"),
}
"""Columns that every tree has and no file stores, under the names of TTree::Draw."""


@dataclass(frozen=True)
class Schema(Mapping[str, Field]):
    """Columns of one tree, in file order, found by name.

    `aliases` maps other spellings (full paths such as ``Jets/Jets.fPt``) to
    the column name. `ENTRY_COLUMNS` can be looked up and are not counted.
    """

    fields: tuple[Field, ...]
    tree: str = ""
    aliases: tuple[tuple[str, str], ...] = ()

    @cached_property
    def _by_name(self) -> dict[str, Field]:
        table = {field.name: field for field in self.fields}
        for other, name in self.aliases:
            table.setdefault(other, table[name])
        return table

    def __getitem__(self, name: str) -> Field:
        found = self._by_name.get(name)
        return ENTRY_COLUMNS[name] if found is None else found

    def __contains__(self, name: object) -> bool:
        return name in self._by_name or name in ENTRY_COLUMNS

    def __iter__(self) -> Iterator[str]:
        return (field.name for field in self.fields)

    def __len__(self) -> int:
        return len(self.fields)

    def __str__(self) -> str:
        width = max((len(field.name) for field in self.fields), default=0)
        return "\n".join(f"{field.name:<{width}}  {field.type}" for field in self.fields)
