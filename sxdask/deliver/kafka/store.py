"""A topic as a store that can be read: its manifest, and the objects that it names.

This is what lets `Manifest.load`, `to_table` and `verify` work on a delivery
to Kafka. An object is the Arrow streams of its messages, one after the other.
"""

from __future__ import annotations

import json
import os
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NoReturn

from sxdask.core.errors import ReadFailedError, RequestError
from sxdask.deliver.kafka.address import Address, KafkaOptions
from sxdask.deliver.kafka.broker import Connection, Topic
from sxdask.deliver.kafka.controls import CONTROL_PARTITION, Controls, controls_in
from sxdask.deliver.manifest import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import pyarrow as pa

    from sxdask.deliver.kafka.messages import Place


@lru_cache(maxsize=4)
def _topic(address: Address, options: KafkaOptions, _process: int) -> Topic:
    """Return a topic that stays open: a manifest opens its store for every object."""
    return Topic(Connection(address, options))


class KafkaStore:
    """Read deliveries of the topic at `url`; ``?fingerprint=`` picks one of several."""

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self.url = url
        self._address = Address.parse(url)
        self._options = KafkaOptions.of(storage_options)
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
        return _topic(replace(self._address, fingerprint=""), self._options, os.getpid())

    def _controls(self) -> Controls:
        if self._opened.describe(ReadFailedError) is None:
            return Controls()
        found = controls_in(self._opened.messages(CONTROL_PARTITION))
        for item in found.manifests:
            names = {entry["content_key"]: entry["object"] for entry in item.values["partitions"]}
            for key, (attempt, place) in item.accepted.items():
                self._places[names[key]] = key, attempt, place
        return found
