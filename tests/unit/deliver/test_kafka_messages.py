"""The layout of messages in a topic: headers, sizes, places, and tables put together again."""

from __future__ import annotations

from typing import Any

import awkward as ak
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sxdask.core.errors import DataError, RequestError
from sxdask.deliver.encode import to_table
from sxdask.deliver.kafka.messages import (
    Header,
    Place,
    batch_messages,
    batches,
    control_messages,
    part_of_table,
    schema_digest,
    table_of,
)
from sxdask.deliver.tasks import Labels
from tests.readers import numbers, pieces

LABELS = Labels("f00d", output="jets/größe")


def part_and_table(rows: int = 1_000):
    part = LABELS.part(pieces(1, size=rows)[0])
    return part, LABELS.table(numbers(0, rows), part)


@given(rows=st.integers(0, 3_000), limit=st.integers(4_000, 40_000))
def test_a_table_of_any_size_comes_back_from_messages_below_any_limit(rows, limit) -> None:
    _, table = part_and_table(rows)
    found = batches(table, limit)
    assert max(len(data) for data, _ in found) < limit
    assert sum(count for _, count in found) == rows
    assert table_of([data for data, _ in found]).equals(table)


def test_rows_of_very_different_size_are_cut_further() -> None:
    heavy: list[Any] = [[]] * 999 + [np.random.default_rng(0).random(2_000)]
    table = to_table(ak.Array({"x": heavy}))
    found = batches(table, 20_000)
    assert max(len(data) for data, _ in found) < 20_000
    assert table_of([data for data, _ in found]).equals(table)


def test_a_row_above_the_limit_is_an_error_that_names_the_option() -> None:
    table = to_table(ak.Array({"x": [np.random.default_rng(0).random(2_000)]}))
    with pytest.raises(RequestError, match=r"one row .* takes 1\d{4} bytes") as caught:
        batches(table, 10_000)
    assert "message_bytes" in str(caught.value.hint)


def test_the_same_partition_gives_the_same_bytes() -> None:
    _, table = part_and_table()
    assert batches(table, 5_000) == batches(table, 5_000)


@pytest.mark.parametrize("compression", ["lz4", "zstd", "zstd:9", "none"])
def test_every_compression_of_the_format_can_be_read(compression) -> None:
    _, table = part_and_table()
    found = batches(table, 5_000, compression)
    assert table_of([data for data, _ in found]).equals(table)


def test_a_partition_without_rows_or_without_columns_is_one_message() -> None:
    _, table = part_and_table(0)
    ((data, rows),) = batches(table, 5_000)
    assert rows == 0
    assert table_of([data]).schema.equals(table.schema, check_metadata=True)
    nothing = to_table(ak.Array([{}] * 7))
    ((data, rows),) = batches(nothing, 5_000)
    assert (rows, table_of([data]).num_rows) == (7, 7)


def test_every_message_alone_says_where_it_belongs() -> None:
    part, table = part_and_table()
    found = batch_messages(part, table, fingerprint="f00d", attempt="a1", message_bytes=5_000)
    assert len(found) > 2
    for number, (data, header) in enumerate(found, 1):
        assert Header.parse(header.pairs()) == header
        assert (header.number, header.total) == (number, len(found))
        assert (header.fingerprint, header.attempt, header.index) == ("f00d", "a1", 0)
        assert header.output == "jets/größe"
        assert header.schema == schema_digest(table.schema)
        alone = pa.ipc.open_stream(data).read_all()
        assert alone.num_rows == header.rows
        assert part_of_table(alone) == part


def test_the_digest_of_a_schema_is_that_of_all_partitions_and_of_no_other_columns() -> None:
    first, second = (LABELS.part(piece) for piece in pieces(2))
    digests = {schema_digest(LABELS.table(numbers(0, 10), part).schema) for part in (first, second)}
    assert len(digests) == 1
    assert schema_digest(LABELS.table(numbers(0, 10)[["n"]], first).schema) not in digests


@pytest.mark.parametrize(
    "pairs",
    [
        None,
        [],
        [("traceparent", b"00-1")],
        [("sxdask-version", b"1")],
        [("sxdask-version", b"1"), ("sequence", b"2"), ("kind", b"batch")],
    ],
)
def test_a_message_of_somebody_else_has_no_header(pairs) -> None:
    assert Header.parse(pairs) is None


def test_a_message_with_an_impossible_sequence_or_kind_is_not_ours() -> None:
    header = Header("batch", "f00d", "a1", 3, 2, "xxh3:0")
    assert Header.parse(header.pairs()) is None
    header = Header("parcel", "f00d", "a1", 1, 2, "xxh3:0")  # type: ignore[arg-type]
    assert Header.parse(header.pairs()) is None


def test_a_message_of_another_version_is_an_error() -> None:
    with pytest.raises(DataError, match="version '2'") as caught:
        Header.parse([("sxdask-version", b"2")])
    assert caught.value.hint == "upgrade sxdask"


def test_a_value_that_is_no_stream_is_an_error() -> None:
    with pytest.raises(DataError, match="no Arrow stream"):
        table_of([b"a web page"])


def test_a_long_manifest_takes_several_messages() -> None:
    values = {"partitions": [{"object": f"part-{n:05d}", "größe": n} for n in range(500)]}
    found = control_messages(
        "manifest", values, fingerprint="f00d", attempt="a1", message_bytes=5_000
    )
    assert len(found) > 3
    assert max(len(data) for data, _ in found) <= 5_000
    assert [header.number for _, header in found] == list(range(1, len(found) + 1))


def test_a_place_is_text_and_back() -> None:
    place = Place("AaH+Q/3sRe0OT==", 3, 10, 12)
    assert Place.parse(str(place)) == place
    assert Place.parse(str(Place("", 0, 0, 0))) == Place("", 0, 0, 0)
    for text in ("", "3/10-12x", "a/b/c-d", "x/1/5"):
        assert Place.parse(text) is None
