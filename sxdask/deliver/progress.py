"""Progress of a run, in a terminal or a notebook: a reader of the event stream.

Nothing is computed here but rates; the counts are the fold of the events.
Shown on a terminal and in Jupyter, silent in files and pipes unless asked.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from html import escape
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, Self

from sxdask.core.events import Event, Progress, RunFinished, RunStarted, advance

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import TextIO

_REDRAW_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Status:
    """What one moment of a run looks like. Sizes are compressed megabytes read."""

    progress: Progress
    elapsed_s: float

    @property
    def fraction(self) -> float:
        """Share of partitions that ended, in [0, 1]."""
        total = self.progress.partitions
        return (self.progress.done + self.progress.failed) / total if total else 0.0

    @property
    def remaining_s(self) -> float | None:
        """Time left at the pace so far; None before there is a pace."""
        if not self.fraction:
            return None
        return self.elapsed_s * (1 - self.fraction) / self.fraction

    def line(self) -> str:
        """Return one line of text.

        Examples
        --------
        >>> Status(Progress(partitions=4, files=2, done=1, rows=10), 2.0).line()
        'files 0/2  partitions 1/4  events 0  rows 10  0.0 MB/s  0:06 left'
        """
        state, pace = self.progress, max(self.elapsed_s, 1e-9)
        megabytes = state.report.bytes_read / 1e6 / pace
        words = [
            f"files {state.files_done}/{state.files}",
            f"partitions {state.done}/{state.partitions}",
            f"events {_short(state.report.entries_in)}",
            f"rows {_short(state.rows)}",
            f"{megabytes:.1f} MB/s",
        ]
        if state.report.results_reused:
            words.insert(2, f"reused {state.report.results_reused}")
        if state.failed:
            words.insert(2, f"failed {state.failed}")
        if state.seconds is not None:
            words.append(f"in {_clock(state.seconds)}")
        elif self.remaining_s is not None:
            words.append(f"{_clock(self.remaining_s)} left")
        return "  ".join(words)

    def html(self) -> str:
        """Return the bar and the line for a notebook."""
        return (
            f'<progress max="1" value="{self.fraction:.4f}" style="width:20em"></progress> '
            f"<code>{escape(self.line())}</code>"
        )


class _Display(Protocol):
    def draw(self, status: Status) -> None: ...
    def close(self) -> None: ...


class ProgressBar:
    """Shows a run while its events go through `on_event`.

    Parameters
    ----------
    show
        True or False; by default shown if `file` is a terminal, or in Jupyter.
    file
        Where to, by default standard error: results go to standard output.

    Examples
    --------
    >>> from sxdask.core.events import RunFinished
    >>> with ProgressBar(show=False) as bar:
    ...     bar.on_event(RunFinished(1.0))
    >>> bar.progress.seconds
    1.0
    """

    def __init__(
        self,
        show: bool | None = None,  # noqa: FBT001 - the one thing that there is to say
        *,
        file: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.progress = Progress()
        self._file = sys.stderr if file is None else file
        self._show = show
        self._clock = clock
        self._began = self._drawn = clock()
        self._display: _Display | None = None

    def on_event(self, event: Event) -> None:
        """Take one event; redraws at most ten times a second."""
        self.progress = advance(self.progress, event)
        now = self._clock()
        if isinstance(event, RunStarted):
            self._began = now
        due = now - self._drawn >= _REDRAW_SECONDS
        if self._display is not None and (due or isinstance(event, RunStarted | RunFinished)):
            self._drawn = now
            self._display.draw(Status(self.progress, now - self._began))

    def __enter__(self) -> Self:
        if self._show is not False and in_notebook():
            self._display = _Notebook()
        elif self._show or (self._show is None and self._file.isatty()):
            self._display = _Terminal(self._file)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._display is not None:
            self._display.draw(Status(self.progress, self._clock() - self._began))
            self._display.close()
            self._display = None


def in_notebook() -> bool:
    """Return whether this is a Jupyter kernel; IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


class _Terminal:
    def __init__(self, file: TextIO) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn

        console = Console(file=file, highlight=False)
        self._bar = Progress(
            BarColumn(bar_width=24), TextColumn("{task.description}"), console=console
        )
        self._task = self._bar.add_task("", total=1.0)
        self._bar.start()

    def draw(self, status: Status) -> None:
        self._bar.update(self._task, completed=status.fraction, description=status.line())

    def close(self) -> None:
        self._bar.stop()


class _Notebook:
    def __init__(self) -> None:
        self._shown: Any = import_module("IPython.display")
        self._handle = self._shown.display(self._shown.HTML(""), display_id=True)

    def draw(self, status: Status) -> None:
        self._handle.update(self._shown.HTML(status.html()))

    def close(self) -> None:
        """Leave the last drawing in the notebook."""


def _short(number: int) -> str:
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 10 * size:
            return f"{number / size:.0f}{unit}"
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
