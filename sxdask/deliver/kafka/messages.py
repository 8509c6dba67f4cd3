"""What is in a message: one Arrow IPC stream, and headers that say where it belongs.

Every value is a whole stream, schema first, so that a reader may start
anywhere. A partition is one or more messages with one key (its content key),
one attempt, and a sequence such as ``2/3``; it is whole when all of an attempt
are there. Announcements and manifests are JSON, cut at any byte.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal, Self, TypeAlias, get_args

from sxdask.core.errors import DataError, RequestError
from sxdask.deliver.manifest import checksum
from sxdask.deliver.part import FACTS, Part, content_key

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

Kind: TypeAlias = Literal["batch", "announcement", "manifest", "abort"]

VERSION = "1"
STREAM_TYPE = "application/vnd.apache.arrow.stream"
JSON_TYPE = "application/json"
# Key, headers and the broker's framing, which count in its limit as well.
_ENVELOPE_BYTES = 2_000


@dataclass(frozen=True, slots=True)
class Header:
    """What the headers of a message say.

    `number` of `total` is its place in the attempt, from 1. `rows` are those
    of this message. `schema` is a digest, equal for all partitions of an
    output; `checksum` is that of the value.
    """

    kind: Kind
    fingerprint: str
    attempt: str
    number: int
    total: int
    checksum: str
    output: str = ""
    index: int = 0
    rows: int = 0
    schema: str = ""

    def pairs(self) -> list[tuple[str, bytes]]:
        """Return the headers as a producer takes them."""
        content = STREAM_TYPE if self.kind == "batch" else JSON_TYPE
        texts = {
            "sxdask-version": VERSION,
            "kind": self.kind,
            "fingerprint": self.fingerprint,
            "attempt": self.attempt,
            "sequence": f"{self.number}/{self.total}",
            "checksum": self.checksum,
            "content-type": content,
        }
        if self.kind == "batch":
            texts |= {
                "output": self.output,
                "index": str(self.index),
                "rows": str(self.rows),
                "schema": self.schema,
            }
        return [(name, text.encode()) for name, text in texts.items()]

    @classmethod
    def parse(cls, pairs: Sequence[tuple[str, bytes]] | None) -> Self | None:
        """Return the header of a message of ours, None for one of somebody else.

        Raises
        ------
        DataError
            If the message is of another version.
        """
        texts = {name: (value or b"").decode("utf-8", "replace") for name, value in pairs or ()}
        version = texts.get("sxdask-version")
        if version is None:
            return None
        if version != VERSION:
            raise DataError(
                f"a message in the topic has version {version!r} of the layout",
                hint="upgrade sxdask",
            )
        try:
            number, total = map(int, texts["sequence"].split("/"))
            kind = texts["kind"]
            if kind not in get_args(Kind) or not 1 <= number <= total:
                return None
            return cls(
                kind,  # type: ignore[arg-type]
                texts["fingerprint"],
                texts["attempt"],
                number,
                total,
                texts["checksum"],
                texts.get("output", ""),
                int(texts.get("index", "0")),
                int(texts.get("rows", "0")),
                texts.get("schema", ""),
            )
        except (KeyError, ValueError):
            return None


@dataclass(frozen=True, slots=True)
class Place:
    """Where an attempt lies. `topic_id` changes if a topic is made anew under its old name."""

    topic_id: str
    partition: int
    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.topic_id}/{self.partition}/{self.first}-{self.last}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the place that ``str`` wrote, or None."""
        try:
            topic_id, partition, offsets = text.rsplit("/", 2)
            first, last = offsets.split("-")
            return cls(topic_id, int(partition), int(first), int(last))
        except ValueError:
            return None


def batches(
    table: pa.Table, message_bytes: int, compression: str = "lz4"
) -> list[tuple[bytes, int]]:
    """Return `table` as Arrow streams of at most `message_bytes` each, with their rows.

    The same table gives the same bytes. A table without rows is one stream.

    Raises
    ------
    RequestError
        If one row alone is larger.
    """
    limit = message_bytes - _ENVELOPE_BYTES
    whole = _stream(table, compression)
    if len(whole) <= limit:
        return [(whole, table.num_rows)]
    if table.num_rows <= 1:
        raise RequestError(
            f"one row of a partition takes {len(whole)} bytes, above the limit for messages",
            hint=f"raise storage_options={{'message_bytes': {2 * len(whole)}}}"
            " and max.message.bytes of the topic",
        )
    pieces = min(table.num_rows, len(whole) * 11 // (limit * 10) + 1)  # some room for uneven rows
    edges = [table.num_rows * n // pieces for n in range(pieces + 1)]
    found = []
    for start, stop in pairwise(edges):
        found += batches(table.slice(start, stop - start), message_bytes, compression)
    return found


def batch_messages(
    part: Part,
    table: pa.Table,
    *,
    fingerprint: str,
    attempt: str,
    message_bytes: int,
    compression: str = "lz4",
) -> list[tuple[bytes, Header]]:
    """Return the messages of one attempt at `part`."""
    found = batches(table, message_bytes, compression)
    schema = schema_digest(table.schema)
    return [
        (
            data,
            Header(
                "batch",
                fingerprint,
                attempt,
                number,
                len(found),
                checksum(data),
                part.output,
                part.index,
                rows,
                schema,
            ),
        )
        for number, (data, rows) in enumerate(found, 1)
    ]


def control_messages(
    kind: Kind, values: dict[str, Any], *, fingerprint: str, attempt: str, message_bytes: int
) -> list[tuple[bytes, Header]]:
    """Return the messages of an announcement, a manifest or an abort."""
    data = json.dumps(values).encode()
    size = message_bytes - _ENVELOPE_BYTES
    chunks = [data[at : at + size] for at in range(0, len(data), size)]
    return [
        (chunk, Header(kind, fingerprint, attempt, number, len(chunks), checksum(chunk)))
        for number, chunk in enumerate(chunks, 1)
    ]


def table_of(values: Sequence[bytes]) -> pa.Table:
    """Return the table in the messages of one attempt, in order.

    Raises
    ------
    DataError
        If a value is no Arrow stream.
    """
    import pyarrow as pa

    try:
        tables = [pa.ipc.open_stream(pa.BufferReader(value)).read_all() for value in values]
    except pa.ArrowInvalid as error:
        raise DataError(f"a message of the delivery is no Arrow stream: {error}") from error
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables)


def part_of_table(table: pa.Table) -> Part:
    """Return the part that the metadata of a delivered table tells of."""
    from sxdask.deliver.encode import metadata_of

    facts = metadata_of(table)
    index, file, tree, start, stop, key = (facts[name] for name in FACTS)
    return Part(int(index), facts.get("output", ""), file, tree, int(start), int(stop), key)


def schema_digest(schema: pa.Schema) -> str:
    """Return a digest of `schema` without what is true of one partition alone."""
    own = {f"sxdask:{name}".encode() for name in FACTS}
    kept = {key: value for key, value in (schema.metadata or {}).items() if key not in own}
    data = schema.with_metadata(kept).serialize().to_pybytes()
    return content_key(data.hex())


def _stream(table: pa.Table, compression: str) -> bytes:
    """Return `table` as one Arrow stream; `compression` is ``lz4``, ``zstd:9``, ``none``, ..."""
    import pyarrow as pa

    name, _, level = compression.partition(":")
    codec = None
    if name != "none":
        codec = pa.Codec("lz4_frame" if name == "lz4" else name, int(level) if level else None)
    out = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_stream(out, table.schema, options=options) as writer:
        writer.write_table(table)
    return bytes(out.getvalue())
