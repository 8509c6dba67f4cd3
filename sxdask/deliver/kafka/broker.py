"""Talk to a broker: the settings of clients, and what their errors mean.

Every error of confluent-kafka becomes one of ours here, without the secrets
that its text may quote.
"""

from __future__ import annotations

import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import (
    AccessDeniedError,
    DeliveryError,
    MissingExtraError,
    RequestError,
    SxdaskError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

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
GONE = {"_UNKNOWN_PARTITION", "_UNKNOWN_TOPIC", "UNKNOWN_TOPIC_OR_PART", "UNKNOWN_TOPIC_ID"}
# What librdkafka says of messages that it drops because of an error before.
_DROPPED = {"_PURGE_QUEUE", "_PURGE_INFLIGHT"}
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
        if name in _DROPPED:
            reason = self._last or "the broker has forgotten this producer"
        if name in GONE:
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


def text(data: Any) -> str:
    """Return a message's key as text."""
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data or "")
