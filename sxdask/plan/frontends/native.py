"""The native language: a mapping of tree, conditions and columns, in awkward's words.

``{"tree": "Events", "where": "nMuon >= 2", "select": ["Muon_*", "ht"],
"define": {"ht": "sum(Jet_pt)"}}``, as JSON text or as a mapping. Every key
may be left out: the dataset's tree, all events, all columns.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import RecipeError, SelectionTypeError, close_names
from sxdask.plan.expr import Column, Expr
from sxdask.plan.lexer import Limits, require_size
from sxdask.plan.nodes import Filter, Node, Output, Plan, Project, Scan
from sxdask.plan.selection import chosen_by, distinct, predicate_in
from sxdask.plan.syntax import Scope

if TYPE_CHECKING:
    from sxdask.plan.frontend import Selection
    from sxdask.plan.nodes import SchemaSource

_KEYS: Final = ("tree", "where", "select", "define")


class NativeFrontend:
    """Parse native selections."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def parse(self, selection: Selection, source: SchemaSource) -> Plan:
        """Return the plan for `selection`.

        ``where`` may be a list: all of its conditions hold. Without
        ``select`` the result has every readable column and every defined one.

        Raises
        ------
        RecipeError
            If the mapping is malformed or has an unknown key.
        SelectionSyntaxError, SelectionTypeError, UnknownBranchError
            If an expression is wrong, with the place.
        """
        query = self._mapping(selection)
        tree = query.get("tree")
        if tree is not None and not isinstance(tree, str):
            raise RecipeError(f"'tree' is {tree!r}", hint="give the name of one tree")
        tree = tree or source.default_tree
        if tree is None:
            raise RecipeError(
                "the dataset has several trees and the selection names none",
                hint=f"add 'tree': one of {', '.join(map(repr, source.trees[:20]))}",
            )
        define = _define(query.get("define"))
        scope = Scope(source.schema(tree), self._limits, define)
        for name in define:
            if name in scope.schema:
                raise SelectionTypeError(
                    f"{name!r} is already a column of tree {tree!r}",
                    hint="give the defined column another name",
                    column=name,
                )
        node: Node = Scan(tree)
        for text in _texts(query.get("where"), "where"):
            node = Filter(node, predicate_in(text, scope))
        return Plan((Output("", Project(node, self._outputs(query, scope))),))

    def _mapping(self, selection: Selection) -> Mapping[str, Any]:
        if isinstance(selection, str):
            require_size(selection, self._limits)
            try:
                selection = json.loads(selection)
            except (ValueError, RecursionError) as error:
                raise RecipeError(
                    f"the selection is not JSON: {error}",
                    hint='such as {"where": "nMuon >= 2", "select": ["Muon_pt"]}',
                ) from None
        if not isinstance(selection, Mapping):
            raise RecipeError("a native selection is a mapping", hint=f"its keys are {_KEYS}")
        for key in selection:
            if key not in _KEYS:
                known = f"the keys are {', '.join(_KEYS)}"
                raise RecipeError(
                    f"a native selection has no key {key!r}",
                    hint=close_names(str(key), _KEYS) or known,
                )
        return selection

    def _outputs(self, query: Mapping[str, Any], scope: Scope) -> tuple[tuple[str, Expr], ...]:
        select = query.get("select")
        if select is None:
            pairs: list[tuple[str, Expr]] = [
                (field.name, Column(field.name))
                for field in scope.schema.fields
                if field.reason is None
            ]
            pairs += [(name, scope.alias(name)) for name in scope.aliases]
            return distinct(pairs)
        names = _texts(select, "select")
        return distinct(pair for name in names for pair in chosen_by(name, scope))


def _texts(value: object, key: str) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Sequence) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise RecipeError(f"{key!r} is {value!r}"[:200], hint="give a text or a list of texts")


def _define(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if isinstance(value, Mapping) and all(
        isinstance(key, str) and isinstance(text, str) for key, text in value.items()
    ):
        return dict(value)
    raise RecipeError(
        f"'define' is {value!r}"[:200], hint="give a mapping of new names to expressions"
    )
