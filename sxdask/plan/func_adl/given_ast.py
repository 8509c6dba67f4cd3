"""A Python syntax tree, as func_adl builds it, written out as text.

The text is what errors point into. Nothing of the tree is trusted: its size
and depth are counted without recursion, only the syntax of expressions is
taken over, and constants that no text can spell (a captured NumPy scalar, a
list) become the syntax of their values.
"""

from __future__ import annotations

import ast
import math
from typing import Any, Final

from sxdask.core.errors import RequestError, RequestTooLargeError, SelectionTypeError
from sxdask.plan.func_adl.tree import OPERATORS
from sxdask.plan.lexer import MAX_TOKENS, Limits, too_deep

_SYNTAX: Final = ("ast", "_ast")


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
    except (AttributeError, TypeError, ValueError, KeyError) as error:
        raise RequestError(
            f"the syntax tree is none that Python's parser gives: {error}"[:300],
            hint="give ast.parse(text, mode='eval')",
        ) from None


def _expression(root: ast.AST) -> ast.AST:
    if isinstance(root, ast.Expression):
        return root.body
    if isinstance(root, ast.Module | ast.Interactive):
        statements = root.body
        if len(statements) != 1 or not isinstance(statements[0], ast.Expr):
            raise RequestError(
                f"a query is one expression, and this tree holds {len(statements)} statements",
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
        return _items(node.value)
    if not isinstance(node, ast.AST):
        return _items(node)
    found: list[object] = []
    for value in _parts(node).values():
        found += value if isinstance(value, list) else [value]
    return [item for item in found if isinstance(item, ast.AST)]


def _items(value: object) -> list[object]:
    if isinstance(value, dict):
        return [*value.keys(), *value.values()]
    return list(value) if isinstance(value, list | tuple) else []


def _parts(node: ast.AST) -> dict[str, Any]:
    """Return the fields of `node` that are set, by name."""
    return {name: getattr(node, name) for name in node._fields if hasattr(node, name)}


def _copied(node: ast.AST) -> Any:
    """Return the syntax of `node` alone, without what func_adl hangs on its nodes."""
    if isinstance(node, ast.Constant):
        return _constant(node.value)
    parts: dict[str, Any] = {}
    for name, value in _parts(node).items():
        if isinstance(value, ast.AST):
            parts[name] = _copied(value)
        elif isinstance(value, list):
            parts[name] = [_copied(x) if isinstance(x, ast.AST) else x for x in value]
        else:
            parts[name] = value
    kind = next((base for base in type(node).__mro__ if base.__module__ in _SYNTAX), ast.AST)
    if kind is not ast.AST:
        return kind(**parts)
    name = type(node).__name__
    if name not in OPERATORS:
        raise _no_constant(node)
    return ast.Call(ast.Name(name, ast.Load()), list(parts.values()), [])  # of qastle's library


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
    if value is None or isinstance(value, bool):
        return ast.Constant(value)
    for kind in (int, float):  # numpy.float64 is a float, and is written otherwise
        if isinstance(value, kind):
            return _number(kind(value))
    raise _no_constant(value)


def _number(value: float) -> ast.expr:
    if isinstance(value, int) and abs(value) >= 2**64:
        raise SelectionTypeError("the query holds a whole number of more than 64 bits")
    number: ast.expr = ast.Constant(abs(value))
    if not math.isfinite(value):
        name = "nan" if math.isnan(value) else "inf"
        number = ast.Attribute(ast.Name("np", ast.Load()), name, ast.Load())
    # as a constant, -2 ** 2 would lose its meaning
    return ast.UnaryOp(ast.USub(), number) if str(value).startswith("-") else number


def _no_constant(value: object) -> SelectionTypeError:
    return SelectionTypeError(
        f"the query holds a {type(value).__name__}, which is no constant of the language",
        hint="capture numbers, texts, and lists of them",
    )
