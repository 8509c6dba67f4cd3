"""ROOT in a process of its own: which entries pass which cuts.

``python -m tests.differential.tcut.root_worker`` reads questions from standard
input, one JSON object a line, and answers each with a line that begins with
`MARK`: lists of entries, null for a cut that ROOT refuses.
"""

from __future__ import annotations

import json
import sys
import warnings
from array import array
from typing import Any, Final

MARK: Final = "entries of ROOT: "


def entries(ROOT: Any, path: str, tree: str, cuts: list[str]) -> list[list[int] | None]:  # noqa: N803
    """Return the entries that pass each of `cuts`, None where there is no list."""
    file = ROOT.TFile.Open(path)
    events = file.Get(tree)
    found: list[list[int] | None] = []
    for number, cut in enumerate(cuts):
        ROOT.gROOT.cd()
        drawn = events.Draw(f">>list{number}", cut, "entrylist")
        passed = ROOT.gDirectory.Get(f"list{number}")
        if drawn < 0 or not passed:
            found.append(None)
        else:
            found.append([int(passed.GetEntry(place)) for place in range(passed.GetN())])
    file.Close()
    return found


def write_vectors(ROOT: Any, path: str) -> None:  # noqa: N803
    """Write ``std::vector`` branches, nested ones, and an array of rows with a counter."""
    dice = ROOT.TRandom3(7)
    vector = ROOT.std.vector
    kinds = {"a": "float", "b": "double", "c": "int", "flags": "bool"}
    flat = {name: vector[kind]() for name, kind in kinds.items()}
    nested = {"vv": vector[vector["float"]](), "ww": vector[vector["int"]]()}
    text, n, s, m = ROOT.std.string(), array("i", [0]), array("d", [0]), array("f", [0.0] * 12)
    file = ROOT.TFile(path, "recreate")
    tree = ROOT.TTree("t", "vectors")
    for name, values in {**flat, **nested, "text": text}.items():
        tree.Branch(name, values)
    tree.Branch("n", n, "n/I")
    tree.Branch("m", m, "m[n][3]/F")
    tree.Branch("s", s, "s/D")
    for _ in range(120):
        for values in (*flat.values(), *nested.values()):
            values.clear()
        lengths = {name: dice.Integer(5) for name in kinds}
        lengths["flags"] = lengths["a"]
        for name, values in flat.items():
            for _ in range(lengths[name]):
                value = dice.Integer(19)
                values.push_back(value % 2 == 0 if name == "flags" else _number(name, value))
        for values, kind in ((nested["vv"], "float"), (nested["ww"], "int")):
            for _ in range(dice.Integer(5)):
                inner = vector[kind]()
                for _ in range(dice.Integer(5)):
                    inner.push_back(dice.Integer(10))
                values.push_back(inner)
        n[0], s[0] = dice.Integer(5), dice.Integer(10) / 2
        for place in range(12):
            m[place] = dice.Integer(10)
        text.assign(("a", "bb", "abc", "")[dice.Integer(4)])
        tree.Fill()
    tree.Write()
    file.Close()


def _number(name: str, value: int) -> float | int:
    return value % 7 - 2 if name == "c" else value / 2


def main() -> None:
    """Answer questions until standard input ends."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # this wheel calls itself an alpha
        import ROOT
    ROOT.gErrorIgnoreLevel = 6001  # mistakes in cuts are part of the questions
    for line in sys.stdin:
        question = json.loads(line)
        answer: Any = None
        if "write" in question:
            write_vectors(ROOT, question["write"])
        else:
            answer = entries(ROOT, question["path"], question["tree"], question["cuts"])
        sys.stdout.write(f"{MARK}{json.dumps(answer)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
