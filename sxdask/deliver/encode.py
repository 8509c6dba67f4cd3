"""Awkward partitions become Arrow tables.

Top-level fields turn into columns. Plain Arrow types are used wherever they
bring back the same awkward type, so that pandas, polars and DuckDB read the
columns as they are; a column that plain Arrow cannot describe (tuples, named
records) carries awkward's extension type, which other tools see through.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeAlias

import awkward as ak
import numpy as np
import pyarrow as pa

from sxdask._version import __version__
from sxdask.core.errors import RequestError
from sxdask.deliver.columns import form_key, shared_column
from sxdask.deliver.part import FACTS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping, Sequence

Facts: TypeAlias = "tuple[tuple[str, str], ...]"

PREFIX = "sxdask:"
"""Namespace of our keys in schema and field metadata."""

_ARROW_FILE = b"ARROW1"  # magic string of the Arrow columnar format, "IPC File Format"

_MOST_FORMS = 256
_lock = Lock()
_descriptions: dict[Hashable, _Description] = {}

COUNTER = f"{PREFIX}counter".encode()
"""Key of a field's metadata: the branch that counts the items of its lists, in the file."""


def to_table(
    array: ak.Array,
    *,
    metadata: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    counters: Mapping[str, str] | None = None,
) -> pa.Table:
    """Convert one partition to an Arrow table that reads back equal, type included.

    ``ak.from_arrow(to_table(array))`` has the values and the type of `array`,
    also after a trip through an Arrow file. Lists have 64-bit offsets whatever
    the input has, so that all partitions of a run share one schema. An empty
    array keeps its full schema.

    Plain Arrow types (``extensionarray=False``) are preferred column by column.
    Only where they would change the type (a tuple would come back as a record,
    a record would lose its name) is the column an extension array, whose
    storage is the plain array.

    Parameters
    ----------
    array
        Records with one field per column; anything else becomes one column
        with the empty name, as awkward itself does it. Records without any
        field become a table without columns that still has its row count;
        Arrow files keep that count, Parquet has no place for it.
    metadata
        Added to the schema's metadata under ``sxdask:<key>``, beside the
        version of sxdask.
    units
        Unit by column, where known (``{"Muon_pt": "GeV"}``); it goes to the
        metadata of the field, beside its type and list depth.
    counters
        Branch of the file that counts the items of a column's lists, where
        columns share one (``{"Muon_pt": "nMuon"}``); the counter itself too.

    Raises
    ------
    RequestError
        If a column has a type that Arrow does not have (complex numbers).

    Examples
    --------
    >>> table = to_table(ak.Array([{"pt": [1.5, 2.5]}, {"pt": []}]))
    >>> table.column("pt").to_pylist()
    [[1.5, 2.5], []]
    >>> table.schema.field("pt").metadata[b"sxdask:type"]
    b'var * float64'
    """
    known = _description_of(array)
    if known.narrow:
        array = ak.transform(_widen, array)
        known = _description_of(array)
    if known.indexed:
        array = ak.transform(_with_content, array)
    own = {f"{PREFIX}{key}": value for key, value in (metadata or {}).items()}
    own = {f"{PREFIX}version": __version__, **own}
    table = _convert(array, known)
    noted = _noted(known, table.schema, units or {}, counters or {})
    kept = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    if not noted.names:
        # A table made of no column would forget its length; an emptied one remembers it.
        rows = pa.table({"row": pa.nulls(len(array))})
        return rows.replace_schema_metadata(kept | own).select([])
    return pa.Table.from_arrays(table.columns, schema=noted.with_metadata(kept | own))


def metadata_of(table: pa.Table) -> dict[str, str]:
    """Return what `to_table` wrote into the schema, without the namespace.

    Examples
    --------
    >>> table = to_table(ak.Array([{"x": 1}]), metadata={"tree": "Events"})
    >>> metadata_of(table)["tree"]
    'Events'
    """
    found = table.schema.metadata or {}
    return {
        key.decode().removeprefix(PREFIX): value.decode()
        for key, value in found.items()
        if key.decode().startswith(PREFIX)
    }


