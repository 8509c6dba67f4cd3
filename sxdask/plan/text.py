"""Expressions as text: readable, with few parentheses, and the parser reads it back."""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import count
from keyword import iskeyword
from typing import TYPE_CHECKING, Final

from sxdask.plan.expr import (
    Binary,
    Call,
    Column,
    Compare,
    Constant,
    Expr,
    GetField,
    Pack,
    Slice,
    Subscript,
    Unary,
    children,
    columns_of,
    tree_size,
    walk,
    with_children,
)
from sxdask.plan.functions import FUNCTIONS, MODULES, Function

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHORT: Final = 120
"""Nodes of an expression that people can read as one line."""
_CLIPPED: Final = 300
_CLIPPED_LEVELS: Final = 5
_DOTS: Final = Column("...")

# How tight an operator binds, as in Python; equal numbers associate to the left.
_COMPARE: Final = 1
_BINDS: Final = {
    "|": 2,
    "^": 3,
    "&": 4,
    "<<": 5,
    ">>": 5,
    "+": 6,
    "-": 6,
    "*": 7,
    "/": 7,
    "//": 7,
    "%": 7,
    "**": 9,
}
_UNARY: Final = 8
_TIGHTEST: Final = 10
_PLAIN: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)


def expression_text(expr: Expr) -> str:
    """Return `expr` as the native language writes it.

    Examples
    --------
    >>> from sxdask.plan.expr import Binary, Column, Constant
    >>> product = Binary("*", Binary("+", Column("a"), Column("b")), Constant(2))
    >>> expression_text(product)
    '(a + b) * 2'
    """
    return _write(expr)[0]


def clipped_text(expr: Expr) -> str:
    """Return `expr` as text for a message: deep parts as three dots, cut at 300 characters.

    Examples
    --------
    >>> from sxdask.plan.expr import Column, Unary
    >>> expr = Column("a")
    >>> for _ in range(500):
    ...     expr = Unary("-", expr)
    >>> clipped_text(expr)
    '-----...'
    """
    if tree_size(expr, _SHORT) >= _SHORT:
        expr = _pruned(expr, _CLIPPED_LEVELS)
    text = expression_text(expr)
    return text if len(text) <= _CLIPPED else f"{text[:_CLIPPED]}..."


def _pruned(expr: Expr, levels: int) -> Expr:
    below = children(expr)
    if not below:
        return expr
    if not levels:
        return _DOTS
    return with_children(expr, tuple(_pruned(item, levels - 1) for item in below))


def with_names(exprs: Sequence[Expr]) -> tuple[tuple[Expr, ...], tuple[tuple[str, Expr], ...]]:
    """Return `exprs` with parts that they use repeatedly replaced by names, and the parts.

    Short expressions stay as they are. Later parts are made of earlier ones.
    """
    if sum(tree_size(expr, _SHORT) for expr in exprs) < _SHORT:
        return tuple(exprs), ()
    uses = Counter(exprs)
    for node in {item: None for expr in exprs for item in walk(expr)}:
        uses.update(children(node))
    taken = {name for expr in exprs for name in columns_of(expr)}
    numbers = (number for number in count(1) if f"part{number}" not in taken)
    parts: dict[Expr, str] = {}
    written: dict[Expr, Expr] = {}

    def visit(node: Expr) -> Expr:
        if node not in written:
            short = with_children(node, tuple(map(visit, children(node))))
            if uses[node] > 1 and children(node) and tree_size(short, 3) == 3:
                name = f"part{next(numbers)}"
                parts[short] = name
                short = Column(name)
            written[node] = short
        return written[node]

    named = tuple(map(visit, exprs))
    return named, tuple((name, part) for part, name in parts.items())


