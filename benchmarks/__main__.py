"""Run the benchmarks: ``python -m benchmarks [--only P1,P4] [--quick] [--write FILE]``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.machine import describe

if TYPE_CHECKING:
    from benchmarks.harness import Row

MODULES = {
    "P1": "p1_cold_read",
    "P2": "p2_compile",
    "P3": "p3_adl",
    "P4": "p4_skim",
    "P5": "p5_delivery",
    "P6": "p6_coffea",
    "P7": "p7_service",
    "P8": "p8_scale",
    "read": "full_read",
    "growth": "growth",
    "memory": "memory",
    "rerun": "rerun",
    "start": "start",
}
MARK = "<!-- what follows is written by: python -m benchmarks --write -->"
HEAD = (
    "| | what | sxdask | peer | ratio | target | met |",
    "|---|---|---|---|--:|---|---|",
)


def main() -> int:
    """Print the table, and write it into a page if asked."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", default=",".join(MODULES), help="groups, with commas between")
    parser.add_argument("--quick", action="store_true", help="three runs of each instead of five")
    parser.add_argument("--write", type=Path, help="page whose table to replace")
    options = parser.parse_args()
    groups = options.only.split(",")
    # What is measured is computing; the benchmark of the caches switches them on itself.
    os.environ.update(SXDASK_RESULT_CACHE_BYTES="0", SXDASK_COLUMN_CACHE="off")
    if unknown := [group for group in groups if group not in MODULES]:
        parser.error(f"no group {', '.join(unknown)}; there is {', '.join(MODULES)}")
    runs = 3 if options.quick else 5
    machine = describe()
    rows: list[Row] = []
    print(machine, *HEAD, sep="\n", flush=True)
    for group in groups:
        began = time.perf_counter()
        for row in import_module(f"benchmarks.{MODULES[group]}").rows(runs):
            rows.append(row)
            print(line(row), flush=True)
        print(f"# {group} took {time.perf_counter() - began:.0f} s", file=sys.stderr, flush=True)
    if options.write:
        write(options.write, [*HEAD, *map(line, rows)], f"{machine} Medians of {runs} runs.")
    return 0


def line(row: Row) -> str:
    """Return one row of the table in Markdown."""
    target = "" if row.target is None else f"{'<=' if row.at_most else '>='} {row.target:g}"
    met = {None: "", True: "yes", False: "**no**"}[row.is_met]
    ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
    cells = (row.group, row.what, row.ours, row.peer, ratio, target, met)
    return f"| {' | '.join(cells)} |"


def write(page: Path, table: list[str], machine: str) -> None:
    """Replace everything after the mark in `page` by the table of this run."""
    text = page.read_text().split(MARK)[0].rstrip() if page.exists() else ""
    measured = f"Measured {time.strftime('%Y-%m-%d')}. {machine}"
    page.write_text("\n".join([text, "", MARK, "", measured, "", *table, ""]).lstrip("\n"))


if __name__ == "__main__":
    sys.exit(main())
