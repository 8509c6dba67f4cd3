"""Who is told of the events of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

from sxdask.core.events import Event

OnEvent = Callable[[Event], None]


@contextmanager
def shown(show: Literal[True] | OnEvent | None) -> Iterator[OnEvent | None]:
    """Give the function that gets the events: a progress bar, the user's own, or none."""
    if show is True:
        from sxdask.deliver.progress import ProgressBar

        with ProgressBar() as bar:
            yield bar.on_event
    else:
        yield show or None
