"""The branches of a tree and how each is encoded, shared by all files that agree.

Thousands of files of one dataset have the same thousand branches. Their
indexes name the layout by its digest, and a process holds each layout once.
Nothing is made per branch until it is asked for.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from sxdask.core.types import (
    Field,
    FixedList,
    ListOf,
    Option,
    Primitive,
    Record,
    Schema,
    String,
    Type,
    Unknown,
)
from sxdask.rootio.model import ColumnLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_OPTIONS = {"IndexedOptionArray", "ByteMaskedArray", "BitMaskedArray", "UnmaskedArray"}
_LISTS = {"ListOffsetArray", "ListArray"}

_interned: WeakValueDictionary[str, TreeLayout] = WeakValueDictionary()
_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class BranchFacts:
    """One branch as found in a file: its encoding, or the reason that it has none."""

    name: str
    path: str
    typename: str
    title: str
    layout: ColumnLayout | None
    reason: str = ""
    counter: str = ""


class TreeLayout:
    """Branches of a tree in file order, with their encodings.

    `names` has every branch that could be a column, also those that cannot
    become an array (`unreadable`: name -> reason); `columns` only the readable
    ones. Two layouts with one `digest` have the same names, types and
    encodings; titles take no part in it.
    """

    def __init__(self, digest: str, facts: Mapping[str, Any]) -> None:
        self.digest = digest
        self._facts = facts
        self.names: tuple[str, ...] = tuple(facts["names"])
        self.unreadable: dict[str, str] = dict(facts["unreadable"])
        self.columns: Mapping[str, ColumnLayout] = _Columns(self)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Column name -> position in `names` and in the arrays of a file index."""
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def paths(self) -> tuple[str, ...]:
        """Names that uproot finds the branches by, in the order of `names`."""
        other = self._facts["paths"]
        return tuple(other.get(name, name) for name in self.names)

    @cached_property
    def aliases(self) -> dict[str, str]:
        """Other spellings (full paths such as ``Jets/Jets.fPt``) -> column name."""
        other = self._facts["paths"]
        return {path: name for name, path in other.items() if path not in self.positions}

    @cached_property
    def typenames(self) -> tuple[str, ...]:
        """C++ types as uproot spells them, in the order of `names`."""
        table = self._facts["typenames"]
        return tuple(table[item] for item in self._facts["typename_of"])

    @cached_property
    def counters(self) -> dict[str, str]:
        """Column name -> branch with the lengths of its lists, for columns that have one."""
        places = self._facts["counters"].items()
        return {self.names[place]: counter for counter, group in places for place in group}

    @cached_property
    def titles(self) -> tuple[str, ...]:
        """Doc strings of the branches, in the order of `names`."""
        return tuple(self._facts["titles"])

    @cached_property
    def schema(self) -> Schema:
        """Names and logical types of the columns."""
        forms = [type_of(json.loads(item[1])) for item in self._facts["encodings"]]
        fields = tuple(
            Field(
                name,
                forms[encoding],
                title,
                typename=typename,
                counter=self.counters.get(name, ""),
            )
            if encoding >= 0
            else Field(name, Unknown(typename), title, self.unreadable[name], typename)
            for name, encoding, typename, title in zip(
                self.names, self._facts["encoding_of"], self.typenames, self.titles, strict=True
            )
        )
        return Schema(fields, aliases=tuple(self.aliases.items()))

    def resolve(self, name: str) -> str | None:
        """Return the column that `name` means: a column name, or another spelling of one."""
        return name if name in self.positions else self.aliases.get(name)

    def to_json(self) -> str:
        """Return the layout as text, for `layout_from_json`."""
        return json.dumps(self._facts, separators=(",", ":"))

    def encoding_of(self, name: str) -> tuple[Any, ...] | None:
        """Return the encoding of a column as `make_layout` was given it; None if it has none."""
        position = self.positions.get(name)
        if position is None or (encoding := self._facts["encoding_of"][position]) < 0:
            return None
        return tuple(self._facts["encodings"][encoding])

    def __repr__(self) -> str:
        return f"TreeLayout({self.digest[:12]}, {len(self.names)} branches)"


