"""func_adl: queries in Python, qastle, or as the objects of func_adl itself.

``EventDataset().Where(lambda e: e.MET_pt > 50).Select(lambda e: {"pt":
e.Muon_pt})``. The meaning is that of func_adl_uproot 2.2.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.plan.func_adl.evaluate import plan_of
from sxdask.plan.func_adl.selection import tree_of
from sxdask.plan.lexer import Limits, too_deep

if TYPE_CHECKING:
    from sxdask.plan.frontend import Selection
    from sxdask.plan.nodes import Plan, SchemaSource


class FuncAdlFrontend:
    """Parse func_adl queries."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def parse(self, selection: Selection, source: SchemaSource) -> Plan:
        """Return the plan for `selection`.

        Python text, qastle text, a Python syntax tree, a func_adl query, or a
        mapping with one of them as ``selection`` and the ``tree`` to read.

        Raises
        ------
        RequestError
            If it is none of these.
        SelectionSyntaxError, SelectionTypeError, UnknownBranchError, UnknownTreeError
            If the query is wrong or does not fit the data, with the place.
        RequestTooLargeError
            If it is beyond a limit.
        """
        tree, text = tree_of(selection, self._limits)
        try:
            return plan_of(tree, source, text)
        except RecursionError:
            raise too_deep(self._limits) from None
