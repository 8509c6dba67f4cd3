"""Readers over numbers: what a delivery is fed with where the bytes of files do not matter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import awkward as ak
import numpy as np

from sxdask.core.events import ReadReport
from sxdask.deliver.tasks import Labels
from sxdask.deliver.work import Source
from sxdask.rootio.model import ColumnZones, FileStamp, Piece

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@dataclass(frozen=True)
class NumberRead:
    """What `NumberReader` returns."""

    array: ak.Array
    report: ReadReport
    learned: Mapping[str, ColumnZones] = field(default_factory=dict)


@dataclass(frozen=True)
class NumberReader:
    """Entry n of a file has n itself and a list of n % 3 numbers.

    `log` is a directory where every read leaves a file, to count them.
    """

    log: Path | None = None

    def read(self, piece: Piece) -> NumberRead:
        """Return the numbers of the range."""
        if self.log is not None:
            name = f"{piece.index}-{np.random.default_rng().integers(2**62):x}"
            (self.log / name).write_text(piece.url)
        return NumberRead(
            numbers(piece.entry_start, piece.entry_stop),
            ReadReport(entries_in=piece.num_entries, bytes_read=10 * piece.num_entries),
        )

    def mock_empty(self) -> ak.Array:
        """Return no numbers."""
        return numbers(0, 0)


def numbers(start: int, stop: int) -> ak.Array:
    """Return the array that `NumberReader` makes of these entries."""
    n = np.arange(start, stop)
    counts = n % 3
    items = ak.unflatten(np.repeat(n, counts).astype(np.float32), counts)
    return ak.Array(ak.contents.RecordArray([ak.to_layout(n), items.layout], ["n", "items"]))


def piece(index: int, start: int, stop: int, *, url: str = "/data/a.root") -> Piece:
    """Return the piece of entries ``[start, stop)``."""
    edges = np.array([start, stop])
    stamp = FileStamp(1000, "", f"uuid-{url}")
    return Piece(index, url, "Events", "ttree", stamp, start, stop, edges, {})


def pieces(count: int, *, size: int = 10) -> list[Piece]:
    """Return `count` pieces of `size` entries, four a file."""
    return [
        piece(n, n % 4 * size, (n % 4 + 1) * size, url=f"/data/{n // 4}.root") for n in range(count)
    ]


def source(
    found: list[Piece],
    *,
    log: Path | None = None,
    fingerprint: str = "f00d",
    output: str = "",
    format_name: str = "arrow",
) -> Source:
    """Return the source of a delivery of these pieces."""
    labels = Labels(fingerprint, format_name, output, {"languages": "native"})
    return Source(NumberReader(log), found, labels)


def expected(found: list[Piece]) -> ak.Array:
    """Return what a delivery of these pieces holds, in order."""
    return ak.concatenate([numbers(item.entry_start, item.entry_stop) for item in found])
