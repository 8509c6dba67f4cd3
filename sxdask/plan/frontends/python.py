"""Python functions: ``run_query(path)`` for each file, ``run_query(events)`` for each partition.

Planning reads the text of a function and never runs it. Workers do, as it
stands: there is no sandbox. An operator can switch the language off
(``SXDASK_ALLOW_PYTHON=0``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import RequestError, close_names
from sxdask.plan.expr import Column
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, Scan
from sxdask.plan.python.functions import read, require_allowed
from sxdask.plan.selection import predicate_in
from sxdask.plan.syntax import Scope

if TYPE_CHECKING:
    from sxdask.plan.frontend import Selection
    from sxdask.plan.lexer import Limits
    from sxdask.plan.nodes import Function, SchemaSource

_KEYS: Final = ("selection", "tree", "where")


class PythonFrontend:
    """Take ``python`` requests: a function, or its text."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def parse(self, selection: Selection, source: SchemaSource) -> Plan:
        """Return the plan that calls a function.

        Parameters
        ----------
        selection
            Text that defines ``run_query``, base64 of it, a callable, or a
            mapping of ``selection`` to one of them. A function of ``events``
            takes besides ``tree``, and ``where``: native conditions on the
            events that it gets.
        source
            Trees and columns; not asked for a function of a path.

        Raises
        ------
        RequestError
            If the language is switched off, or the selection is no function
            of one argument.
        SelectionSyntaxError
            If the text is not Python, with the place.
        """
        require_allowed(self._limits)
        request = selection if isinstance(selection, Mapping) else {"selection": selection}
        for key in request:
            if key not in _KEYS:
                raise RequestError(
                    f"a python request has no option {key!r}",
                    hint=close_names(str(key), _KEYS) or "the options are: tree, where",
                )
        function, words = read(request.get("selection"), self._limits)
        if function.per == "partition":
            root = self._events(request, words, source)
            return Plan((Output("", root, function=function),))
        _refuse_options(request, function)
        return Plan((Output("", Project(Scan("", ()), ()), function=function),))

    def _events(
        self, request: Mapping[str, Any], words: frozenset[str], source: SchemaSource
    ) -> Node:
        tree = request.get("tree")
        if tree is not None and (not isinstance(tree, str) or not tree):
            raise RequestError(f"'tree' is {tree!r}"[:200], hint="give the name of one tree")
        tree = tree or source.default_tree
        if tree is None:
            raise RequestError(
                "the dataset has several trees and the request names none",
                hint=f"add tree=: one of {', '.join(map(repr, source.trees[:20]))}",
            )
        schema = source.schema(tree)
        node: Node = Scan(tree)
        for text in _conditions(request.get("where")):
            node = Filter(node, predicate_in(text, Scope(schema, self._limits)))
        named = [
            (field.name, Column(field.name))
            for field in schema.fields
            if field.reason is None and field.name in words
        ]
        return Project(node, tuple(named))


def _refuse_options(request: Mapping[str, Any], function: Function) -> None:
    for key in ("tree", "where"):
        if request.get(key) is not None:
            raise RequestError(
                f"{function.name}({function.argument}) reads the file itself, so {key!r} says"
                " nothing",
                hint="name the argument 'events' to get the events in place of a path",
            )


def _conditions(value: object) -> list[str]:
    if value is None:
        return []
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple) or not all(isinstance(item, str) for item in texts):
        raise RequestError(f"'where' is {value!r}"[:200], hint="give a text or a list of texts")
    return list(texts)
