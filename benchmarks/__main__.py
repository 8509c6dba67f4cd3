"""Run the benchmarks: ``python -m benchmarks [--only P1,P4] [--quick] [--write FILE]``."""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmarks.harness import Row

MODULES = {
    "P1": "p1_cold_read",
    "P2": "p2_compile",
    "P4": "p4_skim",
    "growth": "growth",
    "memory": "memory",
}
MARK = "<!-- the table below is written by: make bench -->"
PACKAGES = ("awkward", "uproot", "dask", "dask-awkward", "coffea", "numpy", "pyarrow")


def main() -> int:
    """Print the table, and write it into a page if asked."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(MODULES), help="groups, with commas between")
    parser.add_argument("--quick", action="store_true", help="three runs of each instead of seven")
    parser.add_argument("--write", type=Path, help="page whose table to replace")
    options = parser.parse_args()
    runs = 3 if options.quick else 7
    rows: list[Row] = []
    for group in options.only.split(","):
        began = time.perf_counter()
        found = import_module(f"benchmarks.{MODULES[group]}").rows(runs)
        rows += found
        for row in found:
            print(line(row), flush=True)
        print(f"# {group} took {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    if options.write:
        write(options.write, rows, runs)
    return 0


def line(row: Row) -> str:
    """Return one row of the table in Markdown."""
    target = "" if row.target is None else f"{'<=' if row.at_most else '>='} {row.target:g}"
    met = {None: "", True: "yes", False: "**no**"}[row.is_met]
    cells = (row.group, row.what, row.ours, row.peer, f"{row.ratio:.3g}", target, met)
    return f"| {' | '.join(cells)} |"


def write(page: Path, rows: list[Row], runs: int) -> None:
    """Replace everything after the mark in `page` by the table of this run."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    machine = f"{os.cpu_count()} cores ({platform.machine()}), Python {platform.python_version()}"
    head = [
        MARK,
        "",
        f"Measured {time.strftime('%Y-%m-%d')} on {machine}, {versions}.",
        f"Medians of {runs} runs in turn, the range in brackets.",
        "",
        "| | what | sxdask | peer | ratio | target | met |",
        "|---|---|---|---|--:|---|---|",
    ]
    text = page.read_text().split(MARK)[0].rstrip() if page.exists() else ""
    page.write_text("\n".join([text, "", *head, *map(line, rows), ""]).lstrip("\n"))


if __name__ == "__main__":
    sys.exit(main())
