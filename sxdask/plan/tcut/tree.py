"""What a formula says, before anybody knows what its names are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class Number:
    """A number, whole if it was written so."""

    value: float | int
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Text:
    """What stands between double quotes."""

    value: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Name:
    """A branch and what follows in square brackets; None is an empty pair of them."""

    name: str
    indices: tuple[Formula | None, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Size:
    """``@name.size()``: how many items a collection has."""

    name: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Call:
    """A function; the names of ROOT's own end with ``$``."""

    function: str
    args: tuple[Formula, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Prefix:
    """``-x`` or ``!x``."""

    op: str
    operand: Formula
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Infix:
    """Two operands of an operator; more than two of ``&&`` and ``||``, which chain."""

    op: str
    operands: tuple[Formula, ...]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Choice:
    """``condition ? yes : no``."""

    condition: Formula
    yes: Formula
    no: Formula
    start: int
    stop: int


Formula: TypeAlias = Number | Text | Name | Size | Call | Prefix | Infix | Choice


def parts(node: Formula) -> tuple[Formula, ...]:
    """Return the formulas directly inside `node` that share its instances, in ROOT's order.

    What stands in square brackets is a formula of its own.
    """
    match node:
        case Call(args=args):
            return args
        case Prefix(operand=operand):
            return (operand,)
        case Infix(operands=operands):
            return operands
        case Choice(condition=condition, yes=yes, no=no):
            return (condition, yes, no)
        case _:
            return ()


def walk(node: Formula) -> Iterator[Formula]:
    """Yield `node` and what is inside, in the order in which ROOT sees names.

    It does not look into functions such as ``Sum$``, which have instances of
    their own.
    """
    todo = [node]
    while todo:
        item = todo.pop()
        yield item
        if not (isinstance(item, Call) and item.function.endswith("$")):
            todo.extend(reversed(parts(item)))
