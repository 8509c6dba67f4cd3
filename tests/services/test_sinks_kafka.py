"""The contract of sinks for a Kafka topic, on a real broker, and what is special there."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

import sxdask as sx
from sxdask.core.errors import FileMissingError, RequestError
from sxdask.deliver.manifest import Manifest
from sxdask.deliver.part import Member
from sxdask.deliver.sink import Delivery, Sink, open_sink
from sxdask.deliver.sinks.kafka import KafkaSink
from sxdask.deliver.tasks import Labels
from tests.contracts.test_sinks import DELIVERY, OTHER, PARTS, SinkContract, table, write_all
from tests.readers import numbers, pieces

if TYPE_CHECKING:
    import awkward as ak

    from tests.services.broker import Broker


class TestKafkaSink(SinkContract):
    @pytest.fixture(autouse=True)
    def _destination(self, broker: Broker) -> None:
        self.url = broker.url()

    def sink(self, *, overwrite: bool = False) -> Sink:
        return open_sink(self.url, overwrite=overwrite)

    def visible(self) -> list[str]:
        try:
            return sorted(entry.object for entry in Manifest.load(self.url).partitions)
        except FileMissingError:
            return []

    def stored(self) -> ak.Array:
        return Manifest.load(self.url).to_awkward()

    def test_its_scheme_chooses_it(self) -> None:
        assert isinstance(self.sink(), KafkaSink)
        assert self.sink().location == self.url

    def test_a_worker_appends_with_an_unpickled_copy(self) -> None:
        sink = self.sink()
        sink.begin(DELIVERY)
        copy = pickle.loads(pickle.dumps(sink))
        manifest = sink.commit([copy.write(part, table(part)) for part in PARTS])
        assert manifest.verify() == []

    def test_outputs_are_told_apart(self) -> None:
        parts = tuple(
            Labels("f00d", output=name).part(piece) for name in ("a", "b/c") for piece in pieces(2)
        )
        sink = self.sink()
        sink.begin(Delivery("f00d", "arrow", parts))
        sink.commit([sink.write(part, table(part)) for part in parts])
        manifest = Manifest.load(self.url)
        assert manifest.outputs == ("a", "b/c")
        assert manifest.to_awkward("b/c").to_list() == numbers(0, 20).to_list()
        assert manifest.dataset("a").to_table().num_rows == 20
        assert manifest.verify() == []

    def test_joined_partitions_are_refused(self) -> None:
        joined = replace(PARTS[0], members=(Member("", "a.root", "Events", 0, 10, "9f"),))
        with pytest.raises(RequestError, match="not joined"):
            self.sink().begin(Delivery("f00d", "arrow", (joined,)))

    def test_of_two_drivers_at_once_the_second_is_refused(self) -> None:
        first, second = self.sink(), self.sink()
        receipts = write_all(first)
        others = write_all(second, OTHER)
        first.commit(receipts)
        with pytest.raises(RequestError, match="another delivery"):
            second.commit(others)
        assert self.visible() == [part.stem for part in PARTS]

    def test_a_compacted_topic_is_refused(self, broker: Broker) -> None:
        admin = AdminClient({"bootstrap.servers": broker.servers})
        topic = self.url.rpartition("/")[2]
        config = {"cleanup.policy": "compact"}
        admin.create_topics([NewTopic(topic, 2, 1, config=config)])[topic].result()
        with pytest.raises(RequestError, match="compacted"):
            self.sink().begin(DELIVERY)

    def test_a_topic_with_one_partition_will_do(self, broker: Broker) -> None:
        admin = AdminClient({"bootstrap.servers": broker.servers})
        topic = self.url.rpartition("/")[2]
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
        sink = self.sink()
        manifest = sink.commit(write_all(sink))
        assert manifest.verify() == []
        with sx.consume(self.url, timeout=10.0) as found:
            assert len(list(found)) == 3

    @pytest.mark.parametrize("transactions", [True, False])
    def test_a_consumer_that_reads_committed_messages_sees_all_of_them(
        self, broker: Broker, transactions: bool
    ) -> None:
        sink = open_sink(self.url, storage_options={"transactions": transactions})
        sink.commit(write_all(sink))
        settings = {"bootstrap.servers": broker.servers, "group.id": "plain"}
        consumer = Consumer(settings | {"isolation.level": "read_committed"})
        topic = self.url.rpartition("/")[2]
        consumer.assign([TopicPartition(topic, number, 0) for number in range(4)])
        kinds: list[str] = []
        while len(kinds) < 5 and (message := consumer.poll(10.0)) is not None:
            kinds.append(dict(message.headers())["kind"].decode())
        consumer.close()
        assert sorted(kinds) == ["announcement", "batch", "batch", "batch", "manifest"]
