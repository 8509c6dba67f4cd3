"""A lowered table as a dask-awkward collection: one input task per partition."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dask_awkward as dak
import numpy as np
from dask import delayed
from dask.base import tokenize

from sxdask.graph.fold import Fold, fold_of

if TYPE_CHECKING:
    from dask.delayed import Delayed

    from sxdask.graph.chain import ChainReader
    from sxdask.graph.function import FunctionReader
    from sxdask.graph.lower import Lowered
    from sxdask.graph.outputs import OutputReader
    from sxdask.graph.reader import PlanReader
    from sxdask.rootio.model import Piece


def collection(table: Lowered) -> dak.Array:
    """Return the lazy array of a lowered table.

    Its graph is one input layer whose tasks read, filter and compute; its size
    grows with the partitions and not with the branches of the files. The rows
    of each partition are known beforehand (divisions) unless there is a
    predicate. A table whose partitions are all pruned has one that is empty.
    """
    pieces = table.pieces or (table.empty_piece,)
    divisions = None
    if table.exact_rows:
        rows = [piece.num_entries for piece in pieces]
        divisions = tuple(np.concatenate(([0], np.cumsum(rows))).tolist())
    # Dask pickles the inputs of a layer several times over to name it; a piece
    # that is bytes already costs nothing each time, and nothing on the wire.
    packed = [pickle.dumps(piece, protocol=5) for piece in pieces]
    return dak.from_map(
        table.reader,
        packed,
        label="sxdask",
        token=tokenize(table.reader, [_identity(piece) for piece in pieces]),
        divisions=divisions,
    )


def reduced(table: Lowered) -> Delayed:
    """Return what the reduction of `table` makes of all rows: a tree of tasks, lazily."""
    reduction = table.output.reduction
    assert reduction is not None  # noqa: S101  narrows for the type checker
    fold = fold_of(reduction)
    read = delayed(_Folded(table.reader, fold), pure=True)
    join, finish = delayed(fold.join, pure=True), delayed(fold.result, pure=True)
    states = [
        read(pickle.dumps(piece, protocol=5)) for piece in table.pieces or (table.empty_piece,)
    ]
    while len(states) > 1:
        pairs = zip(states[::2], states[1::2], strict=False)
        odd = states[-1:] if len(states) % 2 else []
        states = [join(left, right) for left, right in pairs] + odd
    result: Delayed = finish(states[0])
    return result


@dataclass(frozen=True)
class _Folded:
    """Read a packed piece and fold its rows."""

    reader: PlanReader | ChainReader | FunctionReader | OutputReader
    fold: Fold

    def __call__(self, piece: bytes) -> Any:
        return self.fold.rows(self.reader(piece))

    def __dask_tokenize__(self) -> tuple[object, ...]:
        return ("sxdask-fold", self.reader.__dask_tokenize__(), self.fold)


def _identity(piece: Piece) -> tuple[str, str, str, int, int]:
    return (
        piece.url,
        piece.tree,
        f"{piece.stamp.uuid}-{piece.stamp.size}",
        piece.entry_start,
        piece.entry_stop,
    )
