"""Plain reading: all rows of a piece, and their statistics."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sxdask.rootio.model import ReadOptions, ScanSpec
from sxdask.rootio.scan import scan
from sxdask.rootio.zones import merge_zones

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sxdask.rootio.model import ColumnLayout, ColumnZones, Piece, ScanResult

_BATCH_BYTES = 64 * 1024 * 1024  # compressed; decoded columns are dropped batch by batch


def read_columns(
    piece: Piece,
    layouts: Mapping[str, ColumnLayout],
    names: Sequence[str],
    options: ReadOptions | None = None,
) -> ScanResult:
    """Read the columns `names` of every entry of `piece`; see `sxdask.rootio.scan.scan`."""
    return scan(piece, layouts, ScanSpec(tuple(names)), options)


def zones_of(
    piece: Piece,
    layouts: Mapping[str, ColumnLayout],
    names: Sequence[str],
    options: ReadOptions | None = None,
) -> dict[str, ColumnZones]:
    """Return the statistics of the baskets of `piece`, reading those not known yet.

    Columns without baskets of their own (through uproot), strings and
    lists of lists have none and are left out. Baskets that the piece cuts stay unknown. Errors
    are those of `sxdask.rootio.scan.scan`.
    """
    options = replace(options or ReadOptions(), learn_zones=True)
    found: dict[str, ColumnZones] = {}
    unknown: list[str] = []
    for name in names:
        if name not in piece.baskets or not layouts[name].has_zones:
            continue
        zones = piece.zones.get(name)
        if zones is not None and zones.known.all():
            found[name] = zones
        else:
            unknown.append(name)
    for batch in _batches(piece, unknown):
        learned = read_columns(piece, layouts, batch, options).learned
        for name in batch:
            old = piece.zones.get(name)
            if name in learned:
                found[name] = merge_zones(old, learned[name])
            elif old is not None:
                found[name] = old
    return found


def _batches(piece: Piece, names: Sequence[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    filled = 0
    for name in names:
        size = int(piece.baskets[name].num_bytes.sum())
        if batch and filled + size > _BATCH_BYTES:
            yield batch
            batch, filled = [], 0
        batch.append(name)
        filled += size
    if batch:
        yield batch
