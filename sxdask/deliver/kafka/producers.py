"""Producers that a worker keeps: one try of one partition at a time goes through each.

Opening a producer costs half a second, so they outlive tasks; they stay in
this process, as their settings may be secret. One that has been idle for a
minute is dropped when another is asked for.
"""

from __future__ import annotations

import os
import threading
import time
import uuid
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import DeliveryError, SxdaskError
from sxdask.deliver.kafka.broker import Connection

if TYPE_CHECKING:
    from sxdask.deliver.kafka.address import Address, KafkaOptions
    from sxdask.deliver.kafka.messages import Header

_IDLE_S = 60.0
_QUEUE_PAUSE_S = 0.05


class Channel:
    """One producer, used by one thread at a time."""

    def __init__(self, connection: Connection, *, transactional: bool) -> None:
        self.connection = connection
        self.transactional = transactional
        self.wait = connection.options.timeout_s
        self.used = time.monotonic()
        name = f"sxdask-{uuid.uuid4().hex}" if transactional else None
        self._producer = connection.producer(name)
        if transactional:
            with connection.faults("transactions cannot begin"):
                self._producer.init_transactions(self.wait)

    def send(
        self, partition: int, key: str, messages: list[tuple[bytes, Header]]
    ) -> tuple[int, int]:
        """Append `messages`, all or (with transactions) none; return the first and last offset.

        They are -1 if the broker has the messages and does not say where.
        """
        doing = f"{len(messages)} messages cannot be appended"
        with self.connection.faults(doing):
            if not self.transactional:
                return self._append(partition, key, messages, doing)
            self._producer.begin_transaction()
            found = self._append(partition, key, messages, doing)
            self._producer.commit_transaction(self.wait)
            return found

    def _append(
        self, partition: int, key: str, messages: list[tuple[bytes, Header]], doing: str
    ) -> tuple[int, int]:
        offsets: list[Any] = []
        refusals: list[Any] = []

        def delivered(error: Any, message: Any) -> None:
            (refusals if error is not None else offsets).append(error or message.offset())

        for value, header in messages:
            while not self._queued(partition, key, value, header, delivered):
                self._producer.poll(_QUEUE_PAUSE_S)
        self._producer.flush(self.wait)
        if refusals:
            raise self.connection.explain(refusals[0], doing)
        if len(offsets) != len(messages):
            where = self.connection.address.location
            raise DeliveryError(f"{where!r}: {doing}: no answer within {self.wait} s", file=where)
        # A broker that knows a message already, from before a lost answer, does not say where.
        return (-1, -1) if None in offsets else (min(offsets), max(offsets))

    def _queued(
        self, partition: int, key: str, value: bytes, header: Header, delivered: Any
    ) -> bool:
        try:
            self._producer.produce(
                self.connection.address.topic,
                value,
                key=key.encode(),
                partition=partition,
                headers=header.pairs(),
                on_delivery=delivered,
            )
        except BufferError:
            return False
        return True

    def close(self) -> None:
        """Give up what is not sent."""
        self._producer.purge()
        self._producer.flush(0)


class _Pool:
    """The channels of this process that nobody uses at the moment."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: dict[Any, list[Channel]] = {}
        self._process = os.getpid()

    def take(self, key: Any) -> Channel | None:
        now = time.monotonic()
        with self._lock:
            if self._process != os.getpid():  # the parent's threads did not come along
                self._idle, self._process = {}, os.getpid()
            old = [
                (name, channel)
                for name, channels in self._idle.items()
                for channel in channels
                if now - channel.used > _IDLE_S
            ]
            for name, channel in old:
                self._idle[name].remove(channel)
            found = self._idle.get(key)
            taken = found.pop() if found else None
        for _, channel in old:
            channel.close()
        return taken

    def give(self, key: Any, channel: Channel) -> None:
        channel.used = time.monotonic()
        with self._lock:
            self._idle.setdefault(key, []).append(channel)


_POOL = _Pool()


def send(
    address: Address,
    options: KafkaOptions,
    messages: list[tuple[bytes, Header]],
    *,
    partition: int,
    key: str,
    transactional: bool,
) -> tuple[int, int]:
    """Append the messages of one attempt to a partition; return the first and last offset.

    Offsets are -1 if the broker does not say them after a lost answer. A
    producer that fails is not used again: the broker may have forgotten it.

    Raises
    ------
    DeliveryError
        If the broker does not answer in time, or refuses.
    RequestError
        If a message is too large for the broker.
    """
    name = (address, options, transactional)
    kept = _POOL.take(name)
    started = time.monotonic()
    if kept is not None:
        try:
            return _sent(name, kept, partition, key, messages)
        except DeliveryError:
            # It may be older than the broker. One that hangs is not worth a second wait.
            if time.monotonic() - started > options.timeout_s / 2:
                raise
    fresh = Channel(Connection(address, options), transactional=transactional)
    return _sent(name, fresh, partition, key, messages)


def _sent(
    name: Any, channel: Channel, partition: int, key: str, messages: list[tuple[bytes, Header]]
) -> tuple[int, int]:
    try:
        found = channel.send(partition, key, messages)
    except BaseException:
        channel.close()
        raise
    _POOL.give(name, channel)
    return found


def can_transact(address: Address, options: KafkaOptions) -> SxdaskError | None:
    """Return None if the broker takes transactions, else the error of the attempt."""
    try:
        channel = Channel(Connection(address, options), transactional=True)
    except SxdaskError as error:
        return error
    _POOL.give((address, options, True), channel)
    return None
