"""One execution of a compiled plan: tasks in, values and events out."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing, contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from sxdask.core.errors import EmptyDatasetError, RequestError, StaleIndexError
from sxdask.core.events import Event, Progress, RunFinished, RunStarted, advance
from sxdask.pipeline.compile import require_tables
from sxdask.pipeline.labels import labels_of
from sxdask.pipeline.layout import layout_of, source_of
from sxdask.pipeline.outputs import output_tables
from sxdask.pipeline.reuse import reuse
from sxdask.pipeline.shown import OnEvent, shown
from sxdask.pipeline.whole import whole_result

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import awkward as ak
    import pyarrow as pa

    from sxdask.core.errors import SxdaskError
    from sxdask.deliver.budget import Budget
    from sxdask.deliver.failures import FailureReport, Tally
    from sxdask.deliver.manifest import Manifest
    from sxdask.deliver.sink import Sink
    from sxdask.deliver.stream import OnError
    from sxdask.deliver.tasks import Labels
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.compile import Compiled
    from sxdask.pipeline.layout import Merge
    from sxdask.pipeline.source import Source
    from sxdask.rootio.model import Piece


class Run:
    """Drive the partitions of a compiled plan, on a cluster or here.

    `progress` folds the events so far. `show` is True for a progress bar, or
    a function that gets every event. `facts` (title, language) go into the
    schema of every table. `memory` is the most that partitions in flight may
    take, in bytes; 0 is a part of what this machine has. `budget` counts them.
    Without `cache` nothing that was kept is used, and nothing is kept.
    `max_failed` is how many partitions may be skipped, as for `Tally`, and
    `failures` says which were.
    """

    def __init__(  # noqa: PLR0913 - the options of a run, by keyword
        self,
        compiled: Compiled,
        *,
        client: Any = None,
        scheduler: Any = None,
        show: Literal[True] | OnEvent | None = None,
        facts: Mapping[str, str] | None = None,
        cache: bool = True,
        memory: int = 0,
        max_failed: float | None = None,
    ) -> None:
        self._reuse = reuse(compiled, facts or {}, enabled=cache)
        self._compiled = self._reuse.compiled
        self._client = client
        self._scheduler = scheduler
        self._show = show
        self._facts = dict(facts or {})
        self._memory = memory
        self._max_failed = max_failed
        self._tally: Tally | None = None
        self.budget: Budget | None = None
        self.progress = Progress()

    @property
    def failures(self) -> FailureReport:
        """The partitions that failed so far, by cause."""
        from sxdask.deliver.failures import FailureReport

        return FailureReport() if self._tally is None else self._tally.report

    def results(self) -> Any:
        """Return the rows of every output in dataset order, or what a reduction makes of them."""
        return whole_result(self._reuse, self._computed, self._tell)

    def _computed(self) -> Any:
        require_tables(self._compiled.plan)
        if any(table.output.reduction is not None for table in self._compiled.tables):
            return self._reduced()
        if self._function is not None:
            return self._called(self._function)
        return self._by_file() if self._compiled.plan.by_file else self._arrays()

    @property
    def _function(self) -> Lowered | None:
        """The table of a request that is a Python function."""
        found = [table for table in self._compiled.tables if table.output.function is not None]
        return found[0] if found else None

    def _called(self, table: Lowered) -> ak.Array | dict[str, ak.Array]:
        from sxdask.deliver.tasks import ResultsTask
        from sxdask.graph.outputs import join_results

        parts: dict[int, tuple[str, Any]] = {}
        for _, piece, value in self._values({0: ResultsTask(table.reader)}):
            parts[piece.index] = (piece.url, value.results)
        return join_results([parts[index] for index in sorted(parts)])

    def _reduced(self) -> Any:
        from sxdask.deliver.cache_reader import fold_task
        from sxdask.graph.fold import fold_of

        (table,) = self._compiled.tables
        assert table.output.reduction is not None  # noqa: S101  narrows for the type checker
        fold = fold_of(table.output.reduction)
        state: Any = None
        folded = self._values({0: fold_task(table.reader, fold)})
        for count, (_, _, value) in enumerate(folded):
            state = fold.join(state, value.state) if count else value.state
        if not table.pieces:
            state = fold.rows(table.reader.mock_empty())
        return fold.result(state)

    def _arrays(self) -> ak.Array | dict[str, ak.Array]:
        from sxdask.deliver.tasks import ArrayTask
        from sxdask.graph.join import join

        tables = self._compiled.tables
        parts: list[dict[int, ak.Array]] = [{} for _ in tables]
        tasks = [ArrayTask(table.reader) for table in tables]
        for number, piece, value in self._values(dict(enumerate(tasks))):
            parts[number][piece.index] = value.array
        found: dict[str, list[ak.Array]] = {}
        for table, some in zip(tables, parts, strict=True):
            rows = [some[index] for index in sorted(some)] or [table.reader.mock_empty()]
            found.setdefault(table.output.name, []).extend(rows)
        whole = {name: join(rows) for name, rows in found.items()}
        return whole if self._compiled.is_several else next(iter(whole.values()))

    def _by_file(self) -> pa.Table | list[pa.Table]:
        """Return the rows of each file as one table, in dataset order; of one file that table."""
        from sxdask.deliver.encode import join, no_rows, schema_from_text

        files: dict[str, dict[int, pa.Table]]
        files = {url: {} for url in self._compiled.source.urls}
        for _, piece, rows in self.tables():
            files[piece.url][piece.index] = rows
        (table,) = self._compiled.tables
        empty = no_rows(schema_from_text(self._labels(table).schema(table.reader)))
        found = [
            join([parts[index] for index in sorted(parts)]) if parts else empty
            for parts in files.values()
        ]
        return found if len(found) > 1 else found[0]

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs, in the order of the plan."""
        return tuple(self._outputs)

    def schema(self, output: str) -> pa.Schema:
        """Return the schema that all tables of `output` have."""
        from sxdask.deliver.encode import schema_from_text

        table = self._outputs[output]
        return schema_from_text(self._labels(table).schema(table.reader))

    @cached_property
    def _outputs(self) -> dict[str, Lowered]:
        """The table of each output; a function is called to learn what it gives."""
        from sxdask.deliver.runner import choose_runner

        self._require_rows()
        self._require_some()
        tables = self._compiled.tables
        if self._function is not None:
            runner = choose_runner(self._client, self._scheduler)
            tables = output_tables(self._function, runner, keep=False)[0]
        return {table.output.name: table for table in tables}

    def tables(
        self,
        *,
        ordered: bool = False,
        output: str | None = None,
        on_error: OnError = "raise",
        cancel: threading.Event | None = None,
    ) -> Iterator[tuple[str, Piece, pa.Table]]:
        """Yield the partitions as Arrow tables, with the name of their output.

        Parameters
        ----------
        ordered
            In the order of the dataset, in place of as they finish.
        output
            The one to compute; None is all of them.
        on_error, cancel
            As for `run_tasks`; partitions that fail are left out with ``"skip"``.
        """
        from sxdask.deliver.tasks import ResultsTask, TableTask

        require_tables(self._compiled.plan)
        self._require_rows()
        how: Any = {"ordered": ordered, "on_error": on_error, "cancel": cancel}
        tables = self._compiled.tables
        if self._function is not None:
            labels = self._labels(self._function)
            calls = {0: ResultsTask(self._function.reader, labels)}
            for _, piece, value in self._values(calls, **how):
                for name in list(value.results):
                    rows = value.results.pop(name)
                    if output in {None, name}:
                        yield name, piece, rows
                    del rows
                del value
            return
        tasks = {
            number: TableTask(table.reader, self._labels(table))
            for number, table in enumerate(tables)
            if output in {None, table.output.name}
        }
        for number, piece, value in self._values(tasks, **how):
            yield tables[number].output.name, piece, value.table
            del value  # or its table would live on while the next one is waited for

    def deliver(
        self,
        sink: Sink,
        *,
        format_name: str,
        resume: bool,
        merge: Merge = None,
        on_error: OnError = "raise",
    ) -> Manifest:
        """Store every partition in `sink` from the workers and publish all of them at once.

        With `resume` what a cut-off run stored is taken up, and kept if this
        one is cut off too. `format_name` may say how to compress
        (`sxdask.deliver.format.format_text`); `merge` is as in `layout_of`.
        """
        from sxdask.deliver.delivery import Options, deliver
        from sxdask.deliver.runner import choose_runner

        self._require_rows()
        compiled = self._compiled
        layout = layout_of(compiled, merge, format_name, sink)
        runner = choose_runner(self._client, self._scheduler)
        tables = compiled.tables
        if self._function is not None:
            tables = output_tables(self._function, runner)[0]
        sources = [source_of(table, self._labels(table, format_name)) for table in tables]
        kept = self._reuse.running(lease=True, resumable=resume)
        with kept, renewing(compiled.source) as note, shown(self._show) as show:
            options = Options(
                runner=runner,
                on_error=on_error,
                max_failed=self._max_failed,
                on_failed=lambda _, error: note(error),
                on_tally=self._watch,
                ledger_dir=compiled.source.settings.cache_dir / "ledgers",
                keep=resume,
                memory=self._memory,
                on_event=lambda event: self._emit(event, show),
                on_learned=compiled.source.learn,
            )
            title = self._facts.get("title", "")
            return deliver(sources, sink, options, title=title, layout=layout)

    def _require_rows(self) -> None:
        if any(table.output.reduction is not None for table in self._compiled.tables):
            raise RequestError(
                "the request reduces all rows to one result, so there are no partitions of rows",
                hint="take the result with compute()",
            )

    def _require_some(self) -> None:
        source = self._compiled.source
        if not self._compiled.tables:
            raise EmptyDatasetError(
                f"no file of {source.files.name!r} has a tree that the request names",
                hint=f"the first file has {', '.join(map(repr, source.trees))}",
            )

    def _values(
        self,
        tasks: Mapping[int, Callable[[Piece], Any]],
        *,
        ordered: bool = False,
        on_error: OnError = "raise",
        cancel: threading.Event | None = None,
    ) -> Iterator[tuple[int, Piece, Any]]:
        """Yield the number of the table, the piece and its value, as partitions finish.

        `tasks` are by the number of the table.
        """
        from sxdask.deliver.budget import Budget
        from sxdask.deliver.failures import Tally
        from sxdask.deliver.manifest import Failure
        from sxdask.deliver.runner import choose_runner
        from sxdask.deliver.stream import run_tasks
        from sxdask.deliver.tasks import OutputTask, partition_event

        tables = self._compiled.tables
        items = [(str(n), piece) for n in tasks for piece in tables[n].pieces]
        left = Counter(piece.url for _, piece in items)
        task = OutputTask({str(number): task for number, task in tasks.items()})
        runner = choose_runner(self._client, self._scheduler)
        began = time.perf_counter()
        tally = Tally(len(items), on_error, self._max_failed)
        self._watch(tally)
        renewed = renewing(self._compiled.source)
        with self._reuse.running(), renewed as note, shown(self._show) as show:
            self._emit(self._started(tasks), show)
            self.budget = Budget(self._memory)
            outcomes: Any = run_tasks(
                task,
                items,
                runner=runner,
                ordered=ordered,
                on_error="skip",  # the tally knows what the run may bear
                cancel=cancel,
                budget=self.budget,
            )
            with closing(outcomes):
                for outcome in outcomes:
                    number, piece = items[outcome.position]
                    left[piece.url] -= 1
                    event = partition_event(piece, outcome, last_of_file=not left[piece.url])
                    if outcome.error is not None:
                        note(outcome.error)
                        part = self._labels(tables[int(number)]).part(piece)
                        failure = Failure.of(part, outcome.error, outcome.attempts)
                        tally.add(failure, outcome.error)
                        self._emit(event, show)
                        continue
                    self._emit(event, show)
                    value: Any = outcome.value
                    self._compiled.source.learn(piece, value.learned)
                    yield int(number), piece, value
                    del outcome, value  # or they would live on while the next is waited for
            tally.finish()
            self._emit(RunFinished(time.perf_counter() - began), show)

    def _watch(self, tally: Tally) -> None:
        self._tally = tally

    def _started(self, numbers: Iterable[int]) -> RunStarted:
        tables = [self._compiled.tables[number] for number in numbers]
        return RunStarted(
            partitions=sum(len(table.pieces) for table in tables),
            files=len({piece.url for table in tables for piece in table.pieces}),
            entries=sum(piece.num_entries for table in tables for piece in table.pieces),
            bytes_to_read=sum(table.bytes_to_read for table in tables),
        )

    def _labels(self, table: Lowered, format_name: str = "arrow") -> Labels:
        return labels_of(self._compiled, table, self._facts, format_name)

    def _tell(self, events: Iterable[Event]) -> None:
        with self._reuse.running(), shown(self._show) as show:
            for event in events:
                self._emit(event, show)

    def _emit(self, event: Event, show: OnEvent | None) -> None:
        self.progress = advance(self.progress, event)
        self._reuse.note(event)
        if show is not None:
            show(event)


@contextmanager
def renewing(source: Source) -> Iterator[Callable[[SxdaskError], None]]:
    """Forget the indexes of files that prove to have changed, so that the next run is right.

    Gives the function that hears of the errors of partitions that are skipped.
    """
    stale: list[StaleIndexError] = []

    def note(error: SxdaskError) -> None:
        if isinstance(error, StaleIndexError):
            stale.append(error)

    try:
        yield note
    except StaleIndexError as error:
        note(error)
        raise
    finally:
        for item in stale:
            source.renew(item.context["file"], item.context["tree"])
