"""Write the small tree of the differential tests with ROOT: every kind of number, at every depth.

Run as a program (``python write_small_tree.py FILE``), in a process of its own:
importing ROOT changes signal handlers and warns. uproot cannot write
``vector<vector<float>>``, so ROOT is needed for lists of lists.
"""

from __future__ import annotations

import math
import random
import sys
from typing import Any

EVENTS = 64
TREE = "t"

NUMBERS = {
    "b": ("O", "bool", "bool"),
    "i8": ("B", "int8", "signed char"),
    "u8": ("b", "uint8", "unsigned char"),
    "i16": ("S", "int16", "short"),
    "u16": ("s", "uint16", "unsigned short"),
    "i32": ("I", "int32", "int"),
    "u32": ("i", "uint32", "unsigned int"),
    "i64": ("L", "int64", "long long"),
    "u64": ("l", "uint64", "unsigned long long"),
    "f32": ("F", "float32", "float"),
    "f64": ("D", "float64", "double"),
}
"""Name of a kind: ROOT's letter of a leaf, NumPy's name, C++'s name."""

ONE = {name: name for name in NUMBERS} | {"x": "f32", "y": "f64", "n": "i32", "odd": "f64"}
"""Columns of one number an event."""

LISTS = {
    "mu": {"pt": "f32", "eta": "f32", "phi": "f32", "mass": "f32", "q": "i32", "tight": "b"},
    "jet": {"pt": "f64", "eta": "f64", "phi": "f64", "mass": "f64", "n": "i32", "btag": "f32"},
    "all": {name: name for name in NUMBERS},
}
"""Columns of one list an event; those of a group have lists of one length."""

NESTED = {"hits": "f32", "times": "f32"}
"""Columns of a list of lists an event, as many lists as there are ``mu``."""


def number(kind: str, name: str, rng: random.Random) -> bool | int | float:
    """Return one value; small, so that equal values and exact sums are common."""
    if kind == "b":
        return rng.random() < 0.5
    if kind.startswith("u"):
        return rng.randrange(0, 9)
    if kind.startswith("i"):
        return rng.choice((-1, 1)) if name == "q" else rng.randrange(-4, 9)
    if name == "pt":
        return rng.randrange(8, 400) / 4
    if name in {"mass", "btag"}:
        return rng.randrange(0, 64) / 64
    if name == "odd":
        return rng.choice((math.nan, math.inf, -math.inf, 0.0, -0.0, 1.5))
    return rng.randrange(-24, 25) / 8


def event(entry: int, rng: random.Random) -> dict[str, Any]:
    """Return the values of one event; the first has nothing in its lists."""
    sizes = {group: rng.randrange(0, 5) if entry else 0 for group in LISTS}
    row: dict[str, Any] = {name: number(kind, name, rng) for name, kind in ONE.items()}
    row["n"] = sizes["mu"]
    for group, columns in LISTS.items():
        for name, kind in columns.items():
            row[f"{group}_{name}"] = [number(kind, name, rng) for _ in range(sizes[group])]
    inner = [rng.randrange(0, 4) for _ in range(sizes["mu"])]
    for name, kind in NESTED.items():
        row[name] = [[number(kind, name, rng) for _ in range(size)] for size in inner]
    return row


def main(path: str) -> None:
    """Write the tree to `path`."""
    import numpy as np
    import ROOT

    file = ROOT.TFile(path, "RECREATE")
    tree = ROOT.TTree(TREE, "every kind of number, at every depth")
    cells: dict[str, np.ndarray] = {}
    vectors: dict[str, tuple[Any, str]] = {}
    for name, kind in ONE.items():
        letter, dtype, _ = NUMBERS[kind]
        cells[name] = np.zeros(1, dtype)
        tree.Branch(name, cells[name], f"{name}/{letter}")
    for group, columns in LISTS.items():
        for name, kind in columns.items():
            vectors[f"{group}_{name}"] = ROOT.std.vector[NUMBERS[kind][2]](), NUMBERS[kind][2]
    for name, kind in NESTED.items():
        cpp = f"std::vector<{NUMBERS[kind][2]}>"
        vectors[name] = ROOT.std.vector[cpp](), cpp
    for name, (vector, _) in vectors.items():
        tree.Branch(name, vector)
    rng = random.Random(20)  # noqa: S311 (not for secrets)
    for entry in range(EVENTS):
        row = event(entry, rng)
        for name, cell in cells.items():
            cell[0] = row[name]
        for name, (vector, cpp) in vectors.items():
            vector.clear()
            for item in row[name]:
                vector.push_back(chr(item) if cpp == "unsigned char" else item)
        tree.Fill()
    tree.Write()
    file.Close()


if __name__ == "__main__":
    main(sys.argv[1])
