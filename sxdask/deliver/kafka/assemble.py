"""Messages become partitions: whole attempts once, torn and repeated ones not at all.

The rule that any reader can follow: collect messages by key and attempt; an
attempt is whole when it has every number of its sequence; of each key the
first whole attempt counts (or the one that the manifest names), the others are
the same rows again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sxdask.deliver.kafka.broker import text
from sxdask.deliver.kafka.messages import Header, part_of_table, table_of
from sxdask.deliver.manifest import checksum

if TYPE_CHECKING:
    import pyarrow as pa

    from sxdask.deliver.part import Part


@dataclass(slots=True)
class Counts:
    """What a reader of a topic has met.

    Attributes
    ----------
    messages, bytes
        Messages of the request, and bytes of their values.
    partitions, rows
        What was handed out.
    duplicates
        Whole attempts at a partition that was there already, and attempts
        that the manifest does not name.
    torn
        Attempts that never became whole: a worker died, or a message is
        damaged.
    damaged
        Messages whose checksum differs.
    skipped
        Partitions that were, at least in part, in the topic before the reader
        began (``from_="end"``).
    foreign
        Messages of other requests, and those that are not ours.
    """

    messages: int = 0
    bytes: int = 0
    partitions: int = 0
    rows: int = 0
    duplicates: int = 0
    torn: int = 0
    damaged: int = 0
    skipped: int = 0
    foreign: int = 0


@dataclass(frozen=True, slots=True)
class Arrived:
    """A whole partition, and the topic's partition and last offset that completed it."""

    part: Part
    table: pa.Table
    attempt: str
    partition: int
    offset: int


@dataclass(slots=True)
class _Attempt:
    partition: int
    first: int
    total: int
    values: dict[int, bytes] = field(default_factory=dict)


class Assembler:
    """Collects the messages of one request. `fingerprint` may be set later than made.

    With `accepted`, attempts by content key, nothing else is handed out.
    """

    def __init__(self, counts: Counts, accepted: dict[str, str] | None = None) -> None:
        self.fingerprint: str | None = None
        self.counts = counts
        self.accepted = accepted
        self.done: set[str] = set()
        self._open: dict[tuple[str, str], _Attempt] = {}
        self._others: dict[tuple[str, str], int] = {}

    def add(self, message: Any) -> Arrived | None:
        """Take a message; return the partition that it makes whole.

        Raises
        ------
        DataError
            If a message of the request is no Arrow stream, or of a newer version.
        """
        header = Header.parse(message.headers())
        if header is None or header.fingerprint != self.fingerprint:
            self.counts.foreign += 1
            return None
        if header.kind != "batch":
            return None
        value = bytes(message.value() or b"")
        self.counts.messages += 1
        self.counts.bytes += len(value)
        key, name = text(message.key()), header.attempt
        if checksum(value) != header.checksum:
            self.counts.damaged += 1
            return None
        if not self._is_wanted(key, header):
            return None
        open_now = self._open.setdefault(
            (key, name), _Attempt(message.partition(), message.offset(), header.total)
        )
        open_now.values[header.number] = value
        if len(open_now.values) < open_now.total:
            return None
        del self._open[key, name]
        return self._finish(key, message, header, open_now)

    def _is_wanted(self, key: str, header: Header) -> bool:
        """Return whether the attempt may count; count it if not."""
        other = self.accepted is not None and self.accepted.get(key) != header.attempt
        if not other and key not in self.done:
            return True
        seen = self._others.get((key, header.attempt), 0) + 1
        if seen < header.total:
            self._others[key, header.attempt] = seen
        else:
            self._others.pop((key, header.attempt), None)
            self.counts.duplicates += 1
        return False

    def _finish(self, key: str, message: Any, header: Header, found: _Attempt) -> Arrived:
        table = table_of([found.values[number] for number in range(1, found.total + 1)])
        self.done.add(key)
        for other in [name for name in self._open if name[0] == key]:  # tries that were cut off
            self._others[other] = len(self._open.pop(other).values)
        self.counts.partitions += 1
        self.counts.rows += table.num_rows
        return Arrived(
            part_of_table(table), table, header.attempt, message.partition(), message.offset()
        )

    def forget(self, partition: int) -> None:
        """Drop what was begun in a partition of the topic that another reader has now."""
        for name in [name for name, item in self._open.items() if item.partition == partition]:
            del self._open[name]

    def settled(self, partition: int, position: int) -> int:
        """Return the offset before which nothing of a topic's partition is needed any more."""
        firsts = [item.first for item in self._open.values() if item.partition == partition]
        return min([position, *firsts])

    def close(self) -> None:
        """Count what never became whole."""
        self.counts.torn += len(self._open) + len(self._others)
        self._open.clear()
        self._others.clear()
