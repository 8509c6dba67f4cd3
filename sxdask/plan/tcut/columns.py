"""Columns of a request: names, patterns, and formulas with a name of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import RequestError, UnknownBranchError
from sxdask.plan.expr import Column, Expr
from sxdask.plan.lexer import require_size
from sxdask.plan.place import SourceText
from sxdask.plan.selection import distinct
from sxdask.plan.tcut.meaning import Meaning
from sxdask.plan.tcut.parser import parse_formula
from sxdask.plan.types import infer

if TYPE_CHECKING:
    from sxdask.core.types import Schema
    from sxdask.plan.lexer import Limits

_NAMED: Final = re.compile(r"\s*([A-Za-z_]\w*)\s*:=", re.ASCII)
_PATTERN: Final = re.compile(r"[\w.*?\[\]!/-]{1,1000}")
_HINT: Final = 'give names, patterns such as "Muon_*", or "name := formula"'


def columns_of_request(
    columns: object, schema: Schema, limits: Limits
) -> tuple[tuple[str, Expr], ...]:
    """Return the outputs that `columns` asks for, pairs of name and expression.

    Parameters
    ----------
    columns
        None for all columns, a text or a list of texts (each a name, a pattern,
        a formula, or ``name := formula``), or a mapping of name to formula.
    schema
        The columns there are.
    limits
        What may be asked.

    Raises
    ------
    RequestError
        If it is none of these, a name matches nothing or a formula is wrong.
    """
    everything = [(item.name, Column(item.name)) for item in schema.fields if item.reason is None]
    if columns is None:
        return tuple(everything)
    if isinstance(columns, Mapping):
        if not all(isinstance(item, str) for pair in columns.items() for item in pair):
            raise RequestError(f"'columns' is {columns!r}"[:200], hint=_HINT)
        pairs = columns.items()
        return distinct((name, _formula(text, 0, schema, limits)) for name, text in pairs)
    texts = [columns] if isinstance(columns, str) else columns
    if not isinstance(texts, Sequence) or not all(isinstance(item, str) for item in texts):
        raise RequestError(f"'columns' is {columns!r}"[:200], hint=_HINT)
    return distinct(pair for text in texts for pair in _chosen(text, everything, schema, limits))


def _chosen(
    text: str, everything: list[tuple[str, Column]], schema: Schema, limits: Limits
) -> list[tuple[str, Expr]]:
    require_size(text, limits)
    named = _NAMED.match(text)
    if named:
        return [(named[1], _formula(text, named.end(), schema, limits))]
    plain = text.strip()
    if plain in schema:
        return [(plain, _formula_of_name(plain, schema))]
    if _PATTERN.fullmatch(plain) and any(sign in plain for sign in "*?["):
        found: list[tuple[str, Expr]] = [pair for pair in everything if fnmatchcase(pair[0], plain)]
        if found:
            return found
        if "*" not in plain.strip("*") and "[" not in plain:
            raise UnknownBranchError(
                f"no branch of tree {schema.tree!r} matches {plain!r}",
                hint="list the branches with: sxdask inspect FILE --branches",
                tree=schema.tree,
            )
    return [(plain, _formula(text, 0, schema, limits))]


def _formula_of_name(name: str, schema: Schema) -> Expr:
    found = schema[name]
    if found.reason is not None:
        raise SourceText(name, schema.tree).unreadable(name, 0, found.reason)
    return Column(found.name)


def _formula(text: str, begin: int, schema: Schema, limits: Limits) -> Expr:
    """Return the formula that begins at `begin` of `text`."""
    # blanks in place of the name keep the places in the user's text
    source = SourceText(" " * begin + text[begin:], schema.tree)
    expr = Meaning(schema, source, limits).column(parse_formula(source, limits))
    infer(expr, schema, source)
    return expr
