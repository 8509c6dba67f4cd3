"""The query strings of SkyhookDM's Python client.

``select event_id>5, project Events;75.Muon_eta,Events;75.Muon_phi``: rows by a
condition, columns by tree, cycle and branch. The result is one Arrow table for
a file, and a list of tables for a dataset of several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sxdask.core.errors import RequestError, close_names
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, Scan
from sxdask.plan.place import SourceText
from sxdask.plan.selection import distinct
from sxdask.plan.skyhook.columns import EVENT_ID, Columns
from sxdask.plan.skyhook.condition import Condition, is_name
from sxdask.plan.skyhook.tokens import EXAMPLE, split

if TYPE_CHECKING:
    from sxdask.plan.frontend import Selection
    from sxdask.plan.lexer import Limits
    from sxdask.plan.nodes import SchemaSource

_KEYS = ("selection", "tree")


class SkyhookFrontend:
    """Parse ``skyhook`` queries."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def parse(self, selection: Selection, source: SchemaSource) -> Plan:
        """Return the plan for `selection`, whose result goes by file.

        Parameters
        ----------
        selection
            The query, or a mapping of ``selection`` to it with the ``tree``
            of names that have none.
        source
            Trees, cycles and columns.

        Raises
        ------
        SelectionSyntaxError, SelectionTypeError, UnknownBranchError, UnknownTreeError
            If the query is wrong or does not fit the data, with the place.
        """
        query, tree = _request(selection)
        columns = Columns(SourceText(query, tree or ""), source, tree)
        parts = split(columns.source, self._limits)
        named = [(item.text, item.start) for item in parts.condition if is_name(item)]
        named += parts.columns or ()
        columns.settle([item for item in named if item[0] not in {EVENT_ID, "*"}])
        columns.source = SourceText(query, columns.tree)
        condition = Condition(columns.source, parts.condition, columns, self._limits).expression()
        node: Node = Scan(columns.tree)
        if condition is not None:
            node = Filter(node, condition)
        chosen = [pair for name, at in parts.columns or () for pair in columns.chosen(name, at)]
        outputs = distinct(chosen if parts.columns else columns.everything())
        return Plan((Output("", Project(node, outputs)),), by_file=True)


def _request(selection: Selection) -> tuple[str, str | None]:
    """Return the query and the tree that is named beside it."""
    request = selection if isinstance(selection, Mapping) else {"selection": selection}
    for key in request:
        if key not in _KEYS:
            raise RequestError(
                f"a skyhook request has no option {key!r}",
                hint=close_names(str(key), _KEYS) or "the options are: tree",
            )
    query, tree = request.get("selection"), request.get("tree")
    if not isinstance(query, str):
        raise RequestError(f"a skyhook query is text, not {query!r}"[:200], hint=EXAMPLE)
    if tree is not None and (not isinstance(tree, str) or not tree):
        raise RequestError(f"'tree' is {tree!r}"[:200], hint="give the name of one tree")
    return query, tree
