"""A lowered table as a dask-awkward collection: one input task per partition."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import dask_awkward as dak
import numpy as np
from dask.base import tokenize

if TYPE_CHECKING:
    from sxdask.graph.lower import Lowered
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


def _identity(piece: Piece) -> tuple[str, str, str, int, int]:
    return (
        piece.url,
        piece.tree,
        f"{piece.stamp.uuid}-{piece.stamp.size}",
        piece.entry_start,
        piece.entry_stop,
    )
