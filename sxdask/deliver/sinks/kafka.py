"""A Kafka topic: each partition of a result is one or more messages, appended by the workers.

A topic only grows, so a task that runs twice appends twice. What counts is
decided at the commit: the manifest, the last message, names for each
partition the attempt that is accepted and its offsets. Readers that do not
wait for it tell attempts apart by their headers. `sxdask.deliver.kafka` has
the layout.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from xxhash import xxh3_128

from sxdask.core.errors import DeliveryError, RequestError, SxdaskError
from sxdask.deliver.kafka.address import Address, KafkaOptions
from sxdask.deliver.kafka.broker import LOGGER, Connection
from sxdask.deliver.kafka.controls import (
    CONTROL_PARTITION,
    announcement,
    controls_in,
    manifest_values,
)
from sxdask.deliver.kafka.messages import Place, batch_messages, control_messages
from sxdask.deliver.kafka.producers import can_transact, send
from sxdask.deliver.kafka.topic import Topic
from sxdask.deliver.manifest import Manifest
from sxdask.deliver.sink import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from sxdask.deliver.kafka.controls import Published
    from sxdask.deliver.kafka.messages import Kind
    from sxdask.deliver.manifest import Failure
    from sxdask.deliver.part import Part
    from sxdask.deliver.sink import Delivery

_FORMAT = "arrow"
_ABORT_S = 5.0  # what a run that failed already may wait to say so


class KafkaSink:
    """Deliver to the topic of `url` as Arrow record batches.

    With `overwrite` the manifest says that it takes the place of all others
    in the topic; their messages stay until the broker drops them.
    """

    def __init__(
        self,
        url: str,
        *,
        format_name: str = _FORMAT,
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        name, _, compression = format_name.partition(":")
        if name != _FORMAT:
            raise RequestError(
                f"a Kafka topic carries Arrow record batches, not {name!r}",
                hint=f"use format={_FORMAT!r}",
            )
        self.overwrite = overwrite
        self._compression = compression or "lz4"
        self._address = Address.parse(url)
        self._given = dict(storage_options or {})
        self._options = KafkaOptions.of(self._given)
        self._fingerprint = ""
        self._topic_id = ""
        self._partitions = 0
        self._transactional = False
        self._delivery: Delivery | None = None
        self._others: list[str] = []
        self._old: Published | None = None
        self._announced = False
        self._open: Topic | None = None

    def __getstate__(self) -> dict[str, Any]:
        # Workers append; the whole list of parts and the old manifest are for the driver.
        own: dict[str, Any] = {"_delivery": None, "_others": [], "_old": None, "_open": None}
        return self.__dict__ | own

    @property
    def location(self) -> str:
        """The address; it never holds credentials."""
        return self._address.location

    def begin(self, delivery: Delivery, receipts: Iterable[Receipt] = ()) -> list[Receipt]:
        """Make the topic if there is none, and announce the parts; see `Sink.begin`."""
        if any(part.members for part in delivery.parts):
            raise RequestError(
                "a Kafka topic has every partition by itself, not joined with others",
                hint="leave merge= out, and ask for larger partitions (SXDASK_PARTITION_BYTES)",
            )
        self._delivery, self._fingerprint = delivery, delivery.fingerprint
        self._topic_id, self._partitions = self._topic.ensure()
        self._transactional = self._may_transact()
        parts = {part.stem: part for part in delivery.parts}
        self._look(delivery)
        known = {item.object: item for item in receipts if item.object in parts}
        if self._old is not None:
            known |= {item.object: item for item in self._old.receipts(parts)}
        held = self.holds(known.values())
        if len(held) < len(parts):
            self._tell("announcement", announcement(delivery))
            self._announced = True
        return held

    def write(self, part: Part, table: pa.Table) -> Receipt:
        """Append `table`, in one transaction where the broker allows it."""
        attempt = uuid.uuid4().hex[:12]
        messages = batch_messages(
            part,
            table,
            fingerprint=self._fingerprint,
            attempt=attempt,
            message_bytes=self._options.message_bytes,
            compression=self._compression,
        )
        partition = self._partition(part)
        first, last = send(
            self._address,
            self._options,
            messages,
            partition=partition,
            key=part.content_key,
            transactional=self._transactional,
        )
        if first < 0:
            raise DeliveryError(
                f"{self.location!r} has an attempt at {part.stem!r} and does not say where",
                hint="nothing is lost: another attempt takes its place",
                object=part.stem,
            )
        digest = xxh3_128()
        for data, _ in messages:
            digest.update(data)
        return Receipt(
            part,
            part.stem,
            table.num_rows,
            sum(len(data) for data, _ in messages),
            f"xxh3:{digest.hexdigest()}",
            attempt,
            str(Place(self._topic_id, partition, first, last)),
        )

    def holds(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """Return those whose messages are still in the topic."""
        known = [(item, Place.parse(item.place)) for item in receipts]
        placed = [(item, place) for item, place in known if place is not None]
        there = self._topic.holds(
            (place, item.part.content_key, item.attempt) for item, place in placed
        )
        return [item for (item, _), held in zip(placed, there, strict=True) if held]

    def commit(self, receipts: Iterable[Receipt], failed: Iterable[Failure] = ()) -> Manifest:
        """Append the manifest; see `Sink.commit`."""
        assert self._delivery is not None, "begin comes before commit"  # noqa: S101
        kept = list(receipts)
        self._look(self._delivery)  # somebody else may have been quicker
        held = {item.object for item in self.holds(kept)}
        gone = [item.object for item in kept if item.object not in held]
        if gone:
            raise DeliveryError(
                f"{len(gone)} of {len(kept)} objects are gone from {self.location!r} before their"
                f" publication, the first is {gone[0]!r}",
                hint="the topic was made anew, or its retention is too short; deliver again",
                object=gone[0],
            )
        manifest = Manifest.of(self._delivery, kept, failed)
        old = None if self._old is None else self._old.manifest(self.location)
        equal = old is not None and (old.partitions, old.failed) == (
            manifest.partitions,
            manifest.failed,
        )
        if old is not None and equal:
            manifest = old  # delivered before: nothing changes, not even the date
        if not equal or self._announced or self._others:
            values = manifest_values(
                manifest, kept, replaces=self._others, transactional=self._transactional
            )
            self._tell("manifest", values)
        self._finish()
        return replace(manifest, location=self.location, storage_options=tuple(self._given.items()))

    def abort(self) -> None:
        """Tell readers that the announced parts will not come; nothing can be removed."""
        if self._announced:
            hasty = replace(self._options, timeout_s=min(_ABORT_S, self._options.timeout_s))
            try:
                self._tell("abort", {"kind": "sxdask-abort", "version": 1}, hasty)
            except SxdaskError as error:
                LOGGER.warning("the end of a delivery could not be told: %s", error.problem)
        self._finish()

    def suspend(self) -> None:
        """Leave what was appended, and the announcement: a later run goes on."""
        self._finish()

    @property
    def _topic(self) -> Topic:
        if self._open is None:
            self._open = Topic(Connection(self._address, self._options))
        return self._open

    def _finish(self) -> None:
        self._announced = False
        if self._open is not None:
            with suppress(SxdaskError):
                self._open.close()
            self._open = None

    def _look(self, delivery: Delivery) -> None:
        """Find the manifests in the topic: one to go on from, others to be in the way."""
        names = {*delivery.pruned, *(part.stem for part in delivery.parts)}
        found = controls_in(self._topic.messages(CONTROL_PARTITION)).manifests
        self._old, self._others = None, []
        for item in found:
            same = (item.fingerprint, item.values["format"]) == (
                delivery.fingerprint,
                delivery.format,
            )
            here = {entry["object"] for entry in item.values["partitions"]}
            if same and here <= names:
                self._old = item
            elif not self._options.shared or same:
                self._others.append(item.fingerprint)
                self._refuse(item)

    def _refuse(self, other: Published) -> None:
        if self.overwrite:
            return
        title = other.values["title"] or other.fingerprint[:12]
        raise RequestError(
            f"{self.location!r} holds another delivery"
            f" ({title}, {len(other.values['partitions'])} partitions)",
            hint="choose another topic, pass overwrite=True, or let requests share the topic"
            " with storage_options={'shared': True}",
            fingerprint=other.fingerprint,
        )

    def _may_transact(self) -> bool:
        if self._options.transactions is False:
            return False
        error = can_transact(self._address, self._options)
        if error is None:
            return True
        if self._options.transactions:
            raise error
        LOGGER.warning("delivering without transactions: %s", error.problem)
        return False

    def _partition(self, part: Part) -> int:
        """Return where the messages of `part` go: by its key, and past what is for control."""
        if self._partitions <= 1:
            return CONTROL_PARTITION
        return 1 + int(part.content_key[:8], 16) % (self._partitions - 1)

    def _tell(
        self, kind: Kind, values: dict[str, Any], options: KafkaOptions | None = None
    ) -> None:
        messages = control_messages(
            kind,
            values,
            fingerprint=self._fingerprint,
            attempt=uuid.uuid4().hex[:12],
            message_bytes=self._options.message_bytes,
        )
        send(
            self._address,
            options or self._options,
            messages,
            partition=CONTROL_PARTITION,
            key=f"control/{self._fingerprint}",
            transactional=self._transactional,
        )
