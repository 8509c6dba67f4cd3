"""ROOT in a process of its own: files whose trees are alike, with every kind of branch.

``python tests/root_alike.py FILE=EVENTS ...`` writes the tree ``deep/t``, with as
many events. ROOT takes over signals and streams, so that the tests do not load it.
"""

from __future__ import annotations

import array
import random
import sys
import warnings
from typing import Any

_MOST = 6
_LEAVES = "BbSsIiLlGgFDOfd"
"""ROOT's letters of the kinds of numbers."""


def fill(ROOT: Any, tree: Any, events: int, rng: random.Random) -> None:  # noqa: N803
    """Make the branches of a tree and fill them."""
    count, lists = array.array("i", [0]), array.array("f", [0.0] * _MOST)
    matrix, text = array.array("i", [0] * 6), bytearray(16)
    numbers, nested = ROOT.std.vector("float")(), ROOT.std.vector("std::vector<float>")()
    name, momentum = ROOT.std.string(), ROOT.TLorentzVector()
    clones = ROOT.TClonesArray("TLorentzVector", 10)
    room = bytearray(8)
    for letter in _LEAVES:
        tree.Branch(f"leaf_{letter}_{letter.isupper()}", room, f"leaf/{letter}")
    tree.Branch("n", count, "n/I")
    tree.Branch("lists", lists, "lists[n]/F")
    tree.Branch("matrix", matrix, "matrix[2][3]/I")
    tree.Branch("text", text, "text/C")
    tree.Branch("pair", lists, "first/F:second/F")
    tree.Branch("numbers", numbers)
    tree.Branch("nested", nested)
    tree.Branch("name", name)
    tree.Branch("momentum", momentum, 32_000, 99)
    tree.Branch("clones", clones, 32_000, 99)
    for _ in range(events):
        count[0] = rng.randrange(_MOST)
        for place in range(_MOST):
            lists[place] = matrix[place] = rng.randrange(100)
        text[:] = f"{rng.randrange(10**9)}".encode().ljust(16, b"\0")
        numbers.clear()
        nested.clear()
        for _ in range(rng.randrange(4)):
            numbers.push_back(rng.random())
            nested.push_back(numbers)
        name.assign("x" * rng.randrange(20))
        momentum.SetPtEtaPhiM(rng.random(), rng.random(), rng.random(), 1.0)
        clones.Clear()
        for place in range(rng.randrange(3)):
            clones.ConstructedAt(place).SetPtEtaPhiM(1.0, 2.0, 3.0, float(place))
        tree.Fill()


def main(wanted: list[str]) -> None:
    """Write every file; baskets are small, so that there are many of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel calls itself an alpha
        import ROOT
    ROOT.gErrorIgnoreLevel = ROOT.kError
    rng = random.Random(5)  # noqa: S311  not for secrets
    for item in wanted:
        path, _, events = item.rpartition("=")
        file = ROOT.TFile.Open(path, "RECREATE")
        file.mkdir("deep").cd()
        tree = ROOT.TTree("t", "all kinds")
        tree.SetAutoFlush(rng.randrange(20, 50))
        fill(ROOT, tree, int(events), rng)
        file.Write()
        file.Close()


if __name__ == "__main__":
    main(sys.argv[1:])
