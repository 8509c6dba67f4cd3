"""A topic as a store that can be read: its manifest, and the objects that it names.

This is what lets `Manifest.load`, `to_table` and `verify` work on a delivery
to Kafka. An object is the Arrow streams of its messages, one after the other.
"""

from __future__ import annotations

import json
import os
import threading
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from sxdask.core.errors import ReadFailedError, RequestError
from sxdask.deliver.kafka.address import Address, KafkaOptions
from sxdask.deliver.kafka.broker import Connection
from sxdask.deliver.kafka.controls import CONTROL_PARTITION, Controls, controls_in
from sxdask.deliver.kafka.topic import Topic
from sxdask.deliver.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pyarrow as pa

    from sxdask.deliver.kafka.messages import Place


def open_topic(url: str, storage_options: Mapping[str, Any] | None = None) -> KafkaStore:
    """Return the store of a topic, the same one again: a manifest asks for every object."""
    return _open(Address.parse(url), KafkaOptions.of(storage_options), os.getpid())


@lru_cache(maxsize=4)
def _open(address: Address, options: KafkaOptions, _process: int) -> KafkaStore:
    return KafkaStore(address, options)


class KafkaStore:
    """Read deliveries of a topic; the address may have ``?fingerprint=`` to pick one of several.

    It keeps a connection and is used from any thread.
    """

    def __init__(self, address: Address, options: KafkaOptions) -> None:
        self._address = address
        self._options = options
        self._topic: Topic | None = None
        self._lock = threading.RLock()
        self._places: dict[str, tuple[str, str, Place]] = {}

    @property
    def location(self) -> str:
        """The address."""
        return self._address.location

    def full(self, name: str) -> str:
        """Return the address of an object, for people."""
        return f"{self.location}/{name}"

    def read(self, name: str) -> bytes | None:
        """Return the manifest or an object, or None if there is none.

        Raises
        ------
        DeliveryError
            If the broker does not answer.
        """
        with self._lock:  # one connection for all threads
            return self._read(name)

    def _read(self, name: str) -> bytes | None:
        if name == MANIFEST_NAME:
            found = self._controls().newest(self._address.fingerprint)
            return None if found is None else json.dumps(dict(found.values)).encode()
        if name not in self._places:
            self._controls()
        if name not in self._places:
            return None
        key, attempt, place = self._places[name]
        values = self._opened.attempt(place, key, attempt)
        return b"".join(values) or None

    def size(self, name: str) -> int | None:
        """Return an object's bytes."""
        data = self.read(name)
        return None if data is None else len(data)

    def sizes(self, names: Collection[str]) -> dict[str, int]:
        """Return the bytes of those of `names` that are there."""
        return {name: size for name in names if (size := self.size(name)) is not None}

    def write(self, name: str, data: bytes | pa.Buffer) -> None:  # noqa: ARG002 - the protocol's
        """Refuse: the sink appends."""
        self._refuse(name)

    def create(self, name: str, data: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """Refuse: the sink appends."""
        self._refuse(name)

    def modified(self, name: str) -> float | None:  # noqa: ARG002 - the protocol's
        """Return None: objects are several messages, each with a time of its own."""
        return None

    def names(self, folder: str) -> list[str]:  # noqa: ARG002 - the protocol's
        """Return the names of the objects that the manifests in the topic name."""
        with self._lock:
            self._controls()
        return sorted(self._places)

    def settle(self, names: Iterable[str]) -> None:
        """Do nothing: what was appended is seen at once."""

    def move(self, source: str, target: str) -> None:  # noqa: ARG002 - the protocol's
        """Refuse: a message has no name."""
        self._refuse(source)

    def remove(self, name: str) -> None:
        """Refuse: the broker removes by age or size."""
        self._refuse(name)

    def remove_all(self, names: Sequence[str]) -> None:
        """Refuse: the broker removes by age or size."""
        self._refuse(", ".join(names))

    def staging(self, folder: str) -> NoReturn:
        """Refuse: the sink appends."""
        self._refuse(folder)

    def remove_folder(self, name: str, *, only_empty: bool = False) -> None:  # noqa: ARG002 - the protocol's
        """Refuse: the broker removes by age or size."""
        self._refuse(name)

    def _refuse(self, name: str) -> NoReturn:
        raise RequestError(
            f"{self.full(name)!r} cannot be changed: a Kafka topic is only appended to",
            hint="set the topic's retention on the broker",
        )

    @property
    def _opened(self) -> Topic:
        if self._topic is None:
            self._topic = Topic(Connection(self._address, self._options))
        return self._topic

    def _controls(self) -> Controls:
        if self._opened.describe(ReadFailedError) is None:
            return Controls()
        found = controls_in(self._opened.messages(CONTROL_PARTITION))
        for item in found.manifests:
            names = {entry["content_key"]: entry["object"] for entry in item.values["partitions"]}
            for key, (attempt, place) in item.accepted.items():
                self._places[names[key]] = key, attempt, place
        return found
