"""How a request runs: here or on a cluster, whole, as a stream, or into a destination."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import RequestError
from sxdask.core.events import Progress
from sxdask.pipeline.compile import Compiled, compile_plan, to_dask
from sxdask.pipeline.run import Run

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    import pyarrow as pa

    from sxdask.deliver.manifest import Manifest
    from sxdask.deliver.sink import Sink
    from sxdask.pipeline.source import Source
    from sxdask.plan.nodes import Plan


@dataclass(frozen=True, slots=True)
class Partition:
    """One piece of a result, as Arrow.

    Rows are the events of entries ``[entry_start, entry_stop)`` of `file` that
    passed the selection. `output` names the output tree where a request has
    several. `index` counts the partitions of one output.
    """

    index: int
    file: str
    entry_start: int
    entry_stop: int
    table: pa.Table
    output: str = ""


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

        Returns
        -------
        awkward.Array
            Records with one field per column, shape ``(num_rows,)``. A request
            with several output trees gives a dictionary of them.
        """
        run = self._run(client, scheduler, progress)
        return run.results()

    def stream(
        self,
        *,
        ordered: bool = False,
        client: Any = None,
        scheduler: Any = None,
        progress: Any = None,
    ) -> Generator[Partition]:
        """Yield partitions as Arrow tables as they finish, or in order.

        A consumer that is slow holds reading back; closing the iterator
        cancels what has not begun.
        """
        run = self._run(client, scheduler, progress)
        for name, piece, value in run.tables(ordered=ordered):
            yield Partition(
                index=piece.index,
                file=piece.url,
                entry_start=piece.entry_start,
                entry_stop=piece.entry_stop,
                table=value,
                output=name,
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
    ) -> Manifest:
        """Write one object per partition to a directory, URL or topic, all or nothing.

        The manifest is written last; before that, readers see nothing.

        Parameters
        ----------
        target
            Directory, fsspec URL, ``kafka://host:port/topic``, the URL of an installed
            sink, or a `Sink` object.
        format
            ``"arrow"`` (IPC file) or ``"parquet"``.
        overwrite
            Replace an earlier, different delivery in the same place.
        resume
            Keep what is stored if this run is cut off, and take up what an
            earlier one left.
        storage_options
            For the storage or broker of `target`, without secrets; by default
            those of the dataset where `target` is a storage.

        Raises
        ------
        RequestError
            If `target` holds another delivery and `overwrite` is off.
        """
        from sxdask.deliver.sink import open_sink, sink_name

        if isinstance(target, str | PathLike):
            if storage_options is None and sink_name(target) == "files":
                storage_options = self.source.storage_options
            sink = open_sink(
                target, format_name=format, overwrite=overwrite, storage_options=storage_options
            )
        else:
            sink = target
        run = self._run(client, scheduler, progress)
        return run.deliver(sink, format_name=format, resume=resume)

    @property
    def _compiled(self) -> Compiled:
        generation = self.source.generation
        if self._ready is None or self._ready[0] != generation:
            self._ready = generation, compile_plan(self.plan, self.source)
        return self._ready[1]

    def _run(self, client: Any, scheduler: Any, progress: Any) -> Run:
        facts = {"title": self.title, "language": self.language}
        self._last = Run(
            self._compiled,
            client=client,
            scheduler=scheduler,
            show=progress,
            facts={key: value for key, value in facts.items() if value},
        )
        return self._last

    @property
    def summary(self) -> Progress:
        """Partitions, rows, bytes and seconds of the last run; zeros before the first."""
        return Progress() if self._last is None else self._last.progress
