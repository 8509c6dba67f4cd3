"""A name for a plan that is the same in every process and every Python version."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b

from sxdask.plan.codec import node_to_json, output_to_json, plan_to_json
from sxdask.plan.nodes import Node, Output, Plan


def fingerprint(item: Plan | Output | Node) -> str:
    """Return 32 hexadecimal digits that name `item`.

    The digest is over canonical JSON and not over ``hash`` or ``repr``: the
    first changes between processes, the second between Python versions. The
    order of columns and the names of outputs count; places in the user's text
    and `Plan.by_file` do not.

    Examples
    --------
    >>> fingerprint(Plan(())) == fingerprint(Plan(()))
    True
    """
    match item:
        case Plan():
            text = plan_to_json(replace(item, by_file=False))
        case Output():
            text = output_to_json(item)
        case _:
            text = node_to_json(item)
    return blake2b(text.encode("ascii"), digest_size=16).hexdigest()
