"""A zone test names the columns whose statistics it needs."""

from __future__ import annotations

import pickle

from sxdask.core.bounds import ZoneAll, ZoneAny, ZoneCompare, zone_columns


def test_columns_come_from_every_part() -> None:
    test = ZoneAll(
        (
            ZoneCompare("event", ">=", 2**63),
            ZoneAny((ZoneCompare("MET_pt", ">", 50.0), ZoneCompare("Jet_pt", ">", 1, "count"))),
        )
    )
    assert zone_columns(test) == {"event", "MET_pt", "Jet_pt"}
    assert zone_columns(ZoneAny(())) == frozenset()
    assert pickle.loads(pickle.dumps(test)) == test
