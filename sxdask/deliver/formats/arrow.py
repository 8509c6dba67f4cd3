"""The Arrow IPC file format, random access, buffers compressed with LZ4 or ZSTD."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar

import pyarrow as pa

from sxdask.deliver.format import Rows
from sxdask.deliver.streaming import arrow_output
from sxdask.deliver.treename import joined_schema, tagged, untagged

if TYPE_CHECKING:
    import io
    from collections.abc import Sequence

_ROOM = 1024 * 1024
_MAGIC = b"ARROW1"  # Arrow columnar format, "IPC File Format"


class ArrowFormat:
    """An Arrow IPC file, also called Feather V2."""

    suffix: ClassVar[str] = ".arrow"
    compressions: ClassVar[Sequence[str]] = ("lz4", "zstd", "none")
    copies: ClassVar[bool] = False

    def __init__(self, compression: str | None = None, level: int | None = None) -> None:
        self._codec = compression or self.compressions[0]
        self._level = level

    def require(self, schemas: Sequence[pa.Schema]) -> None:
        """Refuse outputs with different columns; any other table is fine."""
        joined_schema(schemas, "Arrow")

    def encode(self, rows: pa.Table | Rows) -> pa.Buffer:
        """Return the file."""
        if isinstance(rows, pa.Table):
            # A buffer that grows is copied as it does. Compressed columns fit into this one, but
            # nothing promises that; then they grow.
            space = pa.allocate_buffer(_ROOM + rows.nbytes + rows.nbytes // 50)
            out = pa.FixedSizeBufferWriter(space)
            with suppress(OSError):
                self._write(Rows.of(rows), out)
                return space.slice(0, out.tell())
        out = pa.BufferOutputStream()
        self._write(Rows.of(rows), out)
        return out.getvalue()

    def write(self, rows: pa.Table | Rows, file: io.IOBase) -> None:
        """Write the file, one record batch after the other."""
        with arrow_output(file) as out:
            self._write(Rows.of(rows), out)

    def _write(self, rows: Rows, out: pa.NativeFile) -> None:
        schema = joined_schema(rows.schemas, "Arrow")
        options = pa.ipc.IpcWriteOptions(compression=_codec(self._codec, self._level))
        with pa.ipc.new_file(out, schema, options=options) as writer:
            for table in rows.batches():
                whole = tagged(table, schema)
                writer.write_table(whole.combine_chunks() if whole.num_columns else whole)

    def decode(self, data: bytes, output: str | None = None) -> pa.Table:
        """Return the table in a file, or in the streams of Kafka's messages; nothing is copied."""
        found = _opened(data).read_all() if _is_file(data) else _streamed(data)
        return untagged(found, output)

    def num_rows(self, data: bytes) -> int:
        """Return the rows of all record batches."""
        if not _is_file(data):
            return int(_streamed(data).num_rows)
        file = _opened(data)
        return sum(file.get_batch(n).num_rows for n in range(file.num_record_batches))


def _is_file(data: bytes) -> bool:
    return bytes(data[: len(_MAGIC)]) == _MAGIC


def _streamed(data: bytes) -> pa.Table:
    """Return the table in Arrow streams of one schema that follow each other."""
    reader = pa.BufferReader(data)
    tables = []
    while reader.tell() < reader.size():
        tables.append(pa.ipc.open_stream(reader).read_all())
    return pa.concat_tables(tables)


def _opened(data: bytes) -> pa.ipc.RecordBatchFileReader:
    return pa.ipc.open_file(pa.BufferReader(data))


def _codec(name: str, level: int | None) -> pa.Codec | None:
    if name == "none":
        return None
    return pa.Codec("lz4_frame" if name == "lz4" else name, level if name == "zstd" else None)
