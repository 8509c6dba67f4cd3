"""One topic: made if need be, which incarnation of it, and its messages by offset."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import DeliveryError, RequestError, SxdaskError
from sxdask.deliver.kafka.broker import GONE, text
from sxdask.deliver.kafka.messages import Header, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sxdask.deliver.kafka.broker import Connection

_AGAIN_S = 0.1
# What a client says that has just lost its broker.
_PASSING = {*GONE, "_TRANSPORT", "_DESTROY_BROKER"}


class Topic:
    """One topic: made if need be, its incarnation, and its messages by offset. Thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.name = connection.address.topic
        self._wait = connection.options.timeout_s
        with connection.faults("a client cannot start", RequestError):
            self._admin = connection.kafka.admin.AdminClient(connection.config())
        self._reader: Any = None
        self._lock = threading.RLock()

    def describe(self, kind: type[SxdaskError] = DeliveryError) -> tuple[str, int] | None:
        """Return the topic's incarnation and its number of partitions, or None if there is none.

        The incarnation is empty where the broker is too old to have any.
        """
        kafka = self.connection.kafka
        asked = kafka.TopicCollection([self.name])
        with self.connection.faults("the broker does not answer", kind):
            found = self._answer(
                lambda: self._admin.describe_topics(asked, request_timeout=self._wait)[self.name],
                "UNKNOWN_TOPIC_OR_PART",
            )
        if found is None:
            return None
        topic_id = str(found.topic_id)
        empty = set(topic_id) <= {"A", "=", "0"}  # sixteen zero bytes
        return "" if empty else topic_id, len(found.partitions)

    def ensure(self) -> tuple[str, int]:
        """Make the topic if there is none; return what `describe` says.

        Raises
        ------
        RequestError
            If the topic keeps only the last message of a key: results have several.
        """
        found = self.describe()
        if found is None:
            self._create()
            deadline = time.monotonic() + self._wait
            while (found := self.describe()) is None:
                if time.monotonic() > deadline:
                    raise DeliveryError(f"{self._where!r} was made and is not there")
                time.sleep(_AGAIN_S)
        if "compact" in self._cleanup_policy():
            raise RequestError(
                f"{self._where!r} is compacted: it keeps one message of each partition",
                hint="deliver to a topic with cleanup.policy=delete",
            )
        return found

    @property
    def _where(self) -> str:
        return self.connection.address.location

    def _create(self) -> None:
        kafka, options = self.connection.kafka, self.connection.options
        config = {"cleanup.policy": "delete"}
        if options.message_bytes > 1_000_000:  # the brokers' default is 1 MiB and a little
            config["max.message.bytes"] = str(options.message_bytes + 100_000)
        topic = kafka.admin.NewTopic(self.name, options.partitions, config=config)
        with self.connection.faults("the topic cannot be made"):
            self._answer(
                lambda: self._admin.create_topics([topic], request_timeout=self._wait)[self.name],
                "TOPIC_ALREADY_EXISTS",
            )

    def _answer(self, ask: Callable[[], Any], none: str) -> Any:
        """Return what the broker answers, None for the error `none`; ask again if it went away."""
        deadline = time.monotonic() + self._wait
        while True:
            try:
                return ask().result()
            except self.connection.kafka.KafkaException as error:
                if error.args[0].name() == none:
                    return None
                self._admin.poll(0)  # what was refused in the meantime says more
                if not self._is_passing(error.args[0], deadline):
                    raise
            time.sleep(_AGAIN_S)

    def _cleanup_policy(self) -> str:
        kafka = self.connection.kafka
        resource = kafka.admin.ConfigResource("topic", self.name)
        try:
            future = self._admin.describe_configs([resource], request_timeout=self._wait)[resource]
            entry = future.result().get("cleanup.policy")
        except kafka.KafkaException:  # no right to know: then the user is to know
            return ""
        return str(entry.value) if entry is not None else ""

    def bounds(self, partition: int) -> tuple[int, int]:
        """Return the first offset and the one after the last."""
        asked = self.connection.kafka.TopicPartition(self.name, partition)
        deadline = time.monotonic() + self._wait
        with self._lock, self.connection.faults("the broker does not answer"):
            while True:
                try:
                    low, high = self._client().get_watermark_offsets(
                        asked, timeout=self._wait, cached=False
                    )
                except self.connection.kafka.KafkaException as error:
                    # A client that lost its broker forgets for a moment what topics there are.
                    known = error.args[0].name() not in GONE or self._has(partition)
                    if not known or not self._is_passing(error.args[0], deadline):
                        raise
                    time.sleep(_AGAIN_S)
                else:
                    return int(low), int(high)

    def _has(self, partition: int) -> bool:
        found = self.describe()
        return found is not None and partition < found[1]

    def _is_passing(self, error: Any, deadline: float) -> bool:
        return error.name() in _PASSING and time.monotonic() < deadline

    def messages(self, partition: int, first: int = 0, last: int | None = None) -> Iterator[Any]:
        """Yield the messages from `first` to `last` or to the end; fewer if some are gone.

        Raises
        ------
        DeliveryError
            If the broker does not answer any more.
        """
        kafka = self.connection.kafka
        with self._lock:
            # Some brokers do not answer at all to who begins behind the end.
            start = min(max(first, 0), self.bounds(partition)[1])
            client = self._client()
            with self.connection.faults("the topic cannot be read"):
                client.assign([kafka.TopicPartition(self.name, partition, start)])
            try:
                for message in self._run(client, last):
                    if message.offset() >= first:
                        yield message
            finally:
                client.unassign()

    def _run(self, client: Any, last: int | None) -> Iterator[Any]:
        kafka = self.connection.kafka
        deadline = time.monotonic() + self._wait
        while time.monotonic() < deadline:
            message = client.poll(0.1)
            if message is None:
                continue
            deadline = time.monotonic() + self._wait
            error = message.error()
            if error is None:
                if last is None or message.offset() <= last:
                    yield message
                if last is not None and message.offset() >= last:
                    return
            elif error.code() == kafka.KafkaError._PARTITION_EOF:  # noqa: SLF001 - its public name
                return
            elif not error.retriable() and error.name() != "_TRANSPORT":
                raise self.connection.explain(error, "the topic cannot be read")
        raise self.connection.explain(
            kafka.KafkaError(kafka.KafkaError._TIMED_OUT),  # noqa: SLF001 - its public name
            "the topic cannot be read",
        )

    def attempt(self, place: Place, key: str, attempt: str) -> list[bytes]:
        """Return the values of one attempt, in order; fewer than its total if some are gone."""
        found = []
        for message in self.messages(place.partition, place.first, place.last):
            header = Header.parse(message.headers())
            if header is not None and header.attempt == attempt and text(message.key()) == key:
                found.append(bytes(message.value() or b""))
        return found

    def holds(self, items: Iterable[tuple[Place, str, str]]) -> list[bool]:
        """Return of each place, key and attempt whether its messages are still there."""
        wanted = list(items)
        now = self.describe()
        if now is None or not wanted:
            return [False for _ in wanted]
        topic_id, partitions = now
        bounds = {number: self.bounds(number) for number in range(partitions)}
        sure, doubtful = set(), []
        for number, (place, _, _) in enumerate(wanted):
            low, high = bounds.get(place.partition, (0, 0))
            known = bool(topic_id) and place.topic_id == topic_id
            if known and low <= place.first and place.last < high:
                sure.add(number)
            elif place.partition < partitions:
                doubtful.append(number)
        # The topic may have been made anew, with others' messages at the same offsets; and a
        # broker that has just started may not know yet where its partitions end.
        found = self._look_up([wanted[number] for number in doubtful])
        sure |= {number for number, held in zip(doubtful, found, strict=True) if held}
        return [number in sure for number in range(len(wanted))]

    def _look_up(self, items: list[tuple[Place, str, str]]) -> list[bool]:
        """Return which items are there by reading the partitions that they lie in."""
        seen: set[tuple[int, int, str, str]] = set()
        for partition in {place.partition for place, _, _ in items}:
            places = [place for place, _, _ in items if place.partition == partition]
            first, last = min(item.first for item in places), max(item.last for item in places)
            for message in self.messages(partition, first, last):
                header = Header.parse(message.headers())
                if header is not None:
                    name = (text(message.key()), header.attempt)
                    seen.add((partition, message.offset(), *name))
        return [
            all((place.partition, at, key, name) in seen for at in (place.first, place.last))
            for place, key, name in items
        ]

    def _client(self) -> Any:
        if self._reader is None:
            self._reader = self.connection.consumer()
        return self._reader

    def close(self) -> None:
        """Close the connection; it opens again on use."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None
