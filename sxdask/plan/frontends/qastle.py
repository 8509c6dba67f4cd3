"""qastle: the s-expressions in which func_adl queries travel, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sxdask.core.errors import RequestError
from sxdask.plan.func_adl.evaluate import plan_of
from sxdask.plan.func_adl.qastle_text import parse_qastle
from sxdask.plan.func_adl.selection import options_of
from sxdask.plan.lexer import Limits, too_deep
from sxdask.plan.place import SourceText

if TYPE_CHECKING:
    from sxdask.plan.frontend import Selection
    from sxdask.plan.nodes import Plan, SchemaSource


class QastleFrontend:
    """Parse qastle queries."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def parse(self, selection: Selection, source: SchemaSource) -> Plan:
        """Return the plan for `selection`: text, or a mapping with it and the ``tree`` to read.

        Raises
        ------
        RequestError
            If there is no text.
        SelectionSyntaxError, SelectionTypeError, UnknownBranchError, UnknownTreeError
            If the query is wrong or does not fit the data, with the place.
        RequestTooLargeError
            If it is beyond a limit.
        """
        text, name = options_of(selection)
        if not isinstance(text, str):
            raise RequestError(
                f"a qastle query is text, and not {type(text).__name__}",
                hint="the language 'func_adl' takes queries as objects",
            )
        tree = parse_qastle(text, self._limits, name)
        try:
            return plan_of(tree, source, SourceText(text))
        except RecursionError:
            raise too_deep(self._limits) from None
