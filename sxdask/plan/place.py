"""Where in the user's text an expression stands, and the errors that point there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sxdask.core.errors import (
    SelectionSyntaxError,
    SelectionTypeError,
    UnknownBranchError,
    UnreadableBranchError,
    close_names,
    pointer,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sxdask.plan.expr import Expr


@dataclass(frozen=True, slots=True)
class SourceText:
    """The text that spans refer to; empty for expressions that were never written."""

    text: str = ""
    tree: str = ""

    def mark(self, expr: Expr) -> str:
        """Return the user's own text of `expr`, or nothing if it has none."""
        if expr.span is None or not self.text:
            return ""
        return self.text[expr.span[0] : expr.span[1]]

    def type_error(
        self, expr: Expr, problem: str, *, hint: str | None = None
    ) -> SelectionTypeError:
        """Return an error that points at `expr`."""
        if expr.span is None or not self.text:
            return SelectionTypeError(problem, hint=hint)
        return SelectionTypeError.at(self.text, expr.span[0], problem, hint=hint)

    def syntax_error(
        self, column: int, problem: str, *, hint: str | None = None
    ) -> SelectionSyntaxError:
        """Return an error that points at `column`, a 0-based offset into the text."""
        return SelectionSyntaxError.at(self.text, column, problem, hint=hint)

    def unknown_name(self, name: str, column: int, available: Iterable[str]) -> UnknownBranchError:
        """Return the error for a name that is no branch, with the closest that are."""
        return UnknownBranchError(
            f"tree {self.tree!r} has no branch {name!r}\n{pointer(self.text, column)}",
            hint=close_names(name, available),
            tree=self.tree,
            branch=name,
        )

    def unreadable(self, name: str, column: int, reason: str) -> UnreadableBranchError:
        """Return the error for a branch that exists and cannot become an array."""
        return UnreadableBranchError(
            f"branch {name!r} cannot be read: {reason}\n{pointer(self.text, column)}",
            hint="leave it out of the selection",
            tree=self.tree,
            branch=name,
        )
