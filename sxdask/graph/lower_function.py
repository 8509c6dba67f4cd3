"""Planning of Python functions: files or partitions -> pieces, and the reader that calls."""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, cast

import numpy as np

from sxdask.graph.function import FunctionReader
from sxdask.graph.lower import Lowered, lower
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.nodes import Project
from sxdask.rootio.model import FileStamp, Piece

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.graph.reader import PlanReader
    from sxdask.plan.nodes import Output
    from sxdask.rootio.index import FileIndex
    from sxdask.rootio.layout import TreeLayout
    from sxdask.rootio.model import ReadOptions


def lower_files(output: Output, stamps: Sequence[tuple[str, FileStamp]]) -> Lowered:
    """Lower a function of a path: one piece a file, nothing known of what is in it.

    Parameters
    ----------
    output
        Of a plan; it has a function.
    stamps
        Each file with its identity, which goes into the content key.
    """
    assert output.function is not None  # noqa: S101  narrows for the type checker
    edge = np.zeros(1, np.int64)
    pieces = tuple(
        Piece(number, url, "", "ttree", stamp, 0, 0, edge, {})
        for number, (url, stamp) in enumerate(stamps)
    )
    return Lowered(
        output=output,
        reader=FunctionReader(output.function, fingerprint(output)),
        pieces=pieces,
        pruned=(),
        empty_piece=pieces[0],
        num_files=len(pieces),
        num_entries=0,
        bytes_to_read=0,
        bytes_in_files=0,
        column_bytes={},
    )


def lower_events(
    output: Output,
    indexes: Sequence[FileIndex],
    *,
    partition_bytes: int,
    options: ReadOptions,
    partition_memory: int = 0,
) -> Lowered:
    """Lower a function of events; arguments as for `lower`.

    Columns that the function names and that some file lacks are left to the
    function: it may ask for ``events.fields`` first.
    """
    assert output.function is not None  # noqa: S101  narrows for the type checker
    root = cast("Project", output.root)
    everywhere = [
        (name, expr)
        for name, expr in root.outputs
        if all(name in index.layout.columns for index in indexes)
    ]
    plain = replace(output, function=None, root=Project(root.source, tuple(everywhere)))
    table = lower(
        plain,
        indexes,
        partition_bytes=partition_bytes,
        options=options,
        partition_memory=partition_memory,
    )
    numbers: dict[str, int] = {}
    for index in indexes:
        numbers.setdefault(index.layout.digest, len(numbers))
    kinds = {index.layout.digest: index.layout for index in indexes}
    number_of = {index.url: numbers[index.layout.digest] for index in indexes}
    reader = FunctionReader(
        function=output.function,
        token=fingerprint(output),
        events=cast("PlanReader", table.reader),
        layouts=tuple(_packed(kinds[digest]) for digest in numbers),
    )
    # A function is called at least once: what it gives is known from nothing else.
    pieces = table.pieces or (table.empty_piece,)
    return replace(
        table,
        output=output,
        reader=reader,
        # No estimate: what the function reads is not known, and one that begins a
        # run of its own must not wait for the memory that itself was given.
        pieces=tuple(
            replace(piece, layout=number_of[piece.url], decoded_bytes=0) for piece in pieces
        ),
    )


def _packed(layout: TreeLayout) -> tuple[str, bytes]:
    return layout.digest, zlib.compress(layout.to_json().encode())
