"""Histograms as users write them: ``{"met": {"column": "MET_pt", "bins": 100, ...}}``.

A column is an output of the request by name, or a native expression over them.
Either way it becomes an output of its own, so that nothing else is computed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeGuard

from sxdask.core.errors import RecipeError, close_names
from sxdask.core.results import Axis, Histogram
from sxdask.core.types import Field, Primitive, Record, Schema, String, Type, Unknown
from sxdask.plan.broadcast import leaf_of
from sxdask.plan.expr import Column, Expr, GetField, substitute
from sxdask.plan.nodes import Node, Project
from sxdask.plan.selection import parse_expression
from sxdask.plan.subscript_types import field_type
from sxdask.plan.types import infer

if TYPE_CHECKING:
    from sxdask.plan.lexer import Limits

_AXIS_KEYS: Final = ("column", "bins", "start", "stop", "edges", "categories", "label")
_MOST_BINS: Final = 10_000_000
_EXAMPLE: Final = "such as {column: MET_pt, bins: 100, start: 0, stop: 200}"


def parse_histograms(
    specs: object, root: Node, schema: Schema, limits: Limits
) -> tuple[Project, tuple[Histogram, ...]]:
    """Return the histograms that `specs` describe, and `root` with the columns they need.

    Parameters
    ----------
    specs
        Name to mapping: either one axis (``column`` with ``bins``, ``start``
        and ``stop``, or with ``edges``, or with ``categories``; ``label``), or
        ``axes``, a list of such; beside either ``weight``, a column.
    root
        The request.
    schema
        Its columns.
    limits
        Bounds of the expressions.

    Raises
    ------
    RecipeError
        If a mapping is malformed.
    SelectionSyntaxError, SelectionTypeError, UnknownBranchError
        If a column is wrong, with the place.
    """
    if not isinstance(specs, Mapping) or not specs:
        raise RecipeError(
            f"the histograms are {specs!r}"[:200],
            hint=f"give a mapping of names to axes, {_EXAMPLE}",
        )
    parser = _Parser(schema, limits)
    found = tuple(parser.histogram(str(name), spec) for name, spec in specs.items())
    return Project(root, tuple(parser.columns.items())), found


class _Parser:
    """`columns` collects what the histograms are filled from."""

    def __init__(self, schema: Schema, limits: Limits) -> None:
        self.columns: dict[str, Expr] = {}
        self._fields = _fields_of_value(schema)
        self._schema = schema
        self._limits = limits

    def histogram(self, name: str, spec: object) -> Histogram:
        """Return one histogram."""
        if not isinstance(spec, Mapping):
            raise _mistake(name, f"it is {spec!r}", _EXAMPLE)
        rest = {key: value for key, value in spec.items() if key not in {"weight", "axes"}}
        axes = spec.get("axes")
        if axes is None:
            axes = [rest]
        elif rest:
            raise _mistake(name, f"{next(iter(rest))!r} stands beside 'axes'", "put it in an axis")
        if not isinstance(axes, Sequence) or isinstance(axes, str) or not axes:
            raise _mistake(name, f"'axes' is {axes!r}", "give a list of axes")
        found = tuple(self._axis(name, axis) for axis in axes)
        size = math.prod(_num_bins(axis) + 2 for axis in found)
        if size > _MOST_BINS:
            raise _mistake(name, f"it has {size} bins, more than {_MOST_BINS}", "take fewer bins")
        weight = spec.get("weight")
        return Histogram(name, found, None if weight is None else self._column(name, weight))

    def _axis(self, name: str, spec: object) -> Axis:
        if not isinstance(spec, Mapping):
            raise _mistake(name, f"an axis is {spec!r}", _EXAMPLE)
        for key in spec:
            if key not in _AXIS_KEYS:
                known = f"the keys are {', '.join(_AXIS_KEYS)}"
                hint = close_names(str(key), _AXIS_KEYS) or known
                raise _mistake(name, f"an axis has no key {key!r}", hint)
        categories = spec.get("categories")
        column = self._column(name, spec.get("column", ""), categories=categories)
        label = spec.get("label", "")
        if not isinstance(label, str):
            raise _mistake(name, f"'label' is {label!r}", "give a text")
        kinds = [key for key in ("bins", "edges", "categories") if spec.get(key) is not None]
        if len(kinds) != 1:
            raise _mistake(name, "an axis needs bins, edges or categories", _EXAMPLE)
        match kinds[0]:
            case "bins":
                return _regular(name, column, spec, label)
            case "edges":
                return Axis(column, edges=_edges(name, spec["edges"]), label=label)
            case _:
                return Axis(column, categories=_categories(name, categories), label=label)

    def _expression(self, text: str) -> Expr:
        if text in self._schema:
            return Column(text)
        if not self._fields:
            return parse_expression(text, self._schema, self._limits)
        value = self._schema[""].type
        known = [Field(name, field_type(value, name)) for name in self._fields]
        expr = parse_expression(text, Schema(tuple(known), self._schema.tree), self._limits)
        return substitute(expr, self._fields)

    def _column(self, name: str, text: object, *, categories: object = None) -> str:
        """Return the output that `text` names, made if it is an expression."""
        if not isinstance(text, str):
            raise _mistake(name, f"a column is {text!r}", "give a column or an expression")
        if not text and "" not in self._schema:
            raise _mistake(name, "an axis names no 'column'", _EXAMPLE)
        if text not in self.columns:
            expr = self._expression(text)
            leaf = leaf_of(infer(expr, self._schema))
            what = _wanted(categories)
            if not _is_kind(leaf, what):
                raise _mistake(
                    name, f"{text or 'the result'} is {leaf}", f"an axis here takes {what}"
                )
            self.columns[text] = expr
        return text


def _fields_of_value(schema: Schema) -> dict[str, Expr]:
    """Return the fields of records that are a result without a name: ``{'pt': e.Jet_pt}``."""
    if "" not in schema:
        return {}
    leaf = leaf_of(schema[""].type)
    names = [name for name, _ in leaf.fields] if isinstance(leaf, Record) else []
    return {name: GetField(Column(""), name) for name in names}


def _regular(name: str, column: str, spec: Mapping[Any, Any], label: str) -> Axis:
    bins, start, stop = spec["bins"], spec.get("start"), spec.get("stop")
    if type(bins) is not int or not 1 <= bins <= _MOST_BINS:
        raise _mistake(name, f"'bins' is {bins!r}", "give a whole number of bins")
    if not _is_number(start) or not _is_number(stop) or start >= stop:
        raise _mistake(
            name, f"the axis goes from {start!r} to {stop!r}", "give start and stop, start < stop"
        )
    return Axis(column, bins=bins, start=float(start), stop=float(stop), label=label)


def _edges(name: str, edges: object) -> tuple[float, ...]:
    numbers = list(edges) if isinstance(edges, Sequence) and not isinstance(edges, str) else []
    rising = all(_is_number(edge) for edge in numbers) and all(
        low < high for low, high in pairwise(numbers)
    )
    if len(numbers) < 2 or not rising:
        raise _mistake(name, f"'edges' is {edges!r}", "give at least two rising numbers")
    return tuple(map(float, numbers))


def _categories(name: str, values: object) -> tuple[int, ...] | tuple[str, ...]:
    found = list(values) if isinstance(values, Sequence) and not isinstance(values, str) else []
    if found and len(set(found)) == len(found):
        if all(type(item) is int for item in found):
            return tuple(found)
        if all(type(item) is str for item in found):
            return tuple(found)
    raise _mistake(
        name, f"'categories' is {values!r}", "give different whole numbers, or different texts"
    )


def _wanted(categories: object) -> str:
    """Return what an axis with `categories` takes; None is an axis with bins."""
    if categories is None:
        return "numbers"
    texts = isinstance(categories, Sequence) and any(isinstance(item, str) for item in categories)
    return "text" if texts else "whole numbers"


def _is_kind(leaf: Type, wanted: str) -> bool:
    match leaf:
        case Unknown():
            return True
        case Primitive(dtype):
            whole = dtype.startswith(("int", "uint", "bool"))
            return wanted == "numbers" or (wanted == "whole numbers" and whole)
        case _:
            return isinstance(leaf, String) and wanted == "text"


def _is_number(value: object) -> TypeGuard[float]:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value)


def _num_bins(axis: Axis) -> int:
    return max(axis.bins, len(axis.edges) - 1, len(axis.categories))


def _mistake(name: str, problem: str, hint: str) -> RecipeError:
    return RecipeError(f"histogram {name!r}: {problem}"[:300], hint=hint, histogram=name)
