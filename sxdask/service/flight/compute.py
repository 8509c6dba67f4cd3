"""One partition, computed where the workers are, with what the result cache has of it."""

from __future__ import annotations

import threading
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import StaleIndexError
from sxdask.deliver.stream import run_tasks
from sxdask.deliver.tasks import TableTask, partition_event
from sxdask.pipeline.reuse import reuse

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa

    from sxdask.deliver.runner import Runner
    from sxdask.deliver.tasks import Labels
    from sxdask.graph.lower import Lowered
    from sxdask.pipeline.compile import Compiled
    from sxdask.rootio.model import Piece

_LEARNING: Final = threading.Lock()
"""Computations end on many threads, and the index is told of one at a time."""


@dataclass(frozen=True, slots=True)
class PartTask:
    """How the partitions of one sub-query are computed; `facts` go into every schema."""

    compiled: Compiled
    lowered: Lowered
    labels: Labels
    facts: Mapping[str, str]

    def compute(self, piece: Piece, runner: Runner, stop: threading.Event) -> pa.Table:
        """Return the rows of `piece`.

        Raises
        ------
        SxdaskError
            What reading raises, or that `stop` was set.
        """
        source = self.compiled.source
        reused = reuse(replace(self.compiled, parts=(self.lowered,)), self.facts, enabled=True)
        task = TableTask(reused.compiled.parts[0].reader, self.labels)
        try:
            with reused.running():
                outcomes = run_tasks(task, [piece], runner=runner, cancel=stop)
                with closing(outcomes):
                    (outcome,) = outcomes
                reused.note(partition_event(piece, outcome))
        except StaleIndexError as error:
            source.renew(error.context["file"], error.context["tree"])
            raise
        with _LEARNING:
            source.learn(piece, outcome.value.learned)
        return outcome.value.table