class _Columns(Mapping[str, ColumnLayout]):
    """The readable columns, each made when first asked for."""

    def __init__(self, layout: TreeLayout) -> None:
        self._layout = layout
        self._made: dict[str, ColumnLayout] = {}

    def __getitem__(self, name: str) -> ColumnLayout:
        made = self._made.get(name)
        if made is None:
            encoding = self._layout.encoding_of(name)
            if encoding is None:
                raise KeyError(name)
            kind, form, file_dtype, dtype, inner_shape, header_bytes, prefix = encoding
            path = self._layout.paths[self._layout.positions[name]]
            made = self._made[name] = ColumnLayout(
                name, path, kind, form, file_dtype, dtype, tuple(inner_shape), header_bytes, prefix
            )
        return made

    def __contains__(self, name: object) -> bool:
        layout = self._layout
        return name in layout.positions and name not in layout.unreadable

    def __iter__(self) -> Iterator[str]:
        layout = self._layout
        return (name for name in layout.names if name not in layout.unreadable)

    def __len__(self) -> int:
        return len(self._layout.names) - len(self._layout.unreadable)


def make_layout(branches: Sequence[BranchFacts]) -> TreeLayout:
    """Return the layout of a tree with these branches; the same object for the same facts."""
    encodings: dict[tuple[Any, ...], int] = {}
    typenames: dict[str, int] = {}
    counters: dict[str, list[int]] = {}
    for place, item in enumerate(branches):
        if item.counter:
            counters.setdefault(item.counter, []).append(place)
    facts: dict[str, Any] = {
        "names": [item.name for item in branches],
        "paths": {item.name: item.path for item in branches if item.path != item.name},
        "encoding_of": [
            -1
            if item.layout is None
            else encodings.setdefault(_encoding(item.layout), len(encodings))
            for item in branches
        ],
        "typename_of": [typenames.setdefault(item.typename, len(typenames)) for item in branches],
        "unreadable": {item.name: item.reason for item in branches if item.layout is None},
        "encodings": list(encodings),
        "typenames": list(typenames),
        "counters": counters,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
    facts["titles"] = [item.title for item in branches]
    return intern_layout(digest, lambda: facts)


def layout_from_json(digest: str, text: Callable[[], str]) -> TreeLayout:
    """Return the layout of that digest; `text` gives its JSON if this process does not hold it."""
    return intern_layout(digest, lambda: json.loads(text()))


def intern_layout(digest: str, load: Callable[[], Mapping[str, Any]]) -> TreeLayout:
    """Return the layout of that digest; `load` is called if this process does not hold it."""
    with _lock:
        layout = _interned.get(digest)
        if layout is None:
            layout = _interned[digest] = TreeLayout(digest, load())
        return layout


def _encoding(column: ColumnLayout) -> tuple[Any, ...]:
    return (
        column.kind,
        column.form,
        column.file_dtype,
        column.dtype,
        column.inner_shape,
        column.header_bytes,
        column.prefix,
    )


def type_of(form: Any) -> Type:
    """Return the logical type of an awkward form, given as parsed JSON."""
    if isinstance(form, str):
        return Primitive(form)
    kind = form["class"]
    marker = (form.get("parameters") or {}).get("__array__")
    if marker == "string":
        return String()
    if marker is not None and marker != "sorted_map":
        return Unknown(marker)
    if kind == "NumpyArray":
        item: Type = Primitive(form["primitive"])
        for size in reversed(form.get("inner_shape") or ()):
            item = FixedList(item, size)
        return item
    if kind == "RecordArray":
        return _record_type(form)
    if kind == "UnionArray":
        return Unknown(f"union[{', '.join(str(type_of(item)) for item in form['contents'])}]")
    return _wrapped_type(kind, form)


def _wrapped_type(kind: str, form: Any) -> Type:
    if kind in _LISTS:
        return ListOf(type_of(form["content"]))
    if kind == "RegularArray":
        return FixedList(type_of(form["content"]), form["size"])
    if kind in _OPTIONS:
        return Option(type_of(form["content"]))
    return Unknown()


def _record_type(form: Any) -> Record:
    items = [type_of(item) for item in form["contents"]]
    names = form.get("fields")
    is_tuple = names is None
    labels = map(str, range(len(items))) if is_tuple else names
    return Record(tuple(zip(labels, items, strict=True)), is_tuple=is_tuple)
