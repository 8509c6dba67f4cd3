"""Read a call: which function, which arguments, and nothing else that could be called."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from sxdask.core.errors import close_names
from sxdask.plan.binding import Argument, BindingError, bind
from sxdask.plan.expr import Call, Constant, Expr, Pack, Unary
from sxdask.plan.functions import MODULES, NEGATIVE, Function, find_function, function_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.plan.reader import Reader


def read_call(reader: Reader, node: ast.Call) -> Expr:
    """Return the call that `node` is, with every default made explicit.

    A name in call position is a function even where a branch has the same
    name, as in uproot.

    Raises
    ------
    SelectionSyntaxError
        If what is called is not a function of the table.
    SelectionTypeError
        If the arguments are not those of the function.
    """
    name = _function_name(reader, node.func)
    if name == "get":
        return _get(reader, node)
    span = reader.span(node)
    if name in NEGATIVE and len(node.args) == 1 and not node.keywords:
        return Unary("-", reader.visit(node.args[0]), span)
    function = find_function(name)
    if function is None:
        if name in reader.scope.schema or name in reader.scope.aliases:
            raise reader.source.type_error(
                Constant(None, span), f"{name!r} is a branch and cannot be called"
            )
        hint = "use num(...)" if name == "len" else close_names(name, function_names())
        reader.refuse(node, f"there is no function {name!r}", hint)
    positional, named = _arguments(reader, node, function)
    try:
        args, options = bind(function, positional, named, standard_axis=reader.scope.standard_axis)
    except BindingError as error:
        place = span if error.column is None else (error.column, error.column)
        raise reader.source.type_error(
            Constant(None, place), error.problem, hint=error.hint
        ) from None
    return Call(function.name, args, options, span)


def _function_name(reader: Reader, node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        if isinstance(node.value, ast.Name) and node.value.id in MODULES:
            return node.attr
        if find_function(node.attr) is not None:
            start, stop = reader.span(node.value)
            reader.refuse(
                node,
                f"there are no methods, so no .{node.attr}()",
                f"call the function: {node.attr}({reader.source.text[start:stop][:60]})",
            )
    return reader.refuse(node, "only functions can be called")


def _get(reader: Reader, node: ast.Call) -> Expr:
    if len(node.args) == 1 and not node.keywords:
        (argument,) = node.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
            start, stop = reader.span(argument)
            return reader.name(reader.source.text[start + 1 : stop - 1], (start + 1, stop - 1))
    return reader.refuse(node, "get takes the name of one branch", 'such as get("Jets.fPt")')


def _arguments(
    reader: Reader, node: ast.Call, function: Function
) -> tuple[list[Argument], dict[str, Argument]]:
    positional = [_argument(reader, item, packs=function.takes_list) for item in node.args]
    named: dict[str, Argument] = {}
    for item in node.keywords:
        if item.arg is None or item.arg in named:
            reader.refuse(item.value, "this argument is not part of the language")
        named[item.arg] = _argument(reader, item.value, packs=function.takes_list)
    return positional, named


def _argument(reader: Reader, node: ast.expr, *, packs: bool) -> Argument:
    span = reader.span(node)
    if isinstance(node, ast.Constant) and node.value is None:
        return Argument(span[0], None, None, is_constant=True)
    if isinstance(node, ast.List | ast.Tuple):
        texts = tuple(_texts(reader, node.elts))
        if texts and len(texts) == len(node.elts):
            return Argument(span[0], None, texts, is_constant=True)
        if packs:
            return Argument(span[0], Pack(_each(reader, node.elts), None, span))
    if packs and isinstance(node, ast.Dict):
        keys = tuple(_texts(reader, [key for key in node.keys if key is not None]))
        if len(keys) != len(node.values) or len(set(keys)) != len(keys):
            reader.refuse(node, "the keys must be different texts")
        return Argument(span[0], Pack(_each(reader, node.values), keys, span))
    expr = reader.visit(node)
    if isinstance(expr, Constant):
        return Argument(span[0], expr, expr.value, is_constant=True)
    return Argument(span[0], expr)


def _each(reader: Reader, nodes: Sequence[ast.expr]) -> tuple[Expr, ...]:
    return tuple(reader.visit(node) for node in nodes)


def _texts(reader: Reader, nodes: Sequence[ast.expr]) -> list[str]:
    texts: list[str] = []
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            start, stop = reader.span(node)
            texts.append(reader.source.text[start + 1 : stop - 1])
    return texts
