"""Native expressions as users give them: one condition, one column, a set of columns."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import RequestError, SelectionTypeError, UnknownBranchError
from sxdask.plan.expr import Column, Expr
from sxdask.plan.place import SourceText
from sxdask.plan.syntax import Scope, parse
from sxdask.plan.types import require_predicate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sxdask.core.types import Schema
    from sxdask.plan.lexer import Limits

_GLOB_CHARACTERS: Final = re.compile(r"[\w.*?\[\]!/-]{1,1000}")


def parse_expression(
    text: str,
    schema: Schema,
    limits: Limits,
    aliases: Mapping[str, str] | None = None,
) -> Expr:
    """Return the native expression `text` over `schema`.

    Parameters
    ----------
    text
        Python expression syntax with awkward's and NumPy's functions, bare or
        with ``ak.`` / ``np.``; reductions default to ``axis=1``.
    schema
        Columns by name.
    limits
        Size and nesting limits, such as the settings.
    aliases
        Names for other expressions, which may use each other.

    Raises
    ------
    SelectionSyntaxError, SelectionTypeError, UnknownBranchError, RequestTooLargeError
        With a caret under the mistake.
    """
    return parse(text, Scope(schema, limits, dict(aliases or {})))


def parse_predicate(
    text: str,
    schema: Schema,
    limits: Limits,
    aliases: Mapping[str, str] | None = None,
) -> Expr:
    """Return the native condition `text`, one boolean per event.

    Raises
    ------
    SelectionTypeError
        If it is not boolean or has a list per event, besides the errors of
        `parse_expression`.
    """
    return predicate_in(text, Scope(schema, limits, dict(aliases or {})))


def predicate_in(text: str, scope: Scope) -> Expr:
    """Return the condition `text` within `scope`, one boolean per event."""
    expr = parse(text, scope)
    require_predicate(expr, scope.schema, SourceText(text, scope.schema.tree))
    return expr


def parse_outputs(
    names: Iterable[str],
    expressions: Mapping[str, str],
    schema: Schema,
    limits: Limits,
) -> tuple[tuple[str, Expr], ...]:
    """Return the columns that `names` choose, then those that `expressions` compute.

    A name is a column, a glob over columns, or an expression whose text is
    the column's name. Later expressions may use earlier ones by name.

    Raises
    ------
    UnknownBranchError
        If a name or glob matches nothing.
    SelectionTypeError
        If two different columns would have one name.
    """
    scope = Scope(schema, limits, dict(expressions))
    for name in expressions:
        if name in schema and expressions[name].strip() != name:
            raise SelectionTypeError(
                f"{name!r} is already a column of tree {schema.tree!r}",
                hint="give the new column another name",
                column=name,
            )
    chosen = [pair for name in names for pair in chosen_by(name, scope)]
    chosen += [(name, scope.alias(name)) for name in expressions]
    return distinct(chosen)


def chosen_by(name: str, scope: Scope) -> list[tuple[str, Expr]]:
    """Return the outputs that one entry of a column list stands for."""
    if name in scope.schema or name in scope.aliases:
        return [(name, parse(name, scope) if name in scope.schema else scope.alias(name))]
    is_glob = _GLOB_CHARACTERS.fullmatch(name) and any(sign in name for sign in "*?[")
    if is_glob:
        readable = [field.name for field in scope.schema.fields if field.reason is None]
        found: list[tuple[str, Expr]] = [
            (column, Column(column)) for column in readable if fnmatchcase(column, name)
        ]
        if found:
            return found
    try:
        return [(name, parse(name, scope))]
    except RequestError:
        if is_glob:
            raise UnknownBranchError(
                f"no branch of tree {scope.schema.tree!r} matches {name!r}",
                hint="list the branches with: sxdask inspect FILE --branches",
                tree=scope.schema.tree,
            ) from None
        raise


def distinct(pairs: Iterable[tuple[str, Expr]]) -> tuple[tuple[str, Expr], ...]:
    """Return `pairs` with repetitions of one column dropped.

    Raises
    ------
    SelectionTypeError
        If one name stands for two different expressions.
    """
    found: dict[str, Expr] = {}
    for name, expr in pairs:
        if found.setdefault(name, expr) != expr:
            raise SelectionTypeError(
                f"two different columns are named {name!r}", hint="rename one", column=name
            )
    return tuple(found.items())
