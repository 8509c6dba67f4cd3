"""Several lowered tables that fill one output: rows of the first, then of the next.

Two sub-queries of a request may write the same output tree; its partitions are
those of both, and each is read by the reader of the sub-query it came from.
"""

from __future__ import annotations

import pickle
from bisect import bisect_right
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import TYPE_CHECKING, cast

from sxdask.core.errors import RequestError
from sxdask.graph.split import Cuts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence, Sized

    import awkward as ak

    from sxdask.graph.lower import Lowered
    from sxdask.graph.reader import PartitionRead, PlanReader
    from sxdask.rootio.model import Conjunct, Piece


@dataclass(frozen=True)
class ChainReader:
    """Hand a piece to the reader that its layout number belongs to.

    `first_layouts` is where the layouts of each reader begin, shape
    ``(n_readers,)``.
    """

    readers: tuple[PlanReader, ...]
    first_layouts: tuple[int, ...]

    def __call__(self, piece: Piece | bytes) -> ak.Array:
        """Read `piece`, pickled or not."""
        if isinstance(piece, bytes):
            piece = cast("Piece", pickle.loads(piece))  # noqa: S301  from our own graph
        return self.read(piece).array

    def read(self, piece: Piece) -> PartitionRead:
        """Read `piece` with its own reader."""
        number = bisect_right(self.first_layouts, piece.layout) - 1
        own = replace(piece, layout=piece.layout - self.first_layouts[number])
        return self.readers[number].read(own)

    def mock(self) -> ak.Array:
        """Return the result as a typetracer."""
        return self.readers[0].mock()

    def mock_empty(self, backend: str = "cpu") -> ak.Array:
        """Return the result of a partition without rows."""
        return self.readers[0].mock_empty(backend)

    @property
    def output_columns(self) -> frozenset[str]:
        """Branches that the outputs of any reader are made of."""
        return frozenset().union(*(reader.output_columns for reader in self.readers))

    @property
    def conjuncts(self) -> tuple[Conjunct, ...]:
        """Conditions of all readers."""
        return tuple(item for reader in self.readers for item in reader.conjuncts)

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return ("sxdask-chain", *(reader.__dask_tokenize__() for reader in self.readers))


def chain(tables: Sequence[Lowered]) -> Lowered:
    """Return one table with the partitions of all `tables`, in order.

    Raises
    ------
    RequestError
        If their columns differ in name or type.
    """
    first = tables[0]
    readers = [cast("PlanReader", table.reader) for table in tables]
    for reader in readers[1:]:
        if reader.mock().type.content != readers[0].mock().type.content:
            raise RequestError(
                f"two sub-queries write different branches to the tree {first.output.name!r}",
                hint="give each its own output name (a treename map), or the same columns",
            )
    edges = _edges(reader.layouts for reader in readers)
    pieces = [
        replace(piece, layout=piece.layout + edge)
        for table, edge in zip(tables, edges, strict=False)
        for piece in table.pieces
    ]
    return replace(
        first,
        reader=ChainReader(tuple(readers), tuple(edges[:-1])),
        pieces=tuple(replace(piece, index=index) for index, piece in enumerate(pieces)),
        pruned=tuple(
            replace(piece, index=piece.index + before)
            for table, before in zip(tables, _edges(table.pieces for table in tables), strict=False)
            for piece in table.pruned
        ),
        num_entries=sum(table.num_entries for table in tables),
        cuts=sum((table.cuts for table in tables), Cuts()),
        bytes_to_read=sum(table.bytes_to_read for table in tables),
    )


def _edges(parts: Iterable[Sized]) -> list[int]:
    return list(accumulate(map(len, parts), initial=0))
