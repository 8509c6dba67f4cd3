"""The contract of sinks for a Kafka topic, on a real broker, and what is special there."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import pytest

from sxdask.core.errors import FileMissingError
from sxdask.deliver.manifest import Manifest
from sxdask.deliver.sink import Sink, open_sink
from sxdask.deliver.sinks.kafka import KafkaSink
from tests.contracts.test_sinks import DELIVERY, PARTS, SinkContract, table

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
