"""What the readers of calls and subscripts need of the visitor that drives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    import ast
    from collections.abc import Mapping

    from sxdask.core.types import Schema
    from sxdask.plan.expr import Expr, Span
    from sxdask.plan.place import SourceText


class Names(Protocol):
    """What names mean while one expression is read."""

    @property
    def schema(self) -> Schema:
        """Columns of the tree."""
        ...

    @property
    def aliases(self) -> Mapping[str, str]:
        """Texts of expressions by name."""
        ...

    @property
    def standard_axis(self) -> bool:
        """Whether a missing axis is awkward's default."""
        ...


class Reader(Protocol):
    """Turns syntax nodes into expressions and knows where they stand."""

    @property
    def source(self) -> SourceText:
        """The user's text."""
        ...

    @property
    def scope(self) -> Names:
        """What names mean."""
        ...

    def visit(self, node: ast.expr) -> Expr:
        """Return the expression for `node`."""
        ...

    def name(self, name: str, span: Span) -> Expr:
        """Return the column or alias `name`."""
        ...

    def span(self, node: ast.expr) -> Span:
        """Return the place of `node` in the user's text."""
        ...

    def refuse(self, node: ast.expr, problem: str, hint: str | None = None) -> NoReturn:
        """Raise the error that points at `node`."""
        ...
