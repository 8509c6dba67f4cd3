"""Lists of lists: bytes as ROOT writes them, decoded as uproot does; other bytes are refused."""

from __future__ import annotations

import random
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot
from coffea.nanoevents import PHYSLITESchema
from uproot.containers import AsVector

import sxdask as sx
from sxdask.rootio.basket import BasketError, Header, NotPlainError
from sxdask.rootio.fallback import close_trees
from sxdask.rootio.model import ColumnLayout
from sxdask.rootio.nested import decode_nested
from sxdask.rootio.read import read_columns
from tests.pieces import assert_same, describe

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

KEY = 80
DTYPES = ["|i1", "|u1", ">i2", ">u2", ">i4", ">u4", ">i8", ">u8", ">f4", ">f8"]
LINK = "40000018000065d5a8ae4000000e0000feb3df9e"
LINKS = "AnalysisElectronsAuxDyn.trackParticleLinks"


@dataclass
class Basket:
    """Entries as bytes, with the object and the header of the basket that they make."""

    entries: list[bytes]

    @property
    def content(self) -> Any:
        edges = np.cumsum([KEY, *map(len, self.entries)])
        edges[-1] = 0  # ROOT does not fill in the last one
        tail = np.array([len(edges), *edges], ">i4").tobytes()
        return np.frombuffer(b"".join(self.entries) + tail, np.uint8)

    @property
    def header(self) -> Header:
        border = sum(map(len, self.entries))
        return Header(KEY, len(self.content), border, len(self.entries))


def entry(lists: Sequence[bytes], count: Sequence[int]) -> bytes:
    """Return an entry of inner lists, given as the bytes of their items."""
    body = struct.pack(">HI", 9, len(lists))
    for items, length in zip(lists, count, strict=True):
        body += struct.pack(">I", length) + items
    return struct.pack(">I", 0x40000000 | len(body)) + body


def layout_of(file_dtype: str, dtype: str, prefix: str = "") -> ColumnLayout:
    return ColumnLayout("x", "x", "nested", "{}", file_dtype=file_dtype, dtype=dtype, prefix=prefix)


def random_basket(dtype: str, entries: int, most: int, dice: random.Random) -> Basket:
    made = []
    for _ in range(entries):
        counts = [dice.choice([0, 1, 2, 7]) for _ in range(dice.randint(0, most))]
        size = np.dtype(dtype).itemsize
        made.append(entry([dice.randbytes(size * count) for count in counts], counts))
    return Basket(made)


def by_uproot(basket: Basket, dtype: str) -> list[Any]:
    """Return the bytes of every item as uproot's own objects hold them."""
    model = AsVector(True, AsVector(False, np.dtype(dtype)))
    found = []
    for data in basket.entries:
        chunk = uproot.source.chunk.Chunk.wrap(None, np.frombuffer(data, np.uint8))
        cursor = uproot.source.cursor.Cursor(0)
        value = model.read(chunk, cursor, {}, _File, _File, None)
        found.append([np.asarray(item).astype(dtype).tobytes() for item in value])
    return found


class _File:
    file_path = "made.root"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("entries", "most"), [(1, 0), (1, 60), (40, 5), (200, 3)])
def test_lists_of_lists_of_numbers_are_what_uproot_reads(
    dtype: str, entries: int, most: int
) -> None:
    dice = random.Random(f"{dtype} {entries}")  # noqa: S311 (the same in every run)
    basket = random_basket(dtype, entries, most, dice)
    wanted = by_uproot(basket, dtype)
    native = np.dtype(dtype).newbyteorder("=").name
    chosen = sorted(dice.sample(range(entries), entries // 2))
    for rows in (slice(0, entries), slice(entries // 3, entries), np.array(chosen, np.int64)):
        picked = np.arange(entries)[rows]
        found = decode_nested(basket.content, basket.header, layout_of(dtype, native), rows)
        (values,) = found.members
        assert values.dtype == np.dtype(native)
        assert found.outer.tolist() == [len(wanted[row]) for row in picked]
        flat = [item for row in picked for item in wanted[row]]
        size = values.dtype.itemsize
        assert (found.inner * size).tolist() == [len(item) for item in flat]
        assert values.astype(dtype).tobytes() == b"".join(flat)


def test_links_are_read_behind_the_headers_of_their_class() -> None:
    link = bytes.fromhex(LINK)
    items = [link + struct.pack(">II", 7, number) for number in range(3)]
    basket = Basket([entry([items[0] + items[1], b"", items[2]], [2, 0, 1]), entry([], [])])
    layout = layout_of(">u4,>u4", "uint32,uint32", LINK)
    found = decode_nested(basket.content, basket.header, layout, slice(0, 2))
    assert (found.outer.tolist(), found.inner.tolist()) == ([3, 0], [2, 0, 1])
    assert [member.tolist() for member in found.members] == [[7, 7, 7], [0, 1, 2]]


@pytest.mark.parametrize("place", range(10 + 4 + 20))
def test_a_changed_byte_before_the_numbers_is_left_to_uproot(place: int) -> None:
    data = bytearray(entry([bytes.fromhex(LINK) + struct.pack(">II", 7, 1)], [1]))
    data[place] ^= 0x40
    basket = Basket([bytes(data)])
    layout = layout_of(">u4,>u4", "uint32,uint32", LINK)
    if place == 5:  # uproot does not look at the version of a vector either
        decode_nested(basket.content, basket.header, layout, slice(0, 1))
        return
    with pytest.raises(NotPlainError):
        decode_nested(basket.content, basket.header, layout, slice(0, 1))


@pytest.mark.parametrize("cut", [0, 3, 9, 12, 15])
def test_a_short_entry_is_never_read_beyond(cut: int) -> None:
    whole = entry([struct.pack(">f", 1.5)], [1])
    basket = Basket([whole[:cut], whole])
    with pytest.raises((NotPlainError, BasketError)):
        decode_nested(basket.content, basket.header, layout_of(">f4", "float32"), slice(0, 2))


def test_a_part_of_the_rows_and_none_of_them_equal_uproots(samples: Path) -> None:
    tree = describe(samples / "PHYSLITE_example.root", "CollectionTree")
    assert tree.layouts[LINKS].kind == "nested"
    with uproot.open(tree.path) as file:
        theirs = file["CollectionTree"][LINKS].array()
    for start, stop in ((0, 0), (0, 1), (17, 63), (0, tree.num_entries)):
        found = read_columns(tree.piece(start, stop), tree.layouts, [LINKS])
        assert_same(found.arrays[LINKS], theirs[start:stop])
        assert found.report.ttree_opens == 0


@pytest.mark.filterwarnings("ignore:Skipping:UserWarning")  # what coffea leaves out
def test_a_processor_of_physlite_opens_no_tree(samples: Path) -> None:
    def leptons(events: Any) -> dict[str, Any]:
        return {
            "n": len(events),
            "pt": float(ak.sum(events.Electrons.pt) + ak.sum(events.Muons.pt)),
        }

    close_trees()
    path = str(samples / "PHYSLITE_example.root")
    found, report = sx.run_processor(
        leptons,
        {"data": {"files": {path: "CollectionTree"}}},
        PHYSLITESchema,
        scheduler="sync",
        savemetrics=True,
    )
    with uproot.open({path: "CollectionTree"}) as tree:
        names = [f"Analysis{kind}AuxDyn.pt" for kind in ("Electrons", "Muons")]
        wanted = sum(float(ak.sum(tree[name].array())) for name in names)
    assert found["pt"] == pytest.approx(wanted)
    assert report["ttree_opens"] == 0
