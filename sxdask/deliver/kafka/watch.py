"""Follow the control partition of a topic: which request, what is missing, is it published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.core.errors import ReadFailedError, RequestError
from sxdask.deliver.kafka.controls import CONTROL_PARTITION, Controls, Published, Standing

if TYPE_CHECKING:
    from sxdask.deliver.kafka.broker import Connection
    from sxdask.deliver.part import Part

_NAMED = 5  # missing partitions that an error names


class Watch:
    """Reads announcements, manifests and aborts, from the first one on, as they come.

    `since` is the offset from which a manifest ends the wait: 0, or the end
    of the topic for a reader of what is to come.
    """

    def __init__(self, connection: Connection, fingerprint: str, since: int) -> None:
        kafka = connection.kafka
        self._connection = connection
        self._end_of_partition = kafka.KafkaError._PARTITION_EOF  # noqa: SLF001 - its public name
        self._client = connection.consumer()
        topic = connection.address.topic
        with connection.faults("the topic cannot be read", ReadFailedError):
            self._client.assign([kafka.TopicPartition(topic, CONTROL_PARTITION, 0)])
        self._controls = Controls()
        self._asked = fingerprint
        self._since = since
        self.caught_up = False

    def poll(self, timeout_s: float = 0.0) -> bool:
        """Take what has come; return whether there was anything."""
        news = False
        while True:
            message = self._client.poll(timeout_s)
            if message is None:
                return news
            timeout_s = 0.0
            error = message.error()
            if error is None:
                self.caught_up = False
                news = self._controls.add(message) or news
            elif error.code() == self._end_of_partition:
                self.caught_up = True
            elif error.fatal():
                raise self._connection.explain(error, "the topic cannot be read", ReadFailedError)

    @property
    def fingerprint(self) -> str | None:
        """The request that is read, None as long as nothing is known of any. It stays.

        Raises
        ------
        RequestError
            If the topic holds several and none, or too short a name, was given.
        """
        known = self._controls.standing
        if self._asked in known:
            return self._asked
        names = [
            name
            for name, item in known.items()
            if name.startswith(self._asked) and (item.is_open or item.offset >= self._since)
        ]
        names = [name for name in names if not known[name].is_given_up] or names
        if len(names) > 1:
            raise RequestError(
                f"{self._connection.address.location!r} holds deliveries of {len(names)} requests",
                hint="choose one: " + ", ".join(f"fingerprint={name[:16]!r}" for name in names[:5]),
            )
        if not names:
            return None
        self._asked = names[0]
        return self._asked

    @property
    def standing(self) -> Standing | None:
        """What is known of that request."""
        name = self.fingerprint
        return None if name is None else self._controls.standing[name]

    @property
    def published(self) -> Published | None:
        """The manifest, once it is the last word of that request."""
        found = self.standing
        if found is None or found.is_open or found.published is None or not self.caught_up:
            return None
        return found.published if found.published.offset >= self._since else None

    @property
    def is_given_up(self) -> bool:
        """Whether the delivery was given up and nothing is left to wait for."""
        found = self.standing
        return bool(found and found.is_given_up and self.caught_up and not self.published)

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts that were announced last."""
        found = self.standing
        return found.parts if found else ()

    def close(self) -> None:
        """Leave."""
        self._client.close()


def named(parts: list[Part]) -> str:
    """Return a text that names the first of `parts`."""
    texts = [
        f"{part.index}{f' of {part.output!r}' if part.output else ''}"
        f" ({part.file} [{part.entry_start}, {part.entry_stop}))"
        for part in parts[:_NAMED]
    ]
    more = f" and {len(parts) - _NAMED} more" if len(parts) > _NAMED else ""
    return ", ".join(texts) + more
