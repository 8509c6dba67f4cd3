"""Columns as branches of a TTree, which knows numbers, their lists, and text.

A branch of lists needs another one that counts their items. Columns of one
NanoAOD collection share theirs (``Muon_pt``, ``Muon_eta``: ``nMuon``), where
the tables say that they belong together; any other has its own, called as
uproot does (``njets``), with ``_`` after it if that is a column's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import RequestError
from sxdask.deliver.encode import COUNTER
from sxdask.deliver.root.conform import forms_of
from sxdask.deliver.root.file import NUMBERS, require_names, require_trees

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

KIND: Final = "ROOT TTree"
# uproot reads [2] in a title as a dimension, and / as a step of a path.
_RESERVED: Final = re.compile(r"[\[\]/]")


@dataclass(frozen=True, slots=True)
class Branch:
    """One branch: the column it is of, the place of its field there, its counter if it has one."""

    name: str
    column: str
    field: int | None
    counter: str
    type: Any


def branches_of(schema: pa.Schema) -> list[Branch]:
    """Return the branches of a table with `schema`, without counters.

    Raises
    ------
    RequestError
        If a column has a type that no branch has, or two would have one name.
    """
    found = []
    for column, form in forms_of(schema).items():
        name = _RESERVED.sub("_", column) or "branch"
        found += [
            Branch(name if at is None else _field_name(column, name, label), column, at, kind, part)
            for at, label, kind, part in _parts(column, form)
        ]
    require_names(((item.column, item.name) for item in found), KIND)
    return _counted(found, schema)


def require(schemas: Sequence[pa.Schema]) -> None:
    """Refuse tables that TTrees cannot hold."""
    require_trees(schemas, KIND)
    for schema in schemas:
        branches_of(schema)


def _field_name(column: str, name: str, label: str) -> str:
    label = _RESERVED.sub("_", label)
    return f"{name}_{label}" if column else label


def _parts(column: str, form: Any) -> list[tuple[int | None, str, str, Any]]:
    """Return place, label, kind (of lists or not) and type of what a column becomes."""
    kind = _kind(form)
    if kind is not None:
        return [(None, "", kind, form.type)]
    record = form.content if form.is_list and not form.is_regular else form
    if record.is_record and record.contents:
        jagged = record is not form
        kinds = [_kind(part) for part in record.contents]
        fits = all(item == "" or (item == "lists" and not jagged) for item in kinds)
        if fits and not (jagged and any(map(_is_text, record.contents))):
            return [
                (
                    at,
                    record.index_to_field(at),
                    "lists" if jagged else item or "",
                    _type(part, jagged),
                )
                for at, (part, item) in enumerate(zip(record.contents, kinds, strict=True))
            ]
    raise RequestError(
        f"a {KIND} cannot hold column {column!r} of type {form.type}",
        hint="use format='root-rntuple', 'arrow' or 'parquet', or select something simpler",
        column=column,
    )


def _type(form: Any, jagged: bool) -> Any:  # noqa: FBT001 - private
    import awkward as ak

    return ak.types.ListType(form.type) if jagged else form.type


def _kind(form: Any) -> str | None:
    """Return ``""`` for one value (or text, or a fixed number of values), ``"lists"``, or None."""
    if form.is_numpy and not form.inner_shape:
        return "" if form.primitive in NUMBERS else None
    if _is_text(form):
        return ""
    if form.is_regular and form.size > 0 and not _is_text(form.content):
        return "" if _kind(form.content) == "" else None
    if form.is_list and form.parameter("__array__") is None:
        flat = form.content.is_numpy and not form.content.inner_shape
        return "lists" if flat and form.content.primitive in NUMBERS else None
    return None


def _is_text(form: Any) -> bool:
    return bool(form.parameter("__array__") == "string")


def _counted(found: Sequence[Branch], schema: pa.Schema) -> list[Branch]:
    """Return the branches with the names of their counters."""
    shared = {
        name: metadata[COUNTER].decode()
        for name in schema.names
        if COUNTER in (metadata := schema.field(name).metadata or {})
    }
    names = {item.name for item in found}
    # A counter may bear the name of a column only if that is the count itself.
    shared = {
        column: name
        for column, name in shared.items()
        if name not in names or shared.get(name) == name
    }
    taken = names | set(shared.values())
    own: dict[str, str] = {}
    done = []
    for item in found:
        counter = item.counter and shared.get(item.column, "")
        if item.counter and not counter:
            if item.column not in own:
                name = _RESERVED.sub("_", item.column) or "branch"
                own[item.column] = _free(f"n{name}", taken)
                taken.add(own[item.column])
            counter = own[item.column]
        done.append(Branch(item.name, item.column, item.field, counter, item.type))
    return done


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
