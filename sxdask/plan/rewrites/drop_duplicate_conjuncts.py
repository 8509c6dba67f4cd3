"""Scan(where p, q, p)  ->  Scan(where p, q)."""

from __future__ import annotations

from dataclasses import replace

from sxdask.plan.nodes import Node, Scan, Schemas


def drop_duplicate_conjuncts(node: Node, _: Schemas) -> Node | None:
    """Test each condition once, where it stands first.

    Legal because conditions are pure: the second test of one finds only rows
    that passed the first.
    """
    match node:
        case Scan(predicate=predicate):
            once = tuple(dict.fromkeys(predicate))
            return None if once == predicate else replace(node, predicate=once)
        case _:
            return None
