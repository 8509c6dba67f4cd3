"""Generated files in every compression and shape, whole and damaged, against uproot."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pytest
import uproot

from sxdask.core.errors import CorruptBasketError
from sxdask.rootio.fallback import close_trees
from sxdask.rootio.read import read_columns
from tests.pieces import Tree, assert_same, describe, stamp_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

COMPRESSIONS = {
    "zstd": uproot.ZSTD(5),
    "lz4": uproot.LZ4(4),
    "zlib": uproot.ZLIB(1),
    "lzma": uproot.LZMA(1),
    "none": None,
}
NUMBERS = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
]
TYPES: dict[str, Any] = {
    **{f"one_{name}": name for name in NUMBERS},
    **{f"list_{name}": f"var * {name}" for name in NUMBERS},
    "vector": np.dtype((np.float32, (3,))),
    "matrix": np.dtype((np.int16, (2, 3))),
    "text": "string",
}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_trees()


def _column(name: str, entries: int, rng: np.random.Generator) -> Any:
    kind, _, number = name.partition("_")
    if name == "text":
        return ak.Array(["é" * int(n) + "x" * int(n * n) for n in rng.integers(0, 20, entries)])
    if name == "vector":
        return rng.normal(size=(entries, 3)).astype(np.float32)
    if name == "matrix":
        return rng.integers(-99, 99, (entries, 2, 3)).astype(np.int16)
    counts = rng.integers(0, 5, entries)
    size = entries if kind == "one" else int(counts.sum())
    dtype = np.dtype(number)
    values = rng.integers(0, 2 if dtype == np.bool_ else 200, size).astype(dtype)
    if dtype.kind in "iu" and size:  # the ends of the range, where rounding would show
        values[0], values[-1] = np.iinfo(dtype).min, np.iinfo(dtype).max
    return values if kind == "one" else ak.unflatten(values, counts)


def _write(path: Path, compression: Any, clusters: Sequence[int]) -> Tree:
    rng = np.random.default_rng(len(clusters))
    with uproot.recreate(path, compression=compression) as file:
        tree = file.mktree("t", TYPES)
        for entries in clusters:
            if entries:
                tree.extend({name: _column(name, entries, rng) for name in TYPES})
    return describe(path, "t")


def _compare(tree: Tree, start: int, stop: int) -> None:
    names = list(tree.layouts)
    found = read_columns(tree.piece(start, stop), tree.layouts, names)
    with uproot.open(tree.path) as file:
        for name in names:
            theirs = file["t"][name].array(entry_start=start, entry_stop=stop)
            assert_same(found.arrays[name], theirs, f"{name} {start}:{stop}")


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
def test_every_type_in_every_compression_equals_uproots(tmp_path: Path, compression: str) -> None:
    tree = _write(tmp_path / "a.root", COMPRESSIONS[compression], [400, 1, 37, 500])
    fast = {name for name in tree.layouts if tree.layouts[name].kind != "uproot"}
    assert set(TYPES) <= fast
    dice = random.Random(compression)  # noqa: S311 (the same in every run)
    ranges = [(0, 938), (0, 0), (400, 401), (399, 402), (937, 938)]
    for _ in range(5):
        first, last = sorted(dice.sample(range(939), 2))
        ranges.append((first, last))
    for start, stop in ranges:
        _compare(tree, start, stop)


@pytest.mark.parametrize("clusters", [[1], [1] * 40, []], ids=["one", "forty of one", "none"])
def test_the_smallest_trees_equal_uproots(tmp_path: Path, clusters: list[int]) -> None:
    _compare(_write(tmp_path / "a.root", uproot.ZSTD(1), clusters), 0, sum(clusters))


def test_baskets_of_more_than_one_compression_block_equal_uproots(tmp_path: Path) -> None:
    path = tmp_path / "a.root"
    with uproot.recreate(path, compression=uproot.ZSTD(1)) as file:
        values = np.arange(2_500_000, dtype=np.int64) // 1000  # 20 MB, over one block of 16 MiB
        file.mktree("t", {"x": "int64"}).extend({"x": values})
    _compare(describe(path, "t"), 2_000_000, 2_400_000)


@pytest.mark.parametrize("compression", sorted(COMPRESSIONS))
def test_a_flip_anywhere_in_a_basket_is_an_error_or_keeps_the_rows(
    tmp_path: Path, compression: str
) -> None:
    tree = _write(tmp_path / "a.root", COMPRESSIONS[compression], [60])
    names = ["one_float32", "list_float64", "text", "matrix", "list_bool"]
    clean = tree.path.read_bytes()
    dice = random.Random(compression)  # noqa: S311 (the same in every run)
    errors = 0
    for name in names:
        baskets = tree.baskets[name]
        start, size = int(baskets.seek[0]), int(baskets.num_bytes[0])
        for place in [*range(start, start + 20), *dice.choices(range(start, start + size), k=60)]:
            damaged = bytearray(clean)
            damaged[place] ^= 1 << dice.randrange(8)
            tree.path.write_bytes(damaged)
            tree.stamp = stamp_of(tree.path)
            errors += _fails_or_keeps_the_rows(tree, name)
    assert errors > 50
    if compression in {"lz4", "lzma"}:  # they carry checksums
        assert errors > 200


def _fails_or_keeps_the_rows(tree: Tree, name: str) -> bool:
    """Read a damaged column of 60 entries; return whether the damage was seen."""
    try:
        found = read_columns(tree.piece(names=[name]), tree.layouts, [name])
    except CorruptBasketError as error:
        facts = (error.context["branch"], error.context["entries"])
        if facts == (name, (0, 60)) and "damaged" in str(error):
            return True
        raise
    assert len(found.arrays[name]) == 60
    return False


def _set_offset(tree: Tree, place: int, value: int | None) -> None:
    """Change one entry offset in the second basket of `list_float64`: by one if None."""
    baskets = tree.baskets["list_float64"]
    end = int(baskets.seek[1] + baskets.num_bytes[1])
    at = end - 4 * (61 - place)  # the last of the 61 numbers is not used
    data = bytearray(tree.path.read_bytes())
    new = int.from_bytes(data[at : at + 4], "big") + 1 if value is None else value
    data[at : at + 4] = new.to_bytes(4, "big", signed=True)
    tree.path.write_bytes(data)
    tree.stamp = stamp_of(tree.path)


@pytest.mark.parametrize("place", [0, 1, 30, 59])
@pytest.mark.parametrize("value", [0, -(2**31), 2**31 - 1, 100_000])
def test_a_damaged_entry_offset_is_an_error_that_names_its_basket(
    tmp_path: Path, place: int, value: int
) -> None:
    tree = _write(tmp_path / "a.root", None, [60, 60])
    _set_offset(tree, place, value)
    with pytest.raises(CorruptBasketError, match=r"offsets|before it begins") as caught:
        read_columns(tree.piece(names=["list_float64"]), tree.layouts, ["list_float64"])
    assert caught.value.context["entries"] == (60, 120)


def test_entries_that_are_no_whole_items_are_what_uproot_makes_of_them(tmp_path: Path) -> None:
    tree = _write(tmp_path / "a.root", None, [60, 60])
    _set_offset(tree, 30, None)
    found = read_columns(tree.piece(names=["list_float64"]), tree.layouts, ["list_float64"])
    with uproot.open(tree.path) as file:
        assert_same(found.arrays["list_float64"], file["t"]["list_float64"].array())
    assert found.report.ttree_opens == 1