def join(tables: Sequence[pa.Table]) -> pa.Table:
    """Join the partitions of one output; what is true of one of them alone leaves the metadata."""
    return pa.concat_tables([_without_facts(table) for table in tables])


def no_rows(schema: pa.Schema) -> pa.Table:
    """Return a table without rows; unlike ``schema.empty_table()`` it may have tuples in it."""
    return pa.Table.from_batches([], schema=schema)


def schema_to_text(schema: pa.Schema) -> str:
    """Return `schema` as text for a JSON file."""
    return b64encode(schema.serialize()).decode()


def schema_from_text(text: str) -> pa.Schema:
    """Return the schema that `schema_to_text` wrote."""
    return pa.ipc.read_schema(pa.BufferReader(b64decode(text)))


def _without_facts(table: pa.Table) -> pa.Table:
    own = {f"{PREFIX}{name}".encode() for name in FACTS}
    metadata = table.schema.metadata or {}
    return table.replace_schema_metadata(
        {key: value for key, value in metadata.items() if key not in own}
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Description:
    """What the form of an array says, for all arrays that have it; one object a form.

    `plain` is the schema of plain Arrow types, None if there are none for it;
    `types` and `depths` are by column, `lossy` are the columns that plain
    Arrow would bring back with another type, and with `narrow` lists Arrow
    would call the same type by another name. `indexed` arrays may be without
    content where all values are missing.
    """

    plain: pa.Schema | None
    types: Mapping[str, str]
    depths: Mapping[str, int]
    lossy: tuple[str, ...]
    indexed: bool
    narrow: bool


def _description_of(array: ak.Array) -> _Description:
    key = form_key(array.layout)
    with _lock:
        known = _descriptions.get(key)
    if known is None:
        known = _description(json.dumps(array.layout.form.to_dict()))
        with _lock:
            if len(_descriptions) >= _MOST_FORMS:
                _descriptions.clear()
            _descriptions[key] = known
    return known


@lru_cache(maxsize=256)
def _description(form: str) -> _Description:
    nothing = ak.Array(ak.forms.from_json(form).length_zero_array())
    try:
        plain = ak.to_arrow_table(nothing, extensionarray=False).schema
    except pa.ArrowNotImplementedError:
        plain = None  # the array itself will not be converted either
    names = [] if plain is None else plain.names
    kinds = {name: _column(nothing, name).type.content for name in names}
    narrow = any(
        f'"{kind}": "{width}"' in form for kind in ("offsets", "starts") for width in ("i32", "u32")
    )
    return _Description(
        plain,
        {name: str(kind) for name, kind in kinds.items()},
        {name: _list_depth(kind) for name, kind in kinds.items()},
        () if narrow else tuple(name for name in kinds if not _survives(_column(nothing, name))),
        '"IndexedOptionArray"' in form,
        narrow,
    )


def _convert(array: ak.Array, known: _Description) -> pa.Table:
    """Return plain columns, with awkward's extension type where plain ones lose the type."""
    try:
        plain = _plain_table(array, known)
        lossy = [name for name in plain.column_names if name in known.lossy]
        if lossy == [""]:
            return ak.to_arrow_table(array, extensionarray=True)
        if lossy:
            rich = ak.to_arrow_table(array[lossy], extensionarray=True)
            for name in lossy:
                at = plain.schema.get_field_index(name)
                plain = plain.set_column(at, rich.schema.field(name), rich.column(name))
    except pa.ArrowNotImplementedError as error:
        raise RequestError(
            f"a column of type {_unsupported(array)} cannot be put into Arrow: {error}",
            hint="select its real and imaginary parts as two columns",
        ) from error
    return plain


def _plain_table(array: ak.Array, known: _Description) -> pa.Table:
    """Return plain columns; awkward converts those that are not just numbers."""
    layout, schema = array.layout, known.plain
    records = isinstance(layout, ak.contents.RecordArray) and not layout.is_tuple
    if schema is None or not schema.names or not records:
        return ak.to_arrow_table(array, extensionarray=False)
    rows = len(layout)
    columns = {
        field.name: shared_column(content, field.type, rows)
        for field, content in zip(schema, layout.contents, strict=True)
    }
    others = [name for name, column in columns.items() if column is None]
    if len(others) == len(columns):
        return ak.to_arrow_table(array, extensionarray=False)
    if others:
        rest = ak.to_arrow_table(array[others], extensionarray=False)
        columns |= {name: rest.column(name) for name in others}
    return pa.Table.from_arrays(list(columns.values()), schema=schema)


def _column(array: ak.Array, name: str) -> ak.Array:
    return array[name] if name else array


def _survives(column: ak.Array) -> bool:
    return _form_survives(json.dumps(column.layout.form.to_dict(), sort_keys=True))


@lru_cache(maxsize=4096)
def _form_survives(form: str) -> bool:
    """Return whether plain Arrow brings an array of `form` back with the same type."""
    nothing = ak.forms.from_json(form).length_zero_array()
    column = ak.Array(ak.contents.RecordArray([ak.to_layout(nothing)], ["c"]))
    back = ak.from_arrow(ak.to_arrow_table(column, extensionarray=False))
    return bool(back.type.content.is_equal_to(column.type.content, all_parameters=True))


def _unsupported(array: ak.Array) -> str:
    for name in array.fields:
        try:
            ak.to_arrow(array[name][:0], extensionarray=False)
        except pa.ArrowNotImplementedError:
            return f"{array[name].type.content} ({name!r})"
    return str(array.type.content)


def _noted(
    known: _Description, schema: pa.Schema, units: Mapping[str, str], counters: Mapping[str, str]
) -> pa.Schema:
    """Return the fields of `schema` with what is known of each column."""
    facts = (tuple(sorted(units.items())), tuple(sorted(counters.items())))
    if known.plain is not None and schema.equals(known.plain):
        return _noted_plain(known, *facts)
    return _with_notes(known, schema, *facts)


def _with_notes(known: _Description, schema: pa.Schema, units: Facts, counters: Facts) -> pa.Schema:
    by_unit, by_counter = dict(units), dict(counters)
    return pa.schema(
        field.with_metadata(_field_metadata(known, field, by_unit, by_counter)) for field in schema
    )


@lru_cache(maxsize=256)
def _noted_plain(known: _Description, units: Facts, counters: Facts) -> pa.Schema:
    return _with_notes(known, known.plain, units, counters)


def _field_metadata(
    known: _Description, field: pa.Field, units: Mapping[str, str], counters: Mapping[str, str]
) -> dict[bytes | str, str | bytes]:
    name = field.name
    notes: dict[bytes | str, str | bytes] = dict(field.metadata or {})
    notes |= {f"{PREFIX}type": known.types[name], f"{PREFIX}list_depth": str(known.depths[name])}
    if name in units:
        notes[f"{PREFIX}unit"] = units[name]
    if name in counters:
        notes[COUNTER] = counters[name]
    return notes


def _list_depth(kind: Any) -> int:
    """Count the list dimensions of an awkward type below the entry; text is no list."""
    if isinstance(kind, ak.types.OptionType):
        return _list_depth(kind.content)
    if isinstance(kind, ak.types.ListType | ak.types.RegularType):
        text = kind.parameters.get("__array__") in {"string", "bytestring"}
        return 0 if text else 1 + _list_depth(kind.content)
    return 0


def _with_content(layout: Any, **_: Any) -> Any:
    """Give missing lists and text some content to point past: awkward fails without any."""
    if not (layout.is_option and layout.is_indexed and len(layout)):
        return None
    content = layout.content
    if len(content) or not content.is_list:
        return None
    if content.is_regular:
        content = content.form.length_one_array(highlevel=False)
    else:
        ends = ak.index.Index64(np.zeros(2, np.int64))
        content = ak.contents.ListOffsetArray(ends, content.content, parameters=content.parameters)
    missing = ak.index.Index64(np.full(len(layout), -1))
    return ak.contents.IndexedOptionArray(missing, content, parameters=layout.parameters)


def _widen(layout: Any, continuation: Any, **_: Any) -> Any:
    if layout.is_list and not layout.is_regular:
        return continuation().to_ListOffsetArray64(True)  # noqa: FBT003 - awkward's signature
    return None
