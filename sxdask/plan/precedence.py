"""Find the classic mistake ``a >= 2 & b > 50``, which Python reads as ``a >= (2 & b) > 50``."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.plan.place import SourceText

_SIGNS: Final[dict[type[ast.operator], str]] = {ast.BitAnd: "&", ast.BitOr: "|"}


def require_parentheses(
    node: ast.Compare,
    source: SourceText,
    lead: int,
    is_mistake: Callable[[ast.BinOp], bool],
) -> None:
    """Refuse a comparison whose side is an ``&`` or ``|`` that was meant to join comparisons.

    ``Jet_jetId & 4 == 4`` is a bit test and passes; a chain, or operands that
    make no bit test (`is_mistake`), does not.

    Raises
    ------
    SelectionSyntaxError
        At the operator, with the parenthesised form in the hint.
    """
    operands = [node.left, *node.comparators]
    for operand in operands:
        if not isinstance(operand, ast.BinOp) or type(operand.op) not in _SIGNS:
            continue
        if _is_parenthesised(operand, source.text, lead):
            continue
        # x > 50 & y: nobody masks a literal from the right
        literal = operand is not node.left and isinstance(operand.left, ast.Constant)
        if len(node.ops) > 1 or literal or is_mistake(operand):
            sign = _SIGNS[type(operand.op)]
            raise source.syntax_error(
                _operator_column(operand, source.text, lead),
                f"{sign} binds tighter than comparisons, so this joins values and not conditions",
                hint=f"parenthesise each comparison: {_corrected(node, source.text, lead)}",
            )


def _is_parenthesised(node: ast.expr, text: str, lead: int) -> bool:
    start, stop = _ends(node, lead)
    return text[:start].rstrip().endswith("(") and text[stop:].lstrip().startswith(")")


def _ends(node: ast.expr, lead: int) -> tuple[int, int]:
    return node.col_offset + lead, (node.end_col_offset or node.col_offset) + lead


def _operator_column(node: ast.BinOp, text: str, lead: int) -> int:
    sign = _SIGNS[type(node.op)]
    return text.index(sign, _ends(node.left, lead)[1])


def _corrected(node: ast.Compare, text: str, lead: int) -> str:
    """Return the text with a pair of parentheses around each comparison."""
    operands = [node.left, *node.comparators]
    first = _pieces(operands[0], text, lead)
    *done, current = first
    for position, operand in enumerate(operands[1:]):
        between = text[_ends(operands[position], lead)[1] : _ends(operand, lead)[0]].strip(" ()")
        head, *tail = _pieces(operand, text, lead)
        current = f"{current} {between} {head}"
        for piece in tail:
            done.append(_wrapped(current))
            current = piece
    return " ".join((*done, _wrapped(current)))[:200]


def _wrapped(piece: str) -> str:
    sign = piece[:2] if piece[:2] in {"& ", "| "} else ""
    return f"{sign}({piece.removeprefix(sign)})"


def _pieces(node: ast.expr, text: str, lead: int) -> list[str]:
    """Return the operands of an unparenthesised chain, each but the first with its sign."""
    if (
        isinstance(node, ast.BinOp)
        and type(node.op) in _SIGNS
        and not _is_parenthesised(node, text, lead)
    ):
        start, stop = _ends(node.right, lead)
        left = _pieces(node.left, text, lead)
        return [*left, f"{_SIGNS[type(node.op)]} {text[start:stop]}"]
    start, stop = _ends(node, lead)
    return [text[start:stop]]
