"""Progress shows the fold of the events, on a terminal and in a notebook, else nothing."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest

from sxdask.core.events import (
    PartitionDone,
    PartitionFailed,
    Progress,
    ReadReport,
    RunFinished,
    RunStarted,
)
from sxdask.deliver.progress import ProgressBar, Status

REPORT = ReadReport(entries_in=500_000, bytes_read=20_000_000)
EVENTS = [
    RunStarted(4, 2, 2_000_000, 80_000_000),
    PartitionDone(0, "a.root", 1200, REPORT),
    PartitionDone(1, "a.root", 1300, REPORT, last_of_file=True),
    PartitionFailed(2, "b.root", "SX302", "corrupt"),
    PartitionDone(3, "b.root", 0, REPORT, last_of_file=True),
    RunFinished(8.0),
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def show(events, file, show=None):
    ticks = iter(range(100))
    with ProgressBar(show, file=file, clock=lambda: float(next(ticks))) as bar:
        for event in events:
            bar.on_event(event)
    return bar


def test_a_terminal_shows_files_partitions_events_speed_and_time():
    file = Terminal()
    show(EVENTS, file)
    text = file.getvalue()
    for word in ("files 2/2", "partitions 3/4", "failed 1", "events 1.5M", "rows 2.5k", "in 0:08"):
        assert word in text


def test_pipes_and_files_stay_silent_unless_asked():
    file = io.StringIO()
    bar = show(EVENTS, file)
    assert file.getvalue() == ""
    assert bar.progress.done == 3
    show(EVENTS, file, show=True)
    assert "partitions 3/4" in file.getvalue()


def test_a_terminal_can_be_silenced():
    file = Terminal()
    show(EVENTS, file, show=False)
    assert file.getvalue() == ""


@pytest.mark.parametrize(
    ("done", "elapsed", "left"), [(0, 5.0, None), (1, 5.0, 15.0), (2, 5.0, 5.0), (4, 5.0, 0.0)]
)
def test_the_time_left_follows_the_pace(done, elapsed, left):
    assert Status(Progress(partitions=4, done=done), elapsed).remaining_s == left


def test_speed_is_of_bytes_that_were_read():
    progress = Progress(partitions=1, done=1, report=REPORT)
    assert "10.0 MB/s" in Status(progress, 2.0).line()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "in 0:00"), (61, "in 1:01"), (3723, "in 1:02:03")]
)
def test_long_runs_show_hours(seconds, text):
    assert text in Status(Progress(seconds=seconds), 1.0).line()


def test_nothing_to_do_is_no_division_by_zero():
    assert "partitions 0/0" in Status(Progress(), 0.0).line()


def test_rich_is_imported_only_to_show():
    code = (
        "import sys; from sxdask.deliver.progress import ProgressBar\n"
        "with ProgressBar() as bar: pass\n"
        "sys.exit('rich' in sys.modules or 'IPython' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_notebook_gets_one_display_that_is_updated(monkeypatch):
    ipython = pytest.importorskip("IPython")
    display = pytest.importorskip("IPython.display")
    shown = []

    class Handle:
        def update(self, html):
            shown.append(html.data)

    class Kernel:
        kernel = object()

    monkeypatch.setattr(ipython, "get_ipython", Kernel)
    monkeypatch.setattr(display, "display", lambda *_args, **_options: Handle())
    show(EVENTS, io.StringIO())
    assert '<progress max="1" value="1.0000"' in shown[-1]
    assert "partitions 3/4" in shown[-1]
    assert not any("<script" in html for html in shown)
