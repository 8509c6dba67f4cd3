"""Arrays as a ROOT file gives them back, put into the type that they had before.

ROOT knows fewer types than awkward: names of records, tuples, fixed sizes and
missing records come back as something near. The type that is kept beside the
data says what they were.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pyarrow as pa

from sxdask.deliver.encode import no_rows

if TYPE_CHECKING:
    from collections.abc import Mapping


def columns_of(table: pa.Table) -> dict[str, Any]:
    """Return the awkward layout of each column of `table`."""
    array = ak.from_arrow(_from_zero(table))
    if table.column_names == [""] and array.fields != [""]:
        return {"": ak.to_layout(array)}
    return {name: ak.to_layout(array[name]) for name in table.column_names}


def _from_zero(table: pa.Table) -> pa.Table:
    """Return a table that is no slice of a longer one: awkward misplaces missing values there."""
    if not any(chunk.offset for column in table.columns for chunk in column.chunks):
        return table
    out = pa.BufferOutputStream()
    with pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table)
    return pa.ipc.open_stream(out.getvalue()).read_all()


def forms_of(schema: pa.Schema) -> dict[str, Any]:
    """Return the awkward form of each column of a table with `schema`."""
    return {name: layout.form for name, layout in columns_of(no_rows(schema)).items()}


def record_of(columns: Mapping[str, Any], length: int) -> ak.Array:
    """Return columns as records; the only column may have no name, and is the array then."""
    if list(columns) == [""]:
        return ak.Array(columns[""])
    return ak.Array(ak.contents.RecordArray(list(columns.values()), list(columns), length=length))


def conform(layout: Any, form: Any) -> Any:
    """Return `layout` with the type of `form`: same values, the record and list types it asks for.

    A list of at most one item becomes a value that may be missing, where the
    form wants that.
    """
    layout = layout.to_packed()
    if form.is_option:
        return _option(layout, form)
    if layout.is_option:
        layout = layout.project()
    if form.is_record:
        parts = [
            conform(layout.content(place), content) for place, content in enumerate(form.contents)
        ]
        return ak.contents.RecordArray(
            parts, form._fields, length=len(layout), parameters=form.parameters
        )
    if form.is_numpy:
        return ak.contents.NumpyArray(
            np.asarray(layout.data, dtype=ak.types.numpytype.primitive_to_dtype(form.primitive)),
            parameters=form.parameters,
        )
    return _list(layout, form)


def lists_of(layout: Any) -> Any:
    """Return lists with 64-bit offsets that begin at zero."""
    return layout.to_ListOffsetArray64(True)  # noqa: FBT003 - awkward's signature


def _list(layout: Any, form: Any) -> Any:
    if layout.is_numpy:
        layout = layout.to_RegularArray()
    if form.is_regular:
        content = layout.content if layout.is_regular else lists_of(layout).content
        return ak.contents.RegularArray(
            conform(content, form.content),
            form.size,
            zeros_length=len(layout),
            parameters=form.parameters,
        )
    lists = lists_of(layout)
    return ak.contents.ListOffsetArray(
        lists.offsets, conform(lists.content, form.content), parameters=form.parameters
    )


def _option(layout: Any, form: Any) -> Any:
    if layout.is_option:
        wide = layout.to_IndexedOptionArray64()
        index, content = np.asarray(wide.index), wide.content
    elif layout.is_list and not form.content.is_list:
        lists = lists_of(layout)
        offsets, content = np.asarray(lists.offsets), lists.content
        index = np.where(np.diff(offsets) > 0, offsets[:-1], -1)
    else:
        index, content = np.arange(len(layout)), layout
    return ak.contents.IndexedOptionArray(
        ak.index.Index64(index), conform(content, form.content), parameters=form.parameters
    )
