"""Where in the user's text an expression stands, and the errors that point there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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


_LOOK_ALIKES: Final = {
    **dict.fromkeys("\u201c\u201d\u201e\u2033\u00ab\u00bb", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u2032\u00b4`", "'"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    **dict.fromkeys("\u00d7\u00b7\u22c5\u2217", "*"),
    **dict.fromkeys("\u00a0\u2002\u2003\u2007\u2009\u200a\u202f\u3000", " "),
    "\u2264": "<=",
    "\u2265": ">=",
    "\u2260": "!=",
    "\u00b2": "**2",
    "\u00b3": "**3",
    "\u2215": "/",
    "\u00f7": "/",
}
"""What papers, slides and PDF files have where a keyboard has ASCII."""


def meant_by(character: str) -> str | None:
    """Return a hint for a character that looks like one of the language."""
    plain = _LOOK_ALIKES.get(character)
    if plain is None:
        return None
    return "write an ordinary blank" if plain == " " else f"write {plain} of the keyboard"


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
