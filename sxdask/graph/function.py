"""The task of a Python function: one call for a file, or for the events of a partition."""

from __future__ import annotations

import pickle
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from sxdask.core.errors import RequestError, SxdaskError
from sxdask.core.events import ReadReport
from sxdask.graph.events import LazyEvents
from sxdask.graph.usercode import call
from sxdask.rootio.layout import layout_from_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    import awkward as ak

    from sxdask.graph.reader import PlanReader
    from sxdask.plan.nodes import Function
    from sxdask.rootio.model import ColumnZones, Conjunct, Piece


@dataclass(frozen=True, slots=True)
class FunctionRead:
    """What a function gave for one piece, what reading cost and what it taught."""

    array: Any  # `usercode.Results`: rows, or rows by name
    report: ReadReport = field(default_factory=ReadReport)
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)


@dataclass(frozen=True)
class FunctionReader:
    """Call `function` for a piece.

    `events` reads the columns that the function names; None where it is called
    with the path of a file. `layouts` has for each kind of file (`Piece.layout`
    says which) the digest and the packed JSON of its `TreeLayout`.
    """

    function: Function
    token: str
    events: PlanReader | None = None
    layouts: tuple[tuple[str, bytes], ...] = ()

    def read(self, piece: Piece) -> FunctionRead:
        """Call the function for `piece`.

        Raises
        ------
        SxdaskError
            With file, tree and entry range in its context.
        """
        context: dict[str, Any] = {"file": piece.url}
        if self.events is not None:
            span = {"entry_start": piece.entry_start, "entry_stop": piece.entry_stop}
            context |= {"tree": piece.tree, **span}
        try:
            if self.events is None:
                return FunctionRead(call(self.function, piece.url, piece.url))
            return self._of_events(piece, self.events)
        except SxdaskError as error:
            raise error.add(**context) from error.__cause__

    def _of_events(self, piece: Piece, reader: PlanReader) -> FunctionRead:
        digest, packed = self.layouts[piece.layout]
        layout = layout_from_json(digest, lambda: zlib.decompress(packed).decode())
        events = LazyEvents(piece, layout, reader.program.columns, reader.conjuncts, reader.options)
        results = None
        try:
            results = call(self.function, events.array(), piece.url)
        except SxdaskError:
            if events.failure is None:
                raise
        events.finish()  # a failed read is what went wrong, whatever the function made of it
        return FunctionRead(results, events.report, events.learned)

    def __call__(self, piece: Piece | bytes) -> Any:
        """Call the function for `piece`, pickled or not."""
        if isinstance(piece, bytes):
            piece = cast("Piece", pickle.loads(piece))  # noqa: S301  from our own graph
        return self.read(piece).array

    def mock_empty(self, backend: str = "cpu") -> ak.Array:
        """Refuse: what a function gives is known when it has run, and not before."""
        raise RequestError(
            f"what {self.function.name} gives is not known before it has run ({backend})",
            hint="take the result with compute(), stream() or deliver()",
        )

    def mock(self) -> ak.Array:
        """Refuse as `mock_empty` does."""
        return self.mock_empty("typetracer")

    @property
    def conjuncts(self) -> tuple[Conjunct, ...]:
        """Conditions on the events that the function gets."""
        return self.events.conjuncts if self.events is not None else ()

    @property
    def output_columns(self) -> frozenset[str]:
        """Branches that the function names."""
        return self.events.output_columns if self.events is not None else frozenset()

    def __dask_tokenize__(self) -> tuple[str, str]:
        return ("sxdask-function", self.token)
