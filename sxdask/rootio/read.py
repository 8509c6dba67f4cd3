"""Plain reading: all rows of a piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.rootio.model import ScanSpec
from sxdask.rootio.scan import scan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sxdask.rootio.model import ColumnLayout, Piece, ReadOptions, ScanResult


def read_columns(
    piece: Piece,
    layouts: Mapping[str, ColumnLayout],
    names: Sequence[str],
    options: ReadOptions | None = None,
) -> ScanResult:
    """Read the columns `names` of every entry of `piece`; see `sxdask.rootio.scan.scan`."""
    return scan(piece, layouts, ScanSpec(tuple(names)), options)
