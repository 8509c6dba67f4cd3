"""What a delivered object looks like: the protocol of formats, their options, and the registry.

A new format is a module in `sxdask.deliver.formats` and a line in `FORMATS`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Protocol, runtime_checkable

from sxdask.core.errors import DataError, RequestError, SxdaskError, close_names
from sxdask.core.registry import Registry

if TYPE_CHECKING:
    import io
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa

    from sxdask.deliver.root.copies import Copies

BATCH_BYTES = 32 * 1024 * 1024
"""Decoded bytes that are written at once: a Parquet row group, an Arrow record batch, the
baskets of a TTree, a cluster of an RNTuple. Large enough to compress, small enough to skip."""

OUTPUT = b"sxdask:output"
_LEVELS = 23  # ZSTD has the most


@dataclass
class Rows:
    """What becomes one object, table by table, so that only one of them is in memory.

    Attributes
    ----------
    schemas
        One an output, with the output's name in its metadata. An object has
        all of them, also those that no table comes for.
    tables
        Each has one of the schemas.
    copies
        ROOT objects that go into the object as they are.
    num_rows
        Rows of the tables taken so far.
    """

    schemas: Sequence[pa.Schema]
    tables: Iterable[pa.Table]
    copies: Copies | None = None
    num_rows: int = field(default=0, init=False)

    @classmethod
    def of(cls, table: pa.Table | Rows) -> Rows:
        """Return `table` as rows."""
        return table if isinstance(table, Rows) else cls((table.schema,), (table,))

    def batches(self) -> Iterator[pa.Table]:
        """Yield the tables, small ones of one output joined and large ones cut."""
        import pyarrow as pa

        waiting: dict[str, list[pa.Table]] = {}
        for table in self.tables:
            self.num_rows += table.num_rows
            if not table.num_columns:  # joined and cut tables would forget their length
                yield table
                continue
            output = output_of(table.schema)
            waiting.setdefault(output, []).append(table)
            if sum(item.nbytes for item in waiting[output]) >= BATCH_BYTES:
                yield from _cut(pa.concat_tables(waiting.pop(output)))
        for tables in waiting.values():
            yield from _cut(pa.concat_tables(tables))


class Format(Protocol):
    """Turn tables into the bytes of one object, and back. It travels to workers.

    The same tables give the same object again, so that a retried task writes
    what it wrote before; only dates in it may differ.
    """

    suffix: ClassVar[str]
    """What names of objects end with."""

    compressions: ClassVar[Sequence[str]]
    """Names of the ways to compress; the first one is used if none is asked for."""

    copies: ClassVar[bool]
    """Whether ROOT objects, such as histograms, can be copied into an object."""

    def __init__(self, compression: str | None = None, level: int | None = None) -> None: ...

    def require(self, schemas: Sequence[pa.Schema]) -> None:
        """Refuse outputs that one object of this format cannot hold.

        Raises
        ------
        RequestError
            With the name of the column, and another format in the hint.
        """
        ...

    def encode(self, rows: pa.Table | Rows) -> pa.Buffer:
        """Return the whole object."""
        ...

    def decode(self, data: bytes, output: str | None = None) -> pa.Table:
        """Return the table of `output` in an object; None is the only one.

        Raises
        ------
        ValueError, OSError
            If `data` is no such object.
        """
        ...

    def num_rows(self, data: bytes) -> int:
        """Return how many rows an object has, over all of its outputs; raises as `decode`."""
        ...


@runtime_checkable
class StreamedFormat(Protocol):
    """A format that may write an object from its beginning to its end, without all of it in memory.

    Not all can: a ROOT file has its header changed when it is closed.
    """

    def write(self, rows: pa.Table | Rows, file: io.IOBase) -> None:
        """Write the object that `encode` returns."""
        ...


FORMATS: Registry[type[Format]] = Registry(
    kind="delivery format",
    group="sxdask.formats",
    builtin={
        "arrow": "sxdask.deliver.formats.arrow:ArrowFormat",
        "parquet": "sxdask.deliver.formats.parquet:ParquetFormat",
        "root-file": "sxdask.deliver.formats.root_file:RootFileFormat",
        "root-rntuple": "sxdask.deliver.formats.root_rntuple:RootRNTupleFormat",
    },
)


def format_text(name: str, compression: str | None = None) -> str:
    """Return one text for a format and how it compresses, which `open_format` reads.

    Content keys have it in them, so that objects that differ in bytes differ in name.

    Parameters
    ----------
    name
        One of `FORMATS`.
    compression
        One that the format has, with a level after a colon if you like
        (``"zstd:9"``); None is its default.

    Raises
    ------
    RequestError
        If there is no such format, compression or level.

    Examples
    --------
    >>> format_text("arrow"), format_text("parquet", "zstd:9"), format_text("arrow", "lz4")
    ('arrow', 'parquet:zstd:9', 'arrow')
    """
    known = FORMATS.load(name).compressions
    if compression is None:
        return name
    codec, _, level = compression.lower().partition(":")
    if codec not in known:
        raise RequestError(
            f"{name} has no compression {codec!r}",
            hint=close_names(codec, known) or f"there is {', '.join(map(repr, known))}",
        )
    if level and not (level.isdigit() and int(level) < _LEVELS and codec != "none"):
        raise RequestError(f"{compression!r} names no level of compression", hint="write 'zstd:9'")
    if codec == known[0] and not level:
        return name
    return f"{name}:{codec}:{int(level)}" if level else f"{name}:{codec}"


def open_format(text: str) -> Format:
    """Return the format that `text` names, as `format_text` writes it."""
    name, _, rest = text.partition(":")
    codec, _, level = rest.partition(":")
    return FORMATS.load(name)(codec or None, int(level) if level else None)


def format_name(text: str) -> str:
    """Return the name of the format alone."""
    return text.partition(":")[0]


def decode(data: bytes, text: str, output: str | None = None) -> pa.Table:
    """Return the table of `output` in an object of one of our formats.

    Raises
    ------
    DataError
        If it is no such object.
    """
    try:
        return open_format(text).decode(data, output)
    except SxdaskError:
        raise
    except (ValueError, OSError) as error:
        raise _no_object(text, error) from error


def num_rows(data: bytes, text: str) -> int:
    """Return the rows of an object over all of its outputs; raises as `decode`."""
    try:
        return open_format(text).num_rows(data)
    except (ValueError, OSError) as error:
        raise _no_object(text, error) from error


def output_of(schema: pa.Schema) -> str:
    """Return the output that a table's schema belongs to."""
    found: bytes = (schema.metadata or {}).get(OUTPUT, b"")
    return found.decode()


def _cut(table: pa.Table) -> Iterator[pa.Table]:
    rows = max(1, table.num_rows * BATCH_BYTES // max(table.nbytes, 1))
    for start in range(0, table.num_rows, rows):
        yield table.slice(start, rows)


def _no_object(text: str, error: Exception) -> DataError:
    reason = str(error).split("\n", 1)[0]
    return DataError(f"an object of the delivery is not {format_name(text)}: {reason}")
