"""Talk to a broker: settings of clients, topics and their places, messages by offset.

Every error of confluent-kafka becomes one of ours here, without the secrets
that its text may quote.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import (
    AccessDeniedError,
    DeliveryError,
    MissingExtraError,
    RequestError,
    SxdaskError,
)
from sxdask.deliver.kafka.messages import Header, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sxdask.deliver.kafka.address import Address, KafkaOptions

LOGGER = logging.getLogger("sxdask.kafka")
LOGGER.addHandler(logging.NullHandler())  # librdkafka writes to stderr otherwise

# A broker counts a consumer as gone after this long; more makes joining a group slow.
_SESSION_MS = 6_000
_FETCH_WAIT_MS = 20
_DENIED = {
    "TOPIC_AUTHORIZATION_FAILED",
    "GROUP_AUTHORIZATION_FAILED",
    "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED",
    "SASL_AUTHENTICATION_FAILED",
    "_AUTHENTICATION",
}
_GONE = {"_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID"}
_TOO_LARGE = {"MSG_SIZE_TOO_LARGE", "RECORD_LIST_TOO_LARGE"}


def confluent() -> Any:
    """Return the module ``confluent_kafka``.

    Raises
    ------
    MissingExtraError
        If it is not installed.
    """
    try:
        import confluent_kafka
        import confluent_kafka.admin
    except ImportError as error:
        raise MissingExtraError(
            "kafka:// needs the package 'confluent-kafka'",
            hint="pip install 'sxdask[kafka]', on the workers too",
        ) from error
    return confluent_kafka


class Connection:
    """The brokers of `address`: makes clients and explains their errors."""

    def __init__(self, address: Address, options: KafkaOptions) -> None:
        self.address = address
        self.options = options
        self.kafka = confluent()
        self._file = options.file()
        self._last = ""

    def config(self, **own: Any) -> dict[str, Any]:
        """Return the settings of a client; what the user says wins over ours."""
        return (
            {
                "bootstrap.servers": self.address.servers,
                "client.id": "sxdask",
                "logger": LOGGER,
                "error_cb": self._note,
            }
            | {name.replace("_", "."): value for name, value in own.items()}
            | self._file
            | dict(self.options.properties)
        )

    def _note(self, error: Any) -> None:
        self._last = self._plain(str(error.str()))

    def _plain(self, text: str) -> str:
        """Return `text` without any value of the properties file that is long enough to matter."""
        for name, value in self._file.items():
            if len(value) > 3 and name not in {"bootstrap.servers", "security.protocol"}:
                text = text.replace(value, "***")
        return text

    @contextmanager
    def faults(self, doing: str, kind: type[SxdaskError] = DeliveryError) -> Iterator[None]:
        """Turn what confluent-kafka raises into an error of ours that says what was done."""
        try:
            yield
        except self.kafka.KafkaException as error:
            raise self.explain(error.args[0], doing, kind) from None

    def explain(
        self, error: Any, doing: str, kind: type[SxdaskError] = DeliveryError
    ) -> SxdaskError:
        """Return the error of ours for a ``KafkaError``."""
        where = self.address.location
        name = error.name()
        reason = self._plain(str(error.str()))
        if name in {"_TRANSPORT", "_TIMED_OUT", "_ALL_BROKERS_DOWN", "_MSG_TIMED_OUT"}:
            reason = self._last or reason
        if name in _GONE:
            doing, reason = "something is gone", "the topic or a partition of it"
        problem = f"{where!r}: {doing}: {reason}"
        if name in _DENIED:
            return AccessDeniedError(
                problem, hint="check the credentials and the rights that they give", file=where
            )
        if name == "_INVALID_ARG":
            return RequestError(problem, hint="check the properties given to librdkafka")
        if name in _TOO_LARGE:
            return RequestError(
                problem,
                hint=f"lower storage_options={{'message_bytes': ...}} (now"
                f" {self.options.message_bytes}), or raise max.message.bytes of the topic",
            )
        return kind(problem, hint="check the address and that the broker runs", file=where)

    def consumer(self, *, group: str | None = None, **own: Any) -> Any:
        """Return a consumer; one without `group` is assigned its partitions."""
        common = {
            "group_id": group or "sxdask",
            "enable_auto_commit": False,
            "allow_auto_create_topics": False,
            "enable_partition_eof": True,
            "auto_offset_reset": "earliest",
            "session_timeout_ms": _SESSION_MS,
            # The broker answers a fetch at the end of a partition after this, and nothing else
            # goes over the connection in the meantime: seeking would take half a second.
            "fetch_wait_max_ms": _FETCH_WAIT_MS,
            "fetch_error_backoff_ms": _FETCH_WAIT_MS,
            # A slow consumer of tables is no dead one; heartbeats tell them apart.
            "max_poll_interval_ms": 3_600_000,
            "isolation_level": "read_uncommitted",  # attempts are told apart by their headers
        }
        with self.faults("a consumer cannot start", RequestError):
            return self.kafka.Consumer(self.config(**(common | own)))

    def producer(self, transactional_id: str | None = None) -> Any:
        """Return an idempotent producer that waits for all replicas."""
        wait = int(self.options.timeout_s * 1000)
        own: dict[str, Any] = {
            "enable_idempotence": True,
            "acks": "all",
            "linger_ms": 0,
            "message_timeout_ms": wait,
            "message_max_bytes": max(2 * self.options.message_bytes, 1_000_000),
        }
        if transactional_id is not None:
            own |= {"transactional_id": transactional_id, "transaction_timeout_ms": wait}
        with self.faults("a producer cannot start", RequestError):
            return self.kafka.Producer(self.config(**own))


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
            future = self._admin.describe_topics(asked, request_timeout=self._wait)[self.name]
            try:
                found = future.result()
            except kafka.KafkaException as error:
                if error.args[0].name() == "UNKNOWN_TOPIC_OR_PART":
                    return None
                self._admin.poll(0)  # what was refused in the meantime says more
                raise
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
                time.sleep(0.1)
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
            future = self._admin.create_topics([topic], request_timeout=self._wait)[self.name]
            try:
                future.result()
            except kafka.KafkaException as error:
                if error.args[0].name() != "TOPIC_ALREADY_EXISTS":
                    raise

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
        kafka = self.connection.kafka
        with self._lock, self.connection.faults("the broker does not answer"):
            low, high = self._client().get_watermark_offsets(
                kafka.TopicPartition(self.name, partition), timeout=self._wait, cached=False
            )
        return int(low), int(high)

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


def text(data: Any) -> str:
    """Return a message's key as text."""
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data or "")
