"""Tasks of a worker: they pickle, and give rows, cost and what was learned."""

from __future__ import annotations

import pickle

import awkward as ak

from sxdask.core.errors import CorruptBasketError
from sxdask.core.events import PartitionDone, PartitionFailed, ReadReport
from sxdask.deliver.encode import metadata_of
from sxdask.deliver.sink import Delivery
from sxdask.deliver.sinks.files import FilesSink
from sxdask.deliver.stream import Outcome
from sxdask.deliver.tasks import (
    ArrayTask,
    ArrayValue,
    Labels,
    OutputTask,
    StoreTask,
    TableTask,
    partition_event,
)
from tests.readers import NumberReader, numbers, piece

PIECE = piece(2, 10, 20, url="https://me:secret@host/a.root")
LABELS = Labels("f00d", output="muons", metadata={"title": "a test"}, units={"n": "GeV"})


def travelled(task):
    return pickle.loads(pickle.dumps(task))


def test_an_array_task_gives_the_array():
    value = travelled(ArrayTask(NumberReader()))(PIECE)
    assert ak.array_equal(value.array, numbers(10, 20))
    assert (value.rows, value.report.entries_in) == (10, 10)


def test_a_table_task_gives_a_table_that_says_what_it_is():
    value = travelled(TableTask(NumberReader(), LABELS))(PIECE)
    assert ak.array_equal(ak.from_arrow(value.table), numbers(10, 20))
    facts = metadata_of(value.table)
    assert facts["file"] == "https://host/a.root"
    assert (facts["fingerprint"], facts["output"], facts["title"]) == ("f00d", "muons", "a test")
    assert value.table.schema.field("n").metadata[b"sxdask:unit"] == b"GeV"


def test_a_store_task_gives_a_receipt_and_no_table(tmp_path):
    sink = FilesSink(str(tmp_path))
    part = LABELS.part(PIECE)
    sink.begin(Delivery("f00d", "arrow", (part,)))
    value = travelled(StoreTask(NumberReader(), sink, LABELS))(PIECE)
    assert (value.receipt.part, value.rows) == (part, 10)
    assert len(pickle.dumps(value)) < 2000
    assert ak.array_equal(sink.commit([value.receipt]).to_awkward(), numbers(10, 20))


def test_an_output_task_picks_by_the_name_of_the_output():
    task = OutputTask({"a": ArrayTask(NumberReader()), "b": TableTask(NumberReader(), LABELS)})
    assert isinstance(travelled(task)(("a", PIECE)), ArrayValue)
    assert travelled(task)(("b", PIECE)).table.num_rows == 10


def test_the_schema_of_an_output_is_that_of_its_tables():
    from sxdask.deliver.encode import schema_from_text

    table = TableTask(NumberReader(), LABELS)(PIECE).table
    assert schema_from_text(LABELS.schema(NumberReader())).equals(table.schema)


def test_outcomes_become_events_without_secrets():
    value = ArrayValue(numbers(0, 3), 3, ReadReport(bytes_read=7))
    done = partition_event(PIECE, Outcome(0, value, None, 1, 0.1), last_of_file=True)
    assert done == PartitionDone(2, "https://host/a.root", 3, ReadReport(bytes_read=7), True)
    error = CorruptBasketError("cannot be decoded")
    failed = partition_event(PIECE, Outcome(0, None, error, 1, 0.1))
    assert failed == PartitionFailed(2, "https://host/a.root", "SX302", "cannot be decoded")
