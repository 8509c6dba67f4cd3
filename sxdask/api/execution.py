"""How a request runs: here or on a cluster, whole, as a stream, or into a destination."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

from sxdask.api.stream import Stream
from sxdask.core.errors import RequestError
from sxdask.core.events import Progress
from sxdask.pipeline.compile import Compiled, compile_plan, to_dask
from sxdask.pipeline.run import Run
from sxdask.requests.quantity import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.deliver.failures import FailureReport
    from sxdask.deliver.manifest import Manifest
    from sxdask.deliver.sink import Sink
    from sxdask.deliver.stream import OnError
    from sxdask.pipeline.source import Source
    from sxdask.plan.nodes import Plan


class Execution:
    """What a `Query` can do with its plan once it is complete."""

    def __init__(self, source: Source, plan: Plan, *, title: str, language: str) -> None:
        self.source = source
        self.plan = plan
        self.title = title
        self.language = language
        self._last: Run | None = None
        self._ready: tuple[int, Compiled] | None = None

    def dask(self) -> Any:
        """Return the result as a lazy dask-awkward array, one task per partition.

        Code that goes on from it keeps the pushdown: branches that only
        outputs need which the code never touches are not read.

        Returns
        -------
        dask_awkward.Array
            Records with one field per column. A request with several output
            trees gives a dictionary of them.
        """
        return to_dask(self._compiled)

    def compute(
        self,
        client: Any = None,
        *,
        scheduler: Any = None,
        progress: Any = None,
        memory: str | int | None = None,
        cache: bool = True,
    ) -> Any:
        """Run the request and return all rows, in dataset order.

        Parameters
        ----------
        client
            A distributed Client; by default the active one, else threads here.
        scheduler
            ``"sync"``, ``"threads"``, ``"processes"`` or a dask ``get``
            function, in place of a client.
        progress
            True for a progress bar, or a function that gets every event.
        memory
            Most bytes of partitions that are read at once, ``"2GB"`` or a
            number, beside the result; by default half of the memory there is.
        cache
            False computes everything anew and keeps nothing of it.

        Returns
        -------
        awkward.Array
            Records with one field per column, shape ``(num_rows,)``. A request
            with several output trees gives a dictionary of them.
        """
        run = self._run(client, scheduler, progress, self._memory(memory), cache=cache)
        return run.results()

    def stream(  # noqa: PLR0913 - the options of a stream, by keyword
        self,
        *,
        ordered: bool = False,
        client: Any = None,
        scheduler: Any = None,
        progress: Any = None,
        memory: str | int | None = None,
        on_error: OnError = "raise",
        max_failed: float | None = None,
        cache: bool = True,
    ) -> Stream:
        """Return the partitions as Arrow tables, as they finish or in order.

        A consumer that is slow holds reading back; closing the stream cancels
        what has not begun.

        Parameters
        ----------
        ordered
            In the order of the dataset, in place of as they finish.
        client, scheduler, progress
            As for `compute`.
        memory
            Most bytes of partitions in flight, ``"2GB"`` or a number; by
            default half of the memory of this machine. A partition that alone
            is larger runs alone. It bounds each worker process as well, below
            the worker's own limit.
        on_error
            ``"raise"`` ends the stream with the first partition that fails,
            ``"skip"`` leaves it out; `failures` says which and why.
        max_failed
            With ``"skip"``: most partitions that may fail, as a number or as a
            share from 0.0 to 1.0 of all; by default any but all.
        cache
            As for `compute`.

        Returns
        -------
        Stream
            An iterator of `Partition`, also for ``async for``; a source of
            Arrow record batches for other tools.
        """
        from sxdask.deliver.failures import check_policy

        check_policy(on_error, max_failed)
        limit = self._memory(memory)
        return Stream(
            lambda: self._run(
                client, scheduler, progress, limit, cache=cache, max_failed=max_failed
            ),
            ordered=ordered,
            on_error=on_error,
        )

    def deliver(  # noqa: PLR0913 - the options of a delivery, by keyword
        self,
        target: str | PathLike[str] | Sink,
        format: str = "arrow",  # noqa: A002  the word users know
        *,
        client: Any = None,
        scheduler: Any = None,
        progress: Any = None,
        overwrite: bool = False,
        resume: bool = False,
        storage_options: Mapping[str, Any] | None = None,
        cache: bool = True,
        memory: str | int | None = None,
        compression: str | None = None,
        merge: str | int | None = None,
        on_error: OnError = "raise",
        max_failed: float | None = None,
    ) -> Manifest:
        """Write one object per partition to a directory, URL or topic, all or nothing.

        The manifest is written last; before that, readers see nothing.

        Parameters
        ----------
        target
            Directory, fsspec URL, ``kafka://host:port/topic``, the URL of an installed
            sink, or a `Sink` object.
        format
            ``"arrow"`` (IPC file), ``"parquet"``, ``"root-file"`` (TTrees) or
            ``"root-rntuple"``.
        overwrite
            Replace an earlier, different delivery in the same place.
        resume
            Keep what is stored if this run is cut off, and take up what an
            earlier one left.
        storage_options
            For the storage or broker of `target`, without secrets; by default
            those of the dataset if its files are in the same kind of storage.
        cache
            As for `compute`.
        memory
            As for `stream`: a slow destination holds reading back.
        compression
            One that the format has, such as ``"zstd"``, with a level if you
            like: ``"zstd:9"``. By default LZ4 for Arrow and ZSTD for the others.
        merge
            ``"file"`` for one object per input file with all outputs in it, or
            the size that objects should have (``"256 MB"``), for partitions
            joined until they may reach it.

        on_error
            ``"raise"`` ends the delivery with the first partition that fails,
            and nothing is published. ``"skip"`` publishes the others; the
            manifest is ``partial``, names those that failed, and the same call
            later computes them alone.
        max_failed
            With ``"skip"``: most objects that may fail, as a number or as a
            share from 0.0 to 1.0 of all; by default any but all.

        Raises
        ------
        RequestError
            If `target` holds another delivery and `overwrite` is off, or the
            format cannot hold a column.
        PartitionFailedError
            If more failed than may be skipped. The context of this and of any
            other error of a partition has a `FailureReport` as ``report``.
        """
        from sxdask.deliver.failures import check_policy
        from sxdask.deliver.format import format_text
        from sxdask.deliver.sink import open_sink, sink_name

        check_policy(on_error, max_failed)
        text = format_text(format, compression)
        if isinstance(target, str | PathLike):
            if storage_options is None and sink_name(target) == "files":
                storage_options = self._options_of(str(target))
            sink = open_sink(
                target, format_name=text, overwrite=overwrite, storage_options=storage_options
            )
        else:
            sink = target
            text = getattr(sink, "format_name", text)
        limit = self._memory(memory)
        run = self._run(client, scheduler, progress, limit, cache=cache, max_failed=max_failed)
        return run.deliver(sink, format_name=text, resume=resume, merge=merge, on_error=on_error)

    @property
    def _compiled(self) -> Compiled:
        generation = self.source.generation
        if self._ready is None or self._ready[0] != generation:
            self._ready = generation, compile_plan(self.plan, self.source)
        return self._ready[1]

    def _options_of(self, target: str) -> dict[str, Any]:
        """Return the dataset's options if they mean something to the storage of `target`."""
        same = target.partition("://")[0] == self.source.files.urls[0].partition("://")[0]
        return self.source.storage_options if same and "://" in target else {}

    def _memory(self, memory: str | int | None) -> int:
        """Return the stated budget in bytes, 0 if none is."""
        if memory is None:
            return self.source.settings.memory_budget
        limit = parse_bytes(memory)
        if limit < 1:
            raise RequestError(f"memory is {memory!r}", hint="write it like 500 MB or 2 GB")
        return limit

    def _run(
        self,
        client: Any,
        scheduler: Any,
        progress: Any,
        memory: int = 0,
        *,
        cache: bool = True,
        max_failed: float | None = None,
    ) -> Run:
        facts = {"title": self.title, "language": self.language}
        self._last = Run(
            self._compiled,
            client=client,
            scheduler=scheduler,
            show=progress,
            memory=memory,
            cache=cache,
            max_failed=max_failed,
            facts={key: value for key, value in facts.items() if value},
        )
        return self._last

    @property
    def summary(self) -> Progress:
        """Partitions, rows, bytes and seconds of the last run; zeros before the first."""
        return Progress() if self._last is None else self._last.progress

    @property
    def failures(self) -> FailureReport:
        """The partitions that failed in the last run, by cause; empty before the first."""
        from sxdask.deliver.failures import FailureReport

        return FailureReport() if self._last is None else self._last.failures
