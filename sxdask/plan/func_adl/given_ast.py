"""A Python syntax tree, as func_adl builds it, written out as text.

The text is what errors point into. Nothing of the tree is trusted: its size
and depth are counted without recursion, only the syntax of expressions is
taken over, and constants that no text can spell (a captured NumPy scalar, a
list) become the syntax of their values.
"""

from __future__ import annotations

import ast
import math
from typing import Final

from sxdask.core.errors import RequestError, RequestTooLargeError, SelectionTypeError
from sxdask.plan.func_adl.tree import OPERATORS
from sxdask.plan.lexer import MAX_TOKENS, Limits, too_deep

_CONTAINERS: Final = (list, tuple, dict)


def text_of(root: ast.AST, limits: Limits) -> str:
    """Return the Python text of `root`: an expression, or a module of one.

    Raises
    ------
    RequestError
        If it holds several statements.
    RequestTooLargeError
        If it is too deep or too large.
    SelectionTypeError
        If it holds a value that is no constant of the language.
    """
    node = _expression(root)
    _require_bounds(node, limits)
    try:
        return ast.unparse(_copied(node))
    except RecursionError:
        raise too_deep(limits) from None


def _expression(root: ast.AST) -> ast.AST:
    if isinstance(root, ast.Expression):
        return root.body
    if isinstance(root, ast.Module | ast.Interactive):
        statements = root.body
        if len(statements) != 1 or not isinstance(statements[0], ast.Expr):
            raise RequestError(
                f"the syntax tree holds {len(statements)} statements, and a query is one expression",
                hint="give ast.parse(text, mode='eval')",
            )
        return statements[0].value
    return root.value if isinstance(root, ast.Expr) else root


def _require_bounds(root: ast.AST, limits: Limits) -> None:
    todo: list[tuple[object, int]] = [(root, 1)]
    num_nodes = 0
    while todo:
        node, level = todo.pop()
        num_nodes += 1
        if level > limits.max_nesting:
            raise too_deep(limits)
        if num_nodes > MAX_TOKENS:
            raise RequestTooLargeError(
                f"the query has more than {MAX_TOKENS} parts",
                hint="split it into several queries",
            )
        todo.extend((child, level + 1) for child in _below(node))


def _below(node: object) -> list[object]:
    """Return what hangs right below `node`; a list of nodes is no level of its own."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, _CONTAINERS) else []
    if isinstance(node, ast.AST):
        found: list[object] = []
        for name in _fields(node):
            value = getattr(node, name, None)
            found.extend(value if isinstance(value, list) else [value])
        return [item for item in found if isinstance(item, ast.AST)]
    if isinstance(node, dict):
        return [*node.keys(), *node.values()]
    return list(node) if isinstance(node, list | tuple) else []


def _fields(node: ast.AST) -> tuple[str, ...]:
    return tuple(node._fields)


def _copied(node: ast.AST) -> ast.AST:
    """Return the syntax of `node` alone, without what func_adl hangs on its nodes."""
    if isinstance(node, ast.Constant):
        return _constant(node.value)
    name = type(node).__name__
    if name in OPERATORS and not isinstance(node, ast.expr):  # a node of qastle's library
        parts = [_copied(getattr(node, field)) for field in _fields(node)]
        return ast.Call(ast.Name(name, ast.Load()), parts, [])
    kind = next((base for base in type(node).__mro__ if base.__module__ in {"ast", "_ast"}), None)
    if kind is None or not hasattr(node, "_fields"):
        raise _no_constant(node)
    copy: dict[str, object] = {}
    for field in _fields(node):
        value = getattr(node, field, None)
        if isinstance(value, list):
            value = [_copied(item) if isinstance(item, ast.AST) else item for item in value]
        copy[field] = _copied(value) if isinstance(value, ast.AST) else value
    return kind(**copy)


def _constant(value: object) -> ast.expr:
    """Return the syntax that stands for a captured value."""
    if isinstance(value, dict):
        return ast.Dict(
            [_constant(key) for key in value], [_constant(item) for item in value.values()]
        )
    if isinstance(value, list | tuple):
        return ast.List([_constant(item) for item in value], ast.Load())
    if isinstance(value, str):
        return ast.Constant(str(value))
    if not (value is None or isinstance(value, bool | int | float)):
        value = _scalar(value)
    if isinstance(value, float) and not math.isfinite(value):
        name = "nan" if math.isnan(value) else "inf"
        number = ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load())
        return ast.UnaryOp(ast.USub(), number) if value < 0 else number
    return ast.Constant(value)


def _scalar(value: object) -> bool | int | float | str:
    """Return the Python value of a NumPy scalar, which is not imported here."""
    item = getattr(value, "item", None)
    if type(value).__module__ == "numpy" and callable(item) and not getattr(value, "shape", True):
        found = item()
        if isinstance(found, bool | int | float | str):
            return found
    raise _no_constant(value)


def _no_constant(value: object) -> SelectionTypeError:
    return SelectionTypeError(
        f"the query holds a value of type {type(value).__name__}, which is no constant of the language",
        hint="capture numbers, texts, and lists of them",
    )
