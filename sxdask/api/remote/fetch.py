"""Partitions of a remote request, several at a time, through the same window as local ones."""

from __future__ import annotations

import threading
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    import pyarrow as pa

    from sxdask.api.remote.queries import RemotePartition, RemoteQuery


def fetched(
    query: RemoteQuery, wanted: Sequence[RemotePartition], *, ordered: bool, at_once: int
) -> Generator[tuple[int, pa.Table]]:
    """Yield the place in `wanted` and the table of each partition.

    At most `at_once` partitions are on their way or wait to be taken.
    """
    from pyarrow import lib

    from sxdask.deliver.runners.threads import ThreadRunner
    from sxdask.deliver.stream import run_tasks

    readers: set[Any] = set()
    over = threading.Event()

    def fetch(place: RemotePartition) -> pa.Table:
        return query.read(place, readers, over)

    # Broken streams are read again by `query.read`, which knows the server; not twice.
    outcomes = run_tasks(
        fetch, wanted, runner=ThreadRunner(at_once), ordered=ordered, window=at_once, retries=0
    )
    with closing(outcomes):
        try:
            for outcome in outcomes:
                yield outcome.position, outcome.value
        finally:
            over.set()
            for reader in list(readers):
                with suppress(lib.ArrowException, OSError):
                    reader.cancel()
