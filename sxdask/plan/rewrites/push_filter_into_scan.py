"""Filter(Scan(where ps), p)  ->  Scan(where ps, p)."""

from __future__ import annotations

from dataclasses import replace

from sxdask.plan.nodes import Filter, Node, Scan, Schemas


def push_filter_into_scan(node: Node, _: Schemas) -> Node | None:
    """Give a condition to the reader, after those that it has.

    Legal because a scan keeps the rows that pass all its conditions, and the
    order keeps a condition that can fail behind the one that guards it.
    """
    match node:
        case Filter(Scan(predicate=before) as scan, predicate):
            return replace(scan, predicate=(*before, predicate))
        case _:
            return None
