"""Parquet with compressed pages and row groups sized for reading."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from sxdask.core.errors import RequestError
from sxdask.deliver.format import Rows
from sxdask.deliver.streaming import arrow_output
from sxdask.deliver.treename import joined_schema, tagged, untagged

if TYPE_CHECKING:
    import io
    from collections.abc import Sequence

_WITH_LEVELS = ("zstd", "gzip", "brotli")


class ParquetFormat:
    """A Parquet file."""

    suffix: ClassVar[str] = ".parquet"
    compressions: ClassVar[Sequence[str]] = ("zstd", "snappy", "gzip", "lz4", "brotli", "none")
    copies: ClassVar[bool] = False

    def __init__(self, compression: str | None = None, level: int | None = None) -> None:
        self._codec = compression or self.compressions[0]
        self._level = level if self._codec in _WITH_LEVELS else None

    def require(self, schemas: Sequence[pa.Schema]) -> None:
        """Refuse unions, records without fields, and tables without columns."""
        schema = joined_schema(schemas, "Parquet")
        if not schema.names:
            raise RequestError(
                "Parquet cannot hold rows without columns",
                hint="select at least one column, or use format='arrow'",
            )
        for field in schema:
            try:
                pq.ParquetWriter(pa.BufferOutputStream(), pa.schema([field])).close()
            except pa.ArrowNotImplementedError as error:
                raise RequestError(
                    f"Parquet cannot hold column {field.name!r}: {_reason(error)}",
                    hint="use format='arrow'",
                    column=field.name,
                ) from error

    def encode(self, rows: pa.Table | Rows) -> pa.Buffer:
        """Return the file."""
        out = pa.BufferOutputStream()
        self._write(Rows.of(rows), out)
        return out.getvalue()

    def write(self, rows: pa.Table | Rows, file: io.IOBase) -> None:
        """Write the file, one row group after the other."""
        with arrow_output(file) as out:
            self._write(Rows.of(rows), out)

    def _write(self, rows: Rows, out: pa.NativeFile) -> None:
        self.require(rows.schemas)
        schema = joined_schema(rows.schemas, "Parquet")
        with pq.ParquetWriter(
            out, schema, compression=self._codec, compression_level=self._level
        ) as writer:
            for table in rows.batches():
                writer.write_table(tagged(table, schema), row_group_size=table.num_rows)

    def decode(self, data: bytes, output: str | None = None) -> pa.Table:
        """Return the table in a file."""
        return untagged(pq.read_table(pa.BufferReader(data)), output)

    def num_rows(self, data: bytes) -> int:
        """Return the rows that the file's footer counts."""
        return int(pq.read_metadata(pa.BufferReader(data)).num_rows)


def _reason(error: Exception) -> str:
    return str(error).split("\n", 1)[0]
