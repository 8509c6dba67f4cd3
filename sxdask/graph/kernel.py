"""Programs: expressions compiled to a short list of steps, equal parts computed once.

A program is what travels to the workers in place of plan nodes: plain strings,
numbers and tuples, a few hundred bytes for a typical request. `run` is a loop
over the steps; there is no generated source and no evaluation of user text.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sxdask.core.errors import RequestError, SxdaskError
from sxdask.graph.concat import Joined, concatenate
from sxdask.graph.ops import is_elementwise, operation
from sxdask.graph.pick import Picked, pick
from sxdask.graph.plain import elementwise
from sxdask.graph.product import outer
from sxdask.graph.shortcut import shortcut
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
)
from sxdask.plan.text import clipped_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sxdask.rootio.model import BoolArray


_INT64_END = 2**63


@dataclass(frozen=True, slots=True)
class Step:
    """One operation on earlier slots.

    `extra` holds what is not an array: options as pairs, the constant's value,
    a field name, the shape of a subscript. `text` is for error messages.
    """

    name: str
    args: tuple[int, ...] = ()
    extra: tuple[Any, ...] = ()
    text: str = ""


@dataclass(frozen=True, slots=True)
class Program:
    """Columns come in as the first slots, each step adds one; `results` are slots."""

    columns: tuple[str, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]


def compile_program(expressions: Sequence[Expr]) -> Program:
    """Compile `expressions` into one program; equal subexpressions share a slot.

    Raises
    ------
    RequestError
        If an operation has no evaluation.
    """
    columns: dict[str, int] = {}
    for expr in expressions:
        for name in columns_of(expr):
            columns.setdefault(name, len(columns))
    steps: list[Step] = []
    slots: dict[Expr, int] = {Column(name): slot for name, slot in columns.items()}

    def place(expr: Expr) -> int:
        if expr in slots:
            return slots[expr]
        short = shortcut(expr) or expr
        args = tuple(place(item) for item in children(short))
        steps.append(_step(short, args, clipped_text(expr)))
        slots[expr] = len(columns) + len(steps) - 1
        return slots[expr]

    results = tuple(place(expr) for expr in expressions)
    return Program(tuple(columns), tuple(steps), results)


def _step(expr: Expr, args: tuple[int, ...], text: str) -> Step:
    match expr:
        case Constant(value):
            return Step("constant", (), (value,), text)
        case Unary(op):
            return Step(f"unary:{op}", args, (), text)
        case Binary(op):
            return Step(f"binary:{op}", args, (), text)
        case Compare(op):
            return Step(f"compare:{op}", args, (), text)
        case Call(function, _, options):
            operation(function)  # refuse here, not on a worker
            return Step(function, args, options, text)
        case Subscript(_, items):
            shape = tuple(
                (item.start, item.stop, item.step) if isinstance(item, Slice) else None
                for item in items
            )
            return Step("subscript", args, shape, text)
        case GetField(_, name):
            return Step("field", args, (name,), text)
        case Pack(_, names):
            return Step("pack", args, names or (), text)
        case Column(name):
            raise RequestError(f"column {name!r} has no slot")


def run(program: Program, arrays: Mapping[str, ak.Array]) -> list[Any]:
    """Evaluate `program` on columns of equal length; return one value per result.

    A slot is dropped after its last use, so that intermediate arrays do not
    pile up. Numeric warnings (division by zero, NaN) are not errors: the values
    say it.

    Raises
    ------
    RequestError
        If an operation fails on the data; names the part of the expression.
    """
    slots: list[Any] = [arrays[name] for name in program.columns]
    picked: dict[int, Picked] = {}
    joined: list[Joined] = []
    last_use = _last_uses(program)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for number, step in enumerate(program.steps):
            try:
                slots.append(_evaluate(step, slots, picked, joined))
            except SxdaskError:
                raise
            except Exception as error:  # whatever awkward raises, in one readable line
                raise _failure(step, error) from error
            for slot in last_use.get(number, ()):
                slots[slot] = None
                picked.pop(slot, None)
    return [slots[slot] for slot in program.results]


def _last_uses(program: Program) -> dict[int, list[int]]:
    last: dict[int, int] = {}
    for number, step in enumerate(program.steps):
        for slot in step.args:
            last[slot] = number
    dead: dict[int, list[int]] = {}
    for slot, number in last.items():
        if slot not in program.results:
            dead.setdefault(number, []).append(slot)
    return dead


def _evaluate(step: Step, slots: list[Any], picked: dict[int, Picked], joined: list[Joined]) -> Any:
    args = [slots[slot] for slot in step.args]
    match step.name:
        case "constant":
            return _constant(step.extra[0])
        case "subscript" if step.extra == (None,):
            value, index = args
            found = pick(value, index, picked.get(step.args[1]), picked.values())
            if found is None:
                return value[index]
            items, picked[step.args[1]] = found
            return items
        case "subscript":
            rest = iter(args[1:])
            where = tuple(next(rest) if item is None else slice(*item) for item in step.extra)
            return args[0][where if len(where) != 1 else where[0]]
        case "field":
            (name,) = step.extra
            # broadcast_arrays gives a list of arrays, everything else records
            return args[0][int(name) if isinstance(args[0], list | tuple) else name]
        case "pack":
            return dict(zip(step.extra, args, strict=True)) if step.extra else args
        case "concatenate":
            return concatenate(args[0], joined, **dict(step.extra))
        case _:
            function = operation(step.name)
            if not step.extra and is_elementwise(function):
                found = elementwise(function, args)
                found = outer(function, args) if found is None else found
                if found is not None:
                    return found
            return function(*args, **dict(step.extra))


def _constant(value: Any) -> Any:
    # awkward casts Python integers to int64; an event number may be beyond it
    return np.uint64(value) if type(value) is int and value >= _INT64_END else value


def _failure(step: Step, error: Exception) -> RequestError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # awkward adds where its kernel's source is
    cause = lines[0].partition(" (in compiled code: ")[0] if lines else type(error).__name__
    hint = None
    if step.name in {"subscript", "first_by"} and isinstance(error, IndexError | ValueError):
        hint = (
            "some events have fewer items: add a condition on the count,"
            " or in native expressions use firsts(...)"
        )
    elif "broadcast" in cause:
        hint = (
            "the two sides have different list lengths; combine with cartesian(...) instead,"
            " in func_adl with a Select inside a Select"
        )
    return RequestError(f"{step.text} cannot be evaluated: {cause}", hint=hint, operation=step.name)


@dataclass(frozen=True, slots=True)
class MaskProgram:
    """A predicate as a mask function: columns of n rows -> booleans, shape ``(n,)``.

    A missing value (the maximum of no items) is not true.
    """

    program: Program

    def __call__(self, arrays: Mapping[str, ak.Array]) -> BoolArray:
        """Evaluate on columns of equal length."""
        (value,) = run(self.program, arrays)
        if not isinstance(value, ak.Array):  # a constant predicate
            length = len(next(iter(arrays.values()))) if arrays else 1
            return np.full(length, bool(value), dtype=np.bool_)
        if value.ndim != 1:
            raise RequestError(
                f"the predicate has {value.ndim - 1} list dimension(s) below the event",
                hint="reduce it with any(..., axis=1) or all(..., axis=1)",
            )
        layout = ak.fill_none(value, value=False, axis=0) if value.layout.is_option else value
        mask: BoolArray = np.asarray(ak.to_numpy(layout)) != 0
        return mask
