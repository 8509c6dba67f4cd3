"""Cuts in the language of ROOT's TTree::Draw and TCut.

``Muon_pt > 20 && abs(Muon_eta) < 2.4``: the entries that ``CopyTree`` keeps. An
entry with arrays passes if any item of theirs does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import RequestError, close_names
from sxdask.plan.lexer import require_size
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, Scan
from sxdask.plan.place import SourceText
from sxdask.plan.tcut.columns import columns_of_request
from sxdask.plan.tcut.meaning import Meaning
from sxdask.plan.tcut.parser import parse_formula

if TYPE_CHECKING:
    from sxdask.plan.frontend import Selection
    from sxdask.plan.lexer import Limits
    from sxdask.plan.nodes import SchemaSource

_KEYS: Final = ("selection", "columns", "tree")


class TCutFrontend:
    """Parse ``tcut`` selections."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def parse(self, selection: Selection, source: SchemaSource) -> Plan:
        """Return the plan for `selection`.

        Parameters
        ----------
        selection
            The cut, or a mapping of ``selection`` to it with ``columns`` and
            ``tree``. An empty cut keeps every entry.
        source
            Trees and columns.

        Raises
        ------
        SelectionSyntaxError, SelectionTypeError, UnknownBranchError, UnknownTreeError
            If the request is wrong or does not fit the data, with the place.
        RequestTooLargeError
            If a formula is beyond a limit.
        """
        request = _request(selection)
        tree = _tree(request.get("tree"), source)
        schema = source.schema(tree)
        node: Node = Scan(tree)
        cut = request.get("selection")
        if not isinstance(cut, str):
            raise RequestError(f"a cut is text, not {cut!r}"[:200], hint="such as: Muon_pt > 20")
        require_size(cut, self._limits)
        if cut.strip(" \t\r\n"):
            text = SourceText(cut, tree)
            formula = parse_formula(text, self._limits)
            node = Filter(node, Meaning(schema, text, self._limits).cut(formula))
        outputs = columns_of_request(request.get("columns"), schema, self._limits)
        return Plan((Output("", Project(node, outputs)),))


def _request(selection: Selection) -> Mapping[str, Any]:
    request = selection if isinstance(selection, Mapping) else {"selection": selection}
    for key in request:
        if key not in _KEYS:
            raise RequestError(
                f"a tcut request has no option {key!r}",
                hint=close_names(str(key), _KEYS) or "the options are: columns, tree",
            )
    return request


def _tree(tree: object, source: SchemaSource) -> str:
    if tree is not None and (not isinstance(tree, str) or not tree):
        raise RequestError(f"'tree' is {tree!r}"[:200], hint="give the name of one tree")
    found = tree or source.default_tree
    if found is None:
        raise RequestError(
            "the dataset has several trees and the request names none",
            hint=f"add tree=: one of {', '.join(map(repr, source.trees[:20]))}",
        )
    return found
