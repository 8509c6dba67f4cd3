"""Read a delivery back from a Kafka topic, while it is made or afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from sxdask.api.stream import Partition
    from sxdask.deliver.kafka.assemble import Counts
    from sxdask.deliver.kafka.consumer import Reader
    from sxdask.deliver.manifest import Manifest


class Consumption:
    """An iterator of partitions; what it met on the way is in `counts`.

    It ends when every partition that the manifest names was handed out. Leave
    it with ``close()``, or use it as a context manager.
    """

    def __init__(self, reader: Reader, storage_options: Mapping[str, Any] | None) -> None:
        self._reader = reader
        self._options = dict(storage_options or {})
        self._arrived = iter(reader)

    def __iter__(self) -> Iterator[Partition]:
        return self

    def __next__(self) -> Partition:
        from sxdask.api.stream import Partition

        found = next(self._arrived)
        part = found.part
        return Partition(
            index=part.index,
            file=part.file,
            entry_start=part.entry_start,
            entry_stop=part.entry_stop,
            table=found.table,
            output=part.output,
        )

    @property
    def counts(self) -> Counts:
        """Messages, partitions, duplicates and torn attempts so far."""
        return self._reader.counts

    @property
    def manifest(self) -> Manifest | None:
        """The manifest, as soon as it was read."""
        found = self._reader.published
        return None if found is None else found.manifest(self._reader.location, self._options)

    def close(self) -> None:
        """Leave the group and the broker. May be repeated."""
        self._arrived.close()  # type: ignore[attr-defined]  # it is a generator
        self._reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def consume(
    url: str,
    *,
    fingerprint: str | None = None,
    group: str | None = None,
    from_: Literal["beginning", "end"] = "beginning",
    committed: bool = True,
    timeout: float = 60.0,
    storage_options: Mapping[str, Any] | None = None,
) -> Consumption:
    """Yield the partitions of a delivery in a Kafka topic, each once.

    Parameters
    ----------
    url
        ``kafka://host:port[,host:port]/topic``.
    fingerprint
        The request, or the beginning of its name; needed if the topic holds
        several.
    group
        Share the partitions with other readers of this name, and go on where
        the group stopped; by default this reader gets all.
    from_
        ``"end"`` for a delivery that is about to begin.
    committed
        Wait for the manifest and yield exactly what it names. Otherwise a
        partition is yielded as soon as it is whole, which may be long before
        the delivery is complete; should that fail, it says so at the end.
    timeout
        Seconds without any news of the delivery after which to give up.
    storage_options
        As for `Query.deliver`.

    Returns
    -------
    Consumption
        An iterator of `Partition`, in the order of the topic.

    Raises
    ------
    RequestError
        If the address is none, or several requests are there and none is named.
    FileMissingError
        If there is no topic, or no delivery in it, in time.
    ReadFailedError
        While iterating: if partitions are missing, which it names.
    """
    from sxdask.deliver.kafka.consumer import Reader

    chosen = url if fingerprint is None else f"{url.partition('?')[0]}?fingerprint={fingerprint}"
    reader = Reader(
        chosen,
        storage_options,
        group=group,
        start=from_,
        timeout_s=timeout,
        committed=committed,
    )
    return Consumption(reader, storage_options)
