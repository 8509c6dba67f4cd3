"""Reading deliveries back from a topic of a real broker: whole, once, or with the truth."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest

import sxdask as sx
from sxdask.core.errors import DeliveryError, FileMissingError, ReadFailedError, RequestError
from sxdask.deliver.kafka.address import Address, KafkaOptions
from sxdask.deliver.kafka.broker import Connection
from sxdask.deliver.kafka.messages import batch_messages
from sxdask.deliver.kafka.producers import send
from sxdask.deliver.kafka.topic import Topic
from sxdask.deliver.manifest import Failure
from sxdask.deliver.sink import Delivery, Receipt, Sink, open_sink
from sxdask.deliver.tasks import Labels
from tests.readers import numbers, pieces

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from sxdask.api.consuming import Consumption
    from sxdask.deliver.part import Part
    from tests.services.broker import Broker

SIZE = 2_000
SMALL = {"message_bytes": 4_000}  # a partition of SIZE rows takes several such messages


class Request:
    """A request of some partitions that goes to a topic by hand."""

    def __init__(self, url: str, *, name: str = "f00d", count: int = 6, **options: Any) -> None:
        self.url = url
        self.labels = Labels(name)
        self.parts = tuple(self.labels.part(piece) for piece in pieces(count, size=SIZE))
        self.delivery = Delivery(name, "arrow", self.parts, name)
        self.options = SMALL | options
        self.sink: Sink = open_sink(url, storage_options=self.options)

    def table(self, part: Part) -> pa.Table:
        return self.labels.table(numbers(part.entry_start, part.entry_stop), part)

    def write(self, *numbers_of_parts: int) -> list[Receipt]:
        return [self.sink.write(self.parts[n], self.table(self.parts[n])) for n in numbers_of_parts]

    def deliver(self) -> list[Receipt]:
        self.sink.begin(self.delivery)
        receipts = self.write(*range(len(self.parts)))
        self.sink.commit(receipts)
        return receipts

    def tear(self, number: int, *, damage: bool = False) -> tuple[str, int, int]:
        """Append an attempt that lacks its last message, or has it damaged."""
        part = self.parts[number]
        messages = batch_messages(
            part, self.table(part), fingerprint="f00d", attempt="torn", message_bytes=4_000
        )
        assert len(messages) > 2
        if damage:
            value, header = messages[-1]
            messages[-1] = value[:-9] + b"?" + value[-8:], header
        else:
            messages.pop()
        partition = self.sink._partition(part)  # type: ignore[attr-defined]
        first, last = send(
            Address.parse(self.url),
            KafkaOptions(),
            messages,
            partition=partition,
            key=part.content_key,
            transactional=False,
        )
        return f"/{partition}/{first}-{last}", first, last


@pytest.fixture
def request_in(broker: Broker) -> Request:
    return Request(broker.url())


def rows_of(found: Iterable[sx.Partition]) -> list[Any]:
    """Return the rows in the order of the data, whatever the order of the topic."""
    ordered = sorted(found, key=lambda item: item.index)
    return list(ak.to_list(ak.concatenate([ak.from_arrow(item.table) for item in ordered])))


def expected(request: Request, *indices: int) -> list[Any]:
    chosen = [request.parts[n] for n in indices] if indices else request.parts
    return list(ak.to_list(ak.concatenate([numbers(p.entry_start, p.entry_stop) for p in chosen])))


def consume(request: Request, **options: Any) -> Consumption:
    return sx.consume(request.url, **({"timeout": 10.0} | options))


@pytest.mark.parametrize("committed", [True, False])
def test_every_partition_comes_once_with_its_place_in_the_data(request_in, committed) -> None:
    request_in.deliver()
    with consume(request_in, committed=committed) as found:
        partitions = list(found)
    assert rows_of(partitions) == expected(request_in)
    second = next(item for item in partitions if item.index == 5)
    part = request_in.parts[5]
    assert (second.file, second.entry_start, second.entry_stop, second.output) == (
        part.file,
        part.entry_start,
        part.entry_stop,
        "",
    )
    counts = found.counts
    assert (counts.partitions, counts.rows) == (6, 6 * SIZE)
    assert (counts.duplicates, counts.torn, counts.damaged, counts.skipped) == (0, 0, 0, 0)
    assert counts.messages > 12
    assert found.manifest is not None
    assert found.manifest.status == "complete"


@pytest.mark.parametrize("committed", [True, False])
def test_an_attempt_that_was_repeated_comes_once(request_in, committed) -> None:
    request_in.sink.begin(request_in.delivery)
    request_in.write(0, 1)
    receipts = request_in.write(0, 1, 2, 3, 4, 5)
    request_in.sink.commit(receipts)
    request_in.write(3)  # a worker that was thought dead
    with consume(request_in, committed=committed) as found:
        assert rows_of(found) == expected(request_in)
    assert found.counts.partitions == 6
    # Only a live reader meets all: with a manifest one need not look outside of its offsets.
    assert found.counts.duplicates <= 3
    assert committed or found.counts.duplicates >= 2


@pytest.mark.parametrize("committed", [True, False])
def test_a_torn_attempt_is_left_out(request_in, committed) -> None:
    request_in.sink.begin(request_in.delivery)
    request_in.tear(2)
    request_in.sink.commit(request_in.write(*range(6)))
    with consume(request_in, committed=committed) as found:
        assert rows_of(found) == expected(request_in)
    assert committed or (found.counts.torn, found.counts.duplicates) == (1, 0)


def test_a_damaged_message_does_not_pass_and_another_attempt_takes_its_place(request_in) -> None:
    request_in.sink.begin(request_in.delivery)
    request_in.tear(2, damage=True)
    request_in.sink.commit(request_in.write(*range(6)))
    with consume(request_in, committed=False) as found:
        assert rows_of(found) == expected(request_in)
    assert (found.counts.damaged, found.counts.torn) == (1, 1)


@pytest.mark.parametrize("committed", [True, False])
def test_a_partition_that_the_manifest_names_and_nobody_finds_is_an_error(
    request_in, committed
) -> None:
    request_in.sink.begin(request_in.delivery)
    receipts = request_in.write(0, 1, 3, 4, 5)
    place, _, _ = request_in.tear(2)
    part = request_in.parts[2]
    receipts.append(Receipt(part, part.stem, SIZE, 1, "xxh3:0", "torn", place))
    request_in.sink.commit(receipts)
    with (
        consume(request_in, committed=committed) as found,
        pytest.raises(ReadFailedError, match=r"1 partitions .* 2 \(/data/0\.root") as caught,
    ):
        list(found)
    assert caught.value.context["missing"] == [2]
    assert found.counts.partitions == 5


def test_a_live_reader_has_partitions_before_the_delivery_is_complete(request_in) -> None:
    request_in.sink.begin(request_in.delivery)
    with consume(request_in, committed=False) as found:
        receipts = request_in.write(4)
        first = next(found)
        assert (first.index, found.manifest) == (4, None)
        receipts += request_in.write(0, 1, 2, 3, 5)
        request_in.sink.commit(receipts)
        assert rows_of([first, *found]) == expected(request_in)


def test_a_reader_of_committed_data_waits_for_the_manifest(request_in) -> None:
    request_in.sink.begin(request_in.delivery)
    receipts = request_in.write(*range(6))
    found: list[sx.Partition] = []
    reader = threading.Thread(target=lambda: found.extend(consume(request_in)))
    reader.start()
    reader.join(1.0)
    assert reader.is_alive()
    assert found == []
    request_in.sink.commit(receipts)
    reader.join(20.0)
    assert rows_of(found) == expected(request_in)


def test_a_reader_may_come_before_the_topic(request_in) -> None:
    found: list[sx.Partition] = []
    reader = threading.Thread(target=lambda: found.extend(consume(request_in, from_="end")))
    reader.start()
    reader.join(0.5)
    request_in.sink.begin(request_in.delivery)
    reader.join(1.0)
    request_in.sink.commit(request_in.write(*range(6)))
    reader.join(20.0)
    assert rows_of(found) == expected(request_in)


def test_a_late_reader_gets_what_is_whole_from_its_beginning_on(request_in) -> None:
    request_in.sink.begin(request_in.delivery)
    receipts = request_in.write(0, 1)
    with consume(request_in, committed=False, from_="end") as found:
        begun = threading.Event()
        got: list[sx.Partition] = []

        def read() -> None:
            begun.set()
            got.extend(found)

        reader = threading.Thread(target=read)
        reader.start()
        begun.wait()
        reader.join(1.5)
        receipts += request_in.write(2, 3, 4, 5)
        request_in.sink.commit(receipts)
        reader.join(20.0)
    assert rows_of(got) == expected(request_in, 2, 3, 4, 5)
    assert found.counts.skipped == 2


@pytest.mark.parametrize("committed", [True, False])
def test_a_delivery_that_stops_is_an_error_that_names_what_is_missing(
    request_in, committed
) -> None:
    request_in.sink.begin(request_in.delivery)
    request_in.write(0, 1, 2, 4)
    request_in.tear(5)
    with (
        consume(request_in, committed=committed, timeout=1.5) as found,
        pytest.raises(ReadFailedError, match=r"partitions 3 .*, 5 .* missing") as caught,
    ):
        list(found)
    assert caught.value.context["missing"] == [3, 5]
    assert found.counts.partitions == (0 if committed else 4)


def test_a_delivery_that_was_given_up_is_an_error_at_once(request_in) -> None:
    request_in.sink.begin(request_in.delivery)
    request_in.write(0)
    request_in.sink.abort()
    with consume(request_in, timeout=60.0) as found, pytest.raises(ReadFailedError, match="given"):
        list(found)


def test_a_delivery_that_was_given_up_and_made_again_is_read(request_in) -> None:
    request_in.sink.begin(request_in.delivery)
    request_in.write(0)
    request_in.sink.abort()
    again = Request(request_in.url)
    again.deliver()
    with consume(again, committed=False) as found:
        assert rows_of(found) == expected(again)
    assert found.counts.duplicates == 1


def test_a_partial_delivery_ends_and_says_what_failed(request_in) -> None:
    request_in.sink.begin(request_in.delivery)
    failure = Failure.of(request_in.parts[5], DeliveryError("no such luck"))
    request_in.sink.commit(request_in.write(*range(5)), [failure])
    with consume(request_in) as found:
        assert rows_of(found) == expected(request_in, 0, 1, 2, 3, 4)
    assert found.manifest is not None
    assert [item.index for item in found.manifest.failed] == [5]


def test_a_topic_that_does_not_exist_and_one_without_a_delivery_are_told_apart(
    broker, request_in
) -> None:
    with pytest.raises(FileMissingError, match="there is no topic"):
        list(sx.consume(broker.url(), timeout=0.3))
    request_in.deliver()
    with pytest.raises(FileMissingError, match="no delivery of 'beef'"):
        list(consume(request_in, fingerprint="beef", timeout=0.3))


def test_two_requests_share_a_topic_if_they_are_told_to(broker) -> None:
    url = broker.url()
    first = Request(url, shared=True)
    second = Request(url, name="beef", count=3, shared=True)
    first.deliver()
    second.deliver()
    with pytest.raises(RequestError, match="2 requests") as caught:
        list(consume(first))
    assert "fingerprint='beef'" in str(caught.value.hint)
    with consume(first, fingerprint="f00") as found:
        assert rows_of(found) == expected(first)
    assert found.counts.foreign > 0
    with consume(second, fingerprint="beef", committed=False) as found:
        assert rows_of(found) == expected(second)
    loaded = sx.Manifest.load(f"{url}?fingerprint=f00d")
    assert (loaded.fingerprint, loaded.verify()) == ("f00d", [])
    assert sx.Manifest.load(url).fingerprint == "beef"


def test_a_delivery_that_replaced_another_is_the_only_one(broker) -> None:
    url = broker.url()
    Request(url).deliver()
    second = Request(url, name="beef", count=2)
    second.sink = open_sink(url, overwrite=True, storage_options=SMALL)
    second.deliver()
    with consume(second) as found:
        assert rows_of(found) == expected(second)


def test_two_readers_of_a_group_share_the_partitions(broker) -> None:
    request = Request(broker.url(), count=24)
    request.deliver()
    found: list[list[sx.Partition]] = [[], []]

    def read(number: int) -> None:
        found[number].extend(consume(request, group="pair", timeout=30.0))

    readers = [threading.Thread(target=read, args=(n,)) for n in range(2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join(60.0)
    assert rows_of([*found[0], *found[1]]) == expected(request)


def test_a_group_goes_on_where_its_last_reader_stopped(broker) -> None:
    request = Request(broker.url(), count=8)
    request.deliver()
    with consume(request, group="one", timeout=30.0) as found:
        first = [next(found) for _ in range(4)]
    with consume(request, group="one", timeout=30.0) as found:
        rest = list(found)
    # The partition that was in hand when the reader left comes again: nobody said it was used.
    assert first[-1].index in {item.index for item in rest}
    assert rows_of([*first[:-1], *rest]) == expected(request)


def test_partitions_without_rows_keep_their_schema(broker) -> None:
    url = broker.url()
    sink = open_sink(url)
    labels = Labels("f00d")
    parts = tuple(labels.part(piece) for piece in pieces(2))
    sink.begin(Delivery("f00d", "arrow", parts))
    empty = [labels.table(numbers(0, 0), part) for part in parts]
    sink.commit([sink.write(part, table) for part, table in zip(parts, empty, strict=True)])
    with sx.consume(url, timeout=10.0) as found:
        for partition in found:
            assert partition.table.num_rows == 0
            assert partition.table.schema.names == ["n", "items"]
    assert found.counts.partitions == 2
    assert sx.Manifest.load(url).to_table().schema.names == ["n", "items"]


def test_a_delivery_without_partitions_ends_at_once(broker) -> None:
    url = broker.url()
    sink = open_sink(url)
    sink.begin(Delivery("f00d", "arrow", ()))
    sink.commit([])
    assert list(sx.consume(url, timeout=10.0)) == []


def test_no_message_is_larger_than_the_limit(broker) -> None:
    request = Request(broker.url(), message_bytes=4_000)
    request.deliver()
    topic = Topic(Connection(Address.parse(request.url), KafkaOptions()))
    sizes = [len(item.value()) for number in range(1, 4) for item in topic.messages(number)]
    topic.close()
    assert len(sizes) > 20
    assert max(sizes) < 4_000
    with consume(request) as found:
        assert rows_of(found) == expected(request)


def test_messages_above_the_usual_limit_pass_if_asked_for(broker) -> None:
    url = broker.url()
    sink = open_sink(url, storage_options={"message_bytes": 8_000_000})
    labels = Labels("f00d")
    (part,) = (labels.part(piece) for piece in pieces(1))
    table = labels.table(ak.zip({"x": np.random.default_rng(1).random(900_000)}), part)
    sink.begin(Delivery("f00d", "arrow", (part,)))
    receipt = sink.write(part, table)
    sink.commit([receipt])
    assert receipt.bytes > 7_000_000
    with sx.consume(url, timeout=10.0) as found:
        (partition,) = found
    assert found.counts.messages == 1
    assert partition.table.equals(table)