def _write(expr: Expr) -> tuple[str, int]:  # noqa: C901, PLR0911  one case a node
    """Return the text and how tight its outermost operator binds."""
    match expr:
        case _ if expr is _DOTS:
            return "...", _TIGHTEST
        case Column(name):
            return column_text(name), _TIGHTEST
        case Constant(value):
            return _constant(value)
        case Unary(op, operand):
            return f"{op}{_within(operand, _UNARY)}", _UNARY
        case Binary("&" | "|" as op):
            parts = [_within(item, _BINDS[op] + 1) for item in _chain(expr, op)]
            return f" {op} ".join(parts), _BINDS[op]
        case Binary("**", left, right):
            return f"{_within(left, _BINDS['**'] + 1)} ** {_within(right, _UNARY)}", _BINDS["**"]
        case Binary(op, left, right):
            level = _BINDS[op]
            return f"{_within(left, level)} {op} {_within(right, level + 1)}", level
        case Compare(op, left, right):
            # & inside a comparison is legal without parentheses and misread by people
            level = _BINDS["&"] + 1
            return f"{_within(left, level)} {op} {_within(right, level)}", _COMPARE
        case Call():
            return _call(expr), _TIGHTEST
        case Subscript(value, items):
            places = ", ".join(map(_place, items))
            return f"{_within(value, _TIGHTEST)}[{places}]", _TIGHTEST
        case GetField(value, name):
            return f"{_within(value, _TIGHTEST)}[{_quoted(name)}]", _TIGHTEST
        case Pack():
            return _pack(expr), _TIGHTEST


def _within(expr: Expr, least: int) -> str:
    text, level = _write(expr)
    return text if level >= least else f"({text})"


def _chain(expr: Expr, op: str) -> list[Expr]:
    found: list[Expr] = []
    todo = [expr]
    while todo:
        item = todo.pop()
        if isinstance(item, Binary) and item.op == op:
            todo.extend((item.right, item.left))
        else:
            found.append(item)
    return found


def column_text(name: str) -> str:
    """Return how an expression names the column `name`."""
    words = name.split(".")
    if _PLAIN.fullmatch(name) and words[0] not in MODULES and not any(map(iskeyword, words)):
        return name
    return f"get({_quoted(name)})"


def _quoted(text: str) -> str:
    return f"'{text}'" if '"' in text else f'"{text}"'


def _constant(value: object) -> tuple[str, int]:
    if isinstance(value, str):
        return _quoted(value), _TIGHTEST
    if isinstance(value, bool) or value is None:
        return str(value), _TIGHTEST
    if isinstance(value, float) and not math.isfinite(value):
        name = "np.nan" if math.isnan(value) else "np.inf"
        return (f"-{name}", _UNARY) if value < 0 else (name, _TIGHTEST)
    text = repr(value)
    return text, _UNARY if text.startswith("-") else _TIGHTEST


def _place(item: Slice | Expr) -> str:
    if not isinstance(item, Slice):
        return expression_text(item)
    start, stop, step = ("" if part is None else str(part) for part in _parts(item))
    return f"{start}:{stop}" + (f":{step}" if step else "")


def _parts(item: Slice) -> tuple[int | None, int | None, int | None]:
    return item.start, item.stop, item.step


def _call(call: Call) -> str:
    function = FUNCTIONS.get(call.function)
    required = len(call.args) if function is None or function.variadic else function.num_required
    parts = [expression_text(item) for item in call.args[:required]]
    if function is not None and not function.variadic:
        names = function.arrays[required:]
        extra = zip(names, call.args[required:], strict=False)
        parts += [f"{name}={expression_text(item)}" for name, item in extra]
    parts += [
        f"{name}={_option(value)}"
        for name, value in call.options
        if not _goes_without_saying(function, name, value)
    ]
    return f"{call.function}({', '.join(parts)})"


def _goes_without_saying(function: Function | None, name: str, value: object) -> bool:
    # an axis is left out only where awkward's own default is the same as ours
    if function is None or name != "axis" or function.axis != function.awkward_axis:
        return False
    return value == function.axis


def _option(value: object) -> str:
    if isinstance(value, tuple):
        return "[" + ", ".join(_constant(item)[0] for item in value) + "]"
    return _constant(value)[0]


def _pack(pack: Pack) -> str:
    if pack.names is None:
        return "[" + ", ".join(map(expression_text, pack.items)) + "]"
    pairs = zip(pack.names, pack.items, strict=True)
    return "{" + ", ".join(f"{_quoted(key)}: {expression_text(item)}" for key, item in pairs) + "}"
