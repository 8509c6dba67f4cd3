"""Events in blocks: the same events for the same seed, however a file is cut.

Each block of 10 000 events has a random generator of its own, seeded with the
seed and the block's number, so event n never depends on cluster or file size.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from sxdask.testing.collisions import ELECTRON, MUON, generate
from sxdask.testing.detector import (
    Collection,
    Columns,
    gen_particles,
    jets,
    leptons,
    missing_momentum,
    triggers,
)
from sxdask.testing.kinematics import reduce_mantissa

if TYPE_CHECKING:
    from collections.abc import Iterator

BLOCK_EVENTS = 10_000
LUMI_BLOCK_EVENTS = 1_000
COLLECTIONS = ("Muon", "Electron", "Jet", "GenPart")


@dataclass(frozen=True, slots=True)
class EventBlock:
    """Consecutive events: columns with one value an event, and collections of objects."""

    flat: Columns
    collections: dict[str, Collection]

    def cut(self, start: int, stop: int) -> EventBlock:
        """Return the events ``[start, stop)`` of the block."""
        collections = {}
        for name, found in self.collections.items():
            begin, end = (int(found.counts[:edge].sum()) for edge in (start, stop))
            columns = {key: values[begin:end] for key, values in found.columns.items()}
            collections[name] = Collection(found.counts[start:stop], columns)
        return EventBlock(
            {key: values[start:stop] for key, values in self.flat.items()}, collections
        )


def join(blocks: list[EventBlock]) -> EventBlock:
    """Return the events of all `blocks`, one after the other."""
    first = blocks[0]
    if len(blocks) == 1:
        return first
    flat = {key: np.concatenate([block.flat[key] for block in blocks]) for key in first.flat}
    collections = {}
    for name, found in first.collections.items():
        parts = [block.collections[name] for block in blocks]
        collections[name] = Collection(
            np.concatenate([part.counts for part in parts]),
            {key: np.concatenate([part.columns[key] for part in parts]) for key in found.columns},
        )
    return EventBlock(flat, collections)


def event_range(start: int, stop: int, *, seed: int, extra_branches: int = 0) -> EventBlock:
    """Return the events ``[start, stop)`` of the endless sample that `seed` names."""
    if start == stop:
        return _block(seed, 0, extra_branches).cut(0, 0)
    return join(list(_pieces(start, stop, seed, extra_branches)))


def _pieces(start: int, stop: int, seed: int, extra_branches: int) -> Iterator[EventBlock]:
    for number in range(start // BLOCK_EVENTS, (stop - 1) // BLOCK_EVENTS + 1):
        first = number * BLOCK_EVENTS
        low, high = max(start - first, 0), min(stop - first, BLOCK_EVENTS)
        block = _block(seed, number, extra_branches)
        yield block if (low, high) == (0, BLOCK_EVENTS) else block.cut(low, high)


# Tests write many small files of one seed: the last blocks are kept.
@lru_cache(maxsize=2)
def _block(seed: int, number: int, extra_branches: int) -> EventBlock:
    rng = np.random.default_rng((seed, number))
    truth = generate(rng, BLOCK_EVENTS)
    collections = {
        "Muon": leptons(rng, truth, flavour=MUON),
        "Electron": leptons(rng, truth, flavour=ELECTRON),
        "Jet": jets(rng, truth),
        "GenPart": gen_particles(truth),
    }
    index = np.arange(number * BLOCK_EVENTS, (number + 1) * BLOCK_EVENTS)
    pileup = rng.gamma(20, 1.8, BLOCK_EVENTS)
    met = missing_momentum(rng, truth, collections["Jet"])
    flat: Columns = {
        "run": np.ones(BLOCK_EVENTS, dtype=np.uint32),  # as in all simulation of CMS
        "luminosityBlock": (1 + index // LUMI_BLOCK_EVENTS).astype(np.uint32),
        "event": (1 + index).astype(np.uint64),
        "genWeight": np.where(rng.random(BLOCK_EVENTS) < 0.08, -1, 1).astype(np.float32),
        "Pileup_nTrueInt": pileup.astype(np.float32),
        "PV_npvs": (1 + rng.poisson(0.8 * pileup)).clip(max=255).astype(np.uint8),
        "PV_z": rng.normal(0, 3.5, BLOCK_EVENTS).astype(np.float32),
        **met,
        **triggers(rng, collections, met),
        "Flag_goodVertices": rng.random(BLOCK_EVENTS) < 0.998,
    }
    block = EventBlock(flat, collections)
    _widen(np.random.default_rng((seed, number, 1)), block, extra_branches)
    for columns in (block.flat, *(found.columns for found in block.collections.values())):
        for values in columns.values():
            values.flags.writeable = False  # the cache hands out the same arrays again
    return block


def _widen(rng: np.random.Generator, block: EventBlock, extra_branches: int) -> None:
    """Add branches of the kinds that make real files wide, in their proportions.

    About two fifths trigger bits, a half columns of the collections, the rest
    one number an event. The first k of them do not depend on how many follow.
    """
    num = BLOCK_EVENTS
    for index in range(extra_branches):
        kind, name = index % 10, COLLECTIONS[(index // 10 + index) % len(COLLECTIONS)]
        found = block.collections[name]
        total = int(found.counts.sum())
        if kind < 4:
            block.flat[f"HLT_Path{index:04d}"] = rng.random(num, dtype=np.float32) < 0.02
        elif kind < 8:
            values = rng.standard_normal(total, dtype=np.float32)
            found.columns[f"extra{index:04d}"] = reduce_mantissa(values, 8)
        elif kind == 8:
            found.columns[f"extra{index:04d}"] = rng.integers(-1, 30, total, dtype=np.int32)
        elif index % 20 < 10:
            values = rng.standard_exponential(num, dtype=np.float32)
            block.flat[f"Extra_float{index:04d}"] = reduce_mantissa(values, 8)
        else:
            block.flat[f"Extra_int{index:04d}"] = rng.integers(0, 100, num, dtype=np.int32)
