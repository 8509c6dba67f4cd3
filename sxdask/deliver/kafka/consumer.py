"""Read a delivery back from its topic, partition by partition, while it is made or after.

Completeness is not guessed: the announcement says which partitions will come,
the manifest which attempts count and where they lie.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from sxdask.core.errors import DeliveryError, FileMissingError, ReadFailedError, RequestError
from sxdask.deliver.kafka.address import Address, KafkaOptions
from sxdask.deliver.kafka.assemble import Arrived, Assembler, Counts
from sxdask.deliver.kafka.broker import Connection
from sxdask.deliver.kafka.topic import Topic
from sxdask.deliver.kafka.watch import Watch, named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sxdask.core.errors import SxdaskError
    from sxdask.deliver.kafka.controls import Published
    from sxdask.deliver.kafka.messages import Place
    from sxdask.deliver.part import Part

Start: TypeAlias = Literal["beginning", "end"]

_POLL_S = 0.1
_LOOK_S = 1.0  # how often a reader that waits for the manifest looks whether data still comes
# A broker may have to load what it tells of a partition's end; only then is a gap a gap.
_GAP_S = 3.0


class Reader:
    """One reading of a topic; see `sxdask.consume` for the parameters."""

    def __init__(
        self,
        url: str,
        storage_options: Mapping[str, Any] | None = None,
        *,
        group: str | None = None,
        start: Start = "beginning",
        timeout_s: float = 60.0,
        committed: bool = True,
    ) -> None:
        if start not in {"beginning", "end"}:
            raise RequestError(f"from_ is {start!r}", hint="use 'beginning' or 'end'")
        address = Address.parse(url)
        self._connection = Connection(address, KafkaOptions.of(storage_options))
        self._topic = Topic(self._connection)
        self._group = group
        self._start = start
        self._timeout_s = timeout_s
        self._committed = committed
        self._client: Any = None
        self._watch: Watch | None = None
        self._starts: dict[int, int] = {}  # by partition of the topic, as are the next two
        self._positions: dict[int, int] = {}
        self._at_end: set[int] = set()
        self._assigned = False
        self._heard = time.monotonic()
        self.counts = Counts()
        self.published: Published | None = None
        self._assembler = Assembler(self.counts)

    @property
    def location(self) -> str:
        """The address of the topic."""
        return self._connection.address.location

    def __iter__(self) -> Iterator[Arrived]:
        """Yield partitions as they become whole.

        Raises
        ------
        FileMissingError
            If there is no topic, or nothing of the request in it, in time.
        ReadFailedError
            If partitions are missing when nothing has come for `timeout_s`, or
            when the manifest says that they were there; the delivery was
            given up; or the broker does not answer.
        """
        try:
            numbers = self._await_topic()
            at_end = self._start == "end"
            self._starts = {n: self._topic.bounds(n)[1] if at_end else 0 for n in numbers}
            self._watch = Watch(
                self._connection,
                self._connection.address.fingerprint,
                self._starts[0],
            )
            if self._committed:
                self._await_manifest(self._watch)
            self._open()
            yield from self._read(self._watch)
            if self.published is not None:
                yield from self._look_again(self.published)
                self._check(self.published)
        finally:
            self.close()

    def close(self) -> None:
        """Leave the group and the broker. May be repeated."""
        self._assembler.close()
        client, self._client = self._client, None
        if client is not None:
            client.close()
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.close()
        self._topic.close()

    def _await_topic(self) -> list[int]:
        while True:
            found = self._topic.describe(ReadFailedError)
            if found is not None:
                return list(range(found[1]))
            if self._is_late():
                raise FileMissingError(
                    f"there is no topic {self.location!r}", hint="was anything delivered there?"
                )
            time.sleep(_POLL_S)

    def _await_manifest(self, watch: Watch) -> None:
        """Wait for the manifest, as long as anything comes."""
        ends: list[int] = []
        looked = 0.0
        while True:
            if watch.poll(_POLL_S):
                self._heard = time.monotonic()
            if self._note(watch):
                return
            if time.monotonic() - looked > _LOOK_S:
                looked = time.monotonic()
                now = self._ends()
                if now != ends:
                    ends, self._heard = now, looked
            if self._is_late():
                raise self._unfinished(watch)

    def _ends(self) -> list[int]:
        """Return how far each partition goes; nothing while the broker is away."""
        with suppress(DeliveryError):
            return [self._topic.bounds(number)[1] for number in self._starts]
        return []

    def _note(self, watch: Watch) -> bool:
        """Learn from the watch which request it is, and return whether it is published."""
        if not watch.caught_up:
            return False
        self._assembler.fingerprint = watch.fingerprint
        if watch.is_given_up:
            raise ReadFailedError(
                f"the delivery to {self.location!r} was given up by who made it",
                hint="deliver again; partitions that were read are right as they are",
            )
        self.published = watch.published
        if self.published is not None and self._committed:
            accepted = self.published.accepted
            self._assembler.accepted = {key: attempt for key, (attempt, _) in accepted.items()}
        return self.published is not None

    def _unfinished(self, watch: Watch) -> SxdaskError:
        if watch.fingerprint is None:
            asked = self._connection.address.fingerprint
            return FileMissingError(
                f"no delivery{f' of {asked!r}' if asked else ''} in {self.location!r}"
                f" within {self._timeout_s:g} s",
                hint="is the address right, and did the delivery begin?",
            )
        present = self._present(watch)
        missing = [part for part in watch.parts if part.content_key not in present]
        text = f"partitions {named(missing)} are missing" if missing else "its manifest is missing"
        return ReadFailedError(
            f"nothing has come to {self.location!r} for {self._timeout_s:g} s and {text}",
            hint="see whether the delivery still runs, and read again with a longer timeout",
            missing=[part.index for part in missing],
        )

    def _present(self, watch: Watch) -> set[str]:
        """Return the content keys that are whole; in committed mode the topic is searched."""
        if not self._committed:
            return self._assembler.done
        search = Assembler(Counts())
        search.fingerprint = watch.fingerprint
        for number in self._starts:
            for message in self._topic.messages(number):
                search.add(message)
        return search.done

    def _open(self) -> None:
        """Begin to read data: all partitions, or those that the group gives."""
        kafka = self._connection.kafka
        topic = self._connection.address.topic
        reset = "latest" if self._start == "end" else "earliest"
        self._client = self._connection.consumer(
            group=self._group, auto_offset_reset=reset, fetch_wait_max_ms=100
        )
        if self._group is not None:
            self._client.subscribe([topic], on_assign=self._take, on_revoke=self._give)
            return
        wanted = dict(self._starts)
        if self.published is not None and self._committed:
            firsts = self._edges(self.published, first=True)
            wanted = {n: max(self._starts[n], at) for n, at in firsts.items()}
        self._positions = dict(wanted)
        self._assigned = True
        self._client.assign([kafka.TopicPartition(topic, n, at) for n, at in wanted.items()])

    def _take(self, client: Any, assigned: list[Any]) -> None:
        """Note where the group is in the partitions that it gives to this reader."""
        with self._connection.faults("offsets cannot be read", ReadFailedError):
            known = client.committed(assigned, timeout=self._timeout_s) if assigned else []
        for item in known:
            number = item.partition
            reset = self._topic.bounds(number)[1] if self._start == "end" else 0
            self._starts[number] = item.offset if item.offset >= 0 else reset
            self._positions[number] = self._starts[number]
        self._assigned = True

    def _give(self, _client: Any, revoked: list[Any]) -> None:
        self._save()
        for item in revoked:
            self._assembler.forget(item.partition)
            self._positions.pop(item.partition, None)
            self._at_end.discard(item.partition)

    def _read(self, watch: Watch) -> Iterator[Arrived]:
        self._heard = time.monotonic()
        while not self._is_done():
            arrived = self._next()
            if arrived is not None:
                yield arrived
                self._save()
                self._heard = time.monotonic()
            if self.published is None:
                if watch.poll():
                    self._heard = time.monotonic()
                if not self._note(watch) and self._is_late():
                    raise self._unfinished(watch)
            elif self._has_gap() or self._is_late():
                return

    def _next(self) -> Arrived | None:
        if self._assembler.fingerprint is None:
            time.sleep(_POLL_S)  # an announcement comes before any data
            return None
        message = self._client.poll(_POLL_S)
        if message is None:
            return None
        error = message.error()
        number = message.partition()
        if error is None:
            self._heard = time.monotonic()
            self._at_end.discard(number)
            arrived = self._assembler.add(message)
            self._positions[number] = message.offset() + 1
            return arrived
        if error.code() == self._connection.kafka.KafkaError._PARTITION_EOF:  # noqa: SLF001
            self._at_end.add(number)
            self._positions[number] = max(self._positions.get(number, 0), message.offset())
        elif error.fatal():
            raise self._connection.explain(error, "the topic cannot be read", ReadFailedError)
        return None

    def _save(self) -> None:
        """Tell the group what was read, so that its next reader goes on from there."""
        if self._group is None or self._client is None:
            return
        kafka = self._connection.kafka
        topic = self._connection.address.topic
        offsets = [
            kafka.TopicPartition(topic, number, self._assembler.settled(number, position))
            for number, position in self._positions.items()
            if position > self._starts[number]
        ]
        if offsets:
            with self._connection.faults("offsets cannot be stored", ReadFailedError):
                self._client.commit(offsets=offsets, asynchronous=False)

    def _edges(self, published: Published, *, first: bool) -> dict[int, int]:
        """Return by partition of the topic the first or the last offset that the manifest names."""
        found: dict[int, int] = {}
        for _, place in published.accepted.values():
            known = found.get(place.partition)
            at = place.first if first else place.last
            choose = min if first else max
            found[place.partition] = at if known is None else choose(known, at)
        return found

    def _is_done(self) -> bool:
        if self.published is None or not self._assigned:
            return False
        lasts = self._edges(self.published, first=False)
        return all(at > lasts.get(number, -1) for number, at in self._positions.items())

    def _has_gap(self) -> bool:
        """Whether every partition is read to its end, though the manifest names more."""
        if not self._assigned or time.monotonic() - self._heard < _GAP_S:
            return False
        return self._at_end >= self._positions.keys()

    def _is_late(self) -> bool:
        return time.monotonic() - self._heard > self._timeout_s

    def _missing(self, published: Published) -> list[tuple[Part, Place]]:
        """Return what the manifest names, is this reader's to read, and did not come."""
        parts = published.parts
        found = []
        for key, (_, place) in published.accepted.items():
            number = place.partition
            # Of a group, another reader has the partitions that were taken away.
            mine = number in (self._starts if self._group is None else self._positions)
            if mine and key not in self._assembler.done:
                found.append((parts[key], place))
        return found

    def _look_again(self, published: Published) -> Iterator[Arrived]:
        """Yield what was missed, from where the manifest says it is.

        A broker that dies may have shown messages that it had not stored yet,
        and gives their offsets to others when it is back.
        """
        for _, place in self._missing(published):
            if place.first < self._starts[place.partition]:
                continue
            for message in self._topic.messages(place.partition, place.first, place.last):
                arrived = self._assembler.add(message)
                if arrived is not None:
                    yield arrived
        self._save()

    def _check(self, published: Published) -> None:
        """Compare what came with what the manifest names."""
        gone = []
        for part, place in self._missing(published):
            if place.first >= self._starts[place.partition]:
                gone.append(part)
            elif self._group is None:
                self.counts.skipped += 1
        if gone:
            raise ReadFailedError(
                f"{len(gone)} partitions that the manifest in {self.location!r} names are not"
                f" there any more or damaged: {named(gone)}",
                hint="the topic's retention may be too short; deliver again",
                missing=[part.index for part in gone],
            )
