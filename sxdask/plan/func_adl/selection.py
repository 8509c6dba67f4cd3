"""What a user hands over as a func_adl or qastle query -> query tree and its text."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import RecipeError, RequestError, close_names
from sxdask.plan.func_adl.given_ast import text_of
from sxdask.plan.func_adl.python_text import parse_python
from sxdask.plan.func_adl.qastle_text import parse_qastle
from sxdask.plan.func_adl.whole import EXAMPLE
from sxdask.plan.place import SourceText

if TYPE_CHECKING:
    from sxdask.plan.func_adl.tree import Tree
    from sxdask.plan.lexer import Limits

_KEYS: Final = ("selection", "tree")
_NODE: Final = re.compile(
    r"""\s*\(\s*(?!lambda\s+[A-Za-z_*:])(?:[A-Za-z]+|[-+*/%&^|~<>=!]+)[\s)]""", re.ASCII
)


def tree_of(selection: object, limits: Limits) -> tuple[Tree, SourceText]:
    """Return the query tree of `selection`, and the text that its spans refer to.

    `selection` is Python text, qastle (text that begins with a parenthesis
    and a kind of node), a Python syntax tree, a func_adl query, or a mapping
    of one of these as ``selection`` and, if wanted, of ``tree``, the name of
    the tree to read in place of the one in the query.

    Raises
    ------
    RecipeError
        If the mapping is malformed or has an unknown key.
    RequestError
        If it is none of these, or empty.
    SelectionSyntaxError, RequestTooLargeError
        If the text is not a query, with the place, or beyond a limit.
    """
    query, name = options_of(selection)
    text = _text(query, limits)
    parse = parse_qastle if is_qastle(text) else parse_python
    return parse(text, limits, name), SourceText(text)


def options_of(selection: object) -> tuple[object, str | None]:
    """Return the query itself and the name of the tree that is given beside it.

    Raises
    ------
    RecipeError
        If a mapping has an unknown key, or no query.
    """
    if not isinstance(selection, Mapping):
        return selection, None
    for key in selection:
        if key not in _KEYS:
            raise RecipeError(
                f"the request has no key {key!r}"[:200],
                hint=close_names(str(key), _KEYS) or f"the keys are {', '.join(_KEYS)}",
            )
    if selection.get("selection") is None:
        raise RecipeError("the request has no 'selection'", hint=EXAMPLE)
    tree = selection.get("tree")
    if tree is not None and (not isinstance(tree, str) or not tree):
        raise RecipeError(f"'tree' is {tree!r}"[:200], hint="give the name of one tree")
    return selection["selection"], tree


def is_qastle(text: str) -> bool:
    """Return whether `text` is qastle: it begins as a node does, and no query in Python.

    Examples
    --------
    >>> is_qastle("(call Count (call EventDataset))"), is_qastle("(EventDataset().Count())")
    (True, False)
    """
    return _NODE.match(text) is not None


def _text(query: Any, limits: Limits) -> str:
    if isinstance(query, str):
        return query
    provided = getattr(query, "provided_qastle", None)  # of a query of the ServiceX client
    if isinstance(provided, str) and provided:
        return provided
    syntax = getattr(query, "query_ast", query)
    if isinstance(syntax, ast.AST):
        return text_of(syntax, limits)
    raise RequestError(
        f"a query is text, a syntax tree or a func_adl query, and not {type(query).__name__}",
        hint=EXAMPLE,
    )
