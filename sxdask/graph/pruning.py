"""Entry ranges that no event of can pass, by the statistics in the index: they are not read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.core.bounds import ZoneAll
from sxdask.rootio.zones import entry_zones, may_match, zone_blocks

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.rootio.model import Conjunct, Piece


def can_match(piece: Piece, conjuncts: Sequence[Conjunct], *, counted: bool) -> bool:
    """Say whether some entry may pass, by the statistics; `counted` if entry numbers matter."""
    if not (piece.zones or counted):
        return True
    tests = [item.zone for item in conjuncts if item.zone is not None]
    zones, baskets = piece.zones, piece.baskets
    if counted:
        own_zones, own_baskets = entry_zones(piece)
        zones, baskets = {**zones, **own_zones}, {**baskets, **own_baskets}
    edges = zone_blocks(piece.cluster_starts, tests, baskets)
    test = ZoneAll(tuple(tests))
    return bool(may_match(test, zones, baskets, edges[:-1], edges[1:]).any())
