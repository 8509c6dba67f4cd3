"""ROOT in a process of its own: what RDataFrame reads from files.

``python -m tests.root_columns NAMES FILE=TREE ...`` writes a JSON object a file:
all columns with their C++ types, values of the columns NAMES (with commas), and
the number of entries. ROOT takes over signals and streams, so that the tests do
not load it.
"""

from __future__ import annotations

import json
import sys
import warnings
from typing import Any


def plain(value: Any) -> Any:
    """Return numbers, text and lists of them in place of what cppyy gives."""
    if isinstance(value, bool | int | float | str):
        return value
    if "string" in type(value).__name__:
        return str(value)
    return [plain(item) for item in value]


def columns(ROOT: Any, path: str, tree: str, wanted: list[str]) -> dict[str, Any]:  # noqa: N803
    """Return what RDataFrame says of a TTree or an RNTuple."""
    frame = ROOT.RDataFrame(tree, path)
    names = [str(name) for name in frame.GetColumnNames()]
    types = {name: str(frame.GetColumnType(name)) for name in names}
    taken = {name: frame.Take[types[name]](name) for name in wanted}
    count = frame.Count()
    return {
        "entries": int(count.GetValue()),
        "types": types,
        "values": {name: [plain(v) for v in found.GetValue()] for name, found in taken.items()},
    }


def main(wanted: list[str]) -> None:
    """Write the columns of every file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the wheel calls itself an alpha
        import ROOT
    ROOT.gErrorIgnoreLevel = ROOT.kError
    names = wanted[0].split(",")
    for item in wanted[1:]:
        path, _, tree = item.rpartition("=")
        sys.stdout.write(f"COLUMNS {json.dumps(columns(ROOT, path, tree, names))}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
