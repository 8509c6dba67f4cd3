"""Several outputs in one table: a column says which of them a row belongs to, as in ServiceX."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from sxdask.core.errors import RequestError
from sxdask.deliver.format import OUTPUT, Rows, output_of

if TYPE_CHECKING:
    from collections.abc import Sequence

TREENAME = "treename"
_NOTE = b"sxdask:tells"
_FIELD = pa.field(
    TREENAME,
    pa.large_string(),
    nullable=False,
    metadata={_NOTE: b"output", b"sxdask:type": b"string", b"sxdask:list_depth": b"0"},
)


def joined_schema(schemas: Sequence[pa.Schema], kind: str) -> pa.Schema:
    """Return the schema of one table for all outputs: that of the only one, or with `TREENAME`.

    Raises
    ------
    RequestError
        If the outputs have different columns; `kind` is the format, for the message.
    """
    first = schemas[0]
    if len(schemas) == 1:
        return first
    for other in schemas[1:]:
        if {field.name: field.type for field in other} != {f.name: f.type for f in first}:
            raise RequestError(
                f"outputs {output_of(first)!r} and {output_of(other)!r} have different columns, "
                f"and one {kind} table cannot hold both",
                hint="use format='root-file', or leave merge='file' out: an object for each output",
            )
    metadata = {key: value for key, value in (first.metadata or {}).items() if key != OUTPUT}
    return telling(first, kind).with_metadata(metadata)


def telling(schema: pa.Schema, kind: str) -> pa.Schema:
    """Return `schema` with the column that tells the output, also where there is only one.

    Raises
    ------
    RequestError
        If another column has its name; `kind` is the format, for the message.
    """
    if TREENAME in schema.names:
        raise RequestError(
            f"a column is called {TREENAME!r}, as the one that tells outputs apart in {kind}",
            hint="give it another name, or use format='root-file'",
        )
    return schema.append(_FIELD)


def tagged(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return `table` with the columns of `schema`, the output's name among them if that has it."""
    if not _tells(schema):
        return table
    names = pa.repeat(pa.scalar(output_of(table.schema), _FIELD.type), table.num_rows)
    columns = [table.column(name) for name in schema.names if name != TREENAME]
    return pa.Table.from_arrays([*columns, names], schema=schema)


def as_table(rows: pa.Table | Rows) -> pa.Table:
    """Return all rows of an object as one table."""
    if isinstance(rows, pa.Table):
        return rows
    schema = joined_schema(rows.schemas, "Arrow")
    return pa.Table.from_batches(
        [batch for table in rows.batches() for batch in tagged(table, schema).to_batches()], schema
    )


def untagged(table: pa.Table, output: str | None) -> pa.Table:
    """Return the rows of `output` without the column that tells it."""
    if output is None or not _tells(table.schema):
        return table
    own = table.filter(pc.equal(table.column(TREENAME), output)).drop_columns([TREENAME])
    return own.replace_schema_metadata({**(own.schema.metadata or {}), OUTPUT: output.encode()})


def _tells(schema: pa.Schema) -> bool:
    if TREENAME not in schema.names:
        return False
    return (schema.field(TREENAME).metadata or {}).get(_NOTE) == b"output"
