"""Selections are read when they are submitted, so that a mistake is told at once and not by files.

The data are not known yet: names of branches and their types are looked at when
files are. So text is read by the planner over data in which every plain name is
a branch of an unknown type, and what may be right for other data is let through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from keyword import iskeyword
from typing import TYPE_CHECKING, Any, Final

from sxdask.core.errors import (
    RequestError,
    RequestTooLargeError,
    SelectionSyntaxError,
    SelectionTypeError,
    UnknownBranchError,
    UnreadableBranchError,
)
from sxdask.core.types import Field, Schema, Unknown
from sxdask.plan.lexer import require_size
from sxdask.plan.place import SourceText

if TYPE_CHECKING:
    from sxdask.plan.lexer import Limits

# Names of Python's own. Parsers know none of them; no branch is called so.
_DUNDER: Final = re.compile(r"(?<!\w)__[A-Za-z]\w*__(?!\w)")
_NAME: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_ODD_NAME: Final = re.compile(r"[\w ./:@#$-]*\w")
_NO_FUNCTION: Final = re.compile(r"('\w+') is a branch and cannot be called")
_OF_NO_DATA: Final = re.compile(r"there is no (function|variable|operator) ")


@dataclass(frozen=True, slots=True)
class SelectionLimits:
    """How long and how deep a selection may be; a `Limits` of the planner."""

    max_selection_bytes: int = 1024 * 1024
    max_nesting: int = 200
    allow_python: bool = False


def require_selection(language: str, selection: str, limits: Limits) -> None:
    """Refuse what cannot be a selection in `language`, before any file is looked at.

    Raises
    ------
    RequestError
        If it is empty, not of the form of the language, wrong in syntax (with
        the place), or beyond a limit.
    """
    if not selection.strip():
        raise RequestError("the selection is empty", hint="say what to read")
    require_size(selection, limits)
    if language != "python" and (found := _DUNDER.search(selection)):
        raise SelectionSyntaxError.at(
            selection, found.start(), f"{found[0][:100]} is not part of the language"
        )
    try:
        _READERS[language](selection, limits)
    except (UnknownBranchError, UnreadableBranchError):
        pass  # the data say
    except SelectionTypeError as error:
        if found := _NO_FUNCTION.match(error.problem):
            place = error.problem.partition("\n")[2]
            raise SelectionSyntaxError(f"there is no function {found[1]}\n{place}") from None
        if _OF_NO_DATA.match(error.problem):
            raise
    except (RecursionError, MemoryError):
        raise RequestTooLargeError(
            "the selection nests deeper than can be read", hint="write it flatter"
        ) from None


def _read_qastle(selection: str, limits: Limits) -> None:
    from sxdask.plan.frontends.qastle import QastleFrontend

    QastleFrontend(limits).parse(selection, _AnyData())


def _read_uproot_raw(selection: str, limits: Limits) -> None:
    from sxdask.plan.frontends.uproot_raw import UprootRawFrontend

    try:
        plan = UprootRawFrontend(limits).parse(_of_one_tree(selection), _AnyData())
        if not plan.outputs and not plan.copies:
            raise RequestError("the selection has no query", hint="give one with a treename")
    except SelectionSyntaxError as error:
        if not _may_be_a_name(str(error.context.get("text", "")).strip()):
            raise


def _of_one_tree(selection: str) -> Any:
    """Return the queries, each with one of its trees: here all trees are alike.

    A thousand names of trees times a thousand expressions are a small text.
    """
    try:
        queries = json.loads(selection)
    except (ValueError, RecursionError):
        return selection  # refused where all mistakes are
    for query in queries if isinstance(queries, list) else [queries]:
        trees = query.get("treename") if isinstance(query, dict) else None
        if isinstance(trees, list) and len(trees) > 1 and all(map(_is_name, trees)):
            query["treename"] = trees[0]
        if isinstance(trees, dict) and len(trees) > 1 and all(map(_is_name, trees.values())):
            query["treename"] = dict([next(iter(trees.items()))])
    return queries


def _is_name(value: object) -> bool:
    return isinstance(value, str) and bool(value)


def _may_be_a_name(text: str) -> bool:
    """Return whether a text that is no expression may be a branch: one may be called anything.

    `text` is cut off at 200 characters, which no name reaches that people write.
    """
    if len(text) >= 200 or _ODD_NAME.fullmatch(text) is None:
        return False
    return not any(iskeyword(word) for word in text.split())


def _read_tcut(selection: str, limits: Limits) -> None:
    from sxdask.plan.tcut.parser import parse_formula

    parse_formula(SourceText(selection), limits)


def _read_skyhook(selection: str, limits: Limits) -> None:
    from sxdask.plan.frontends.skyhook import SkyhookFrontend

    SkyhookFrontend(limits).parse(selection, _AnyData())


def _read_python(selection: str, limits: Limits) -> None:
    from sxdask.plan.frontends.python import PythonFrontend

    PythonFrontend(limits).parse(selection, _AnyData())


_READERS: Final = {
    "qastle": _read_qastle,
    "uproot-raw": _read_uproot_raw,
    "tcut": _read_tcut,
    "skyhook": _read_skyhook,
    "python": _read_python,
}


class _AnySchema(Schema):
    """Columns of a tree in which every plain name is one, of an unknown type."""

    def __getitem__(self, name: str) -> Field:
        return Field(name, Unknown())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and len(name) < 1_000 and _NAME.fullmatch(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(())


class _Any(tuple[Any, ...]):
    """Has whatever is looked for."""

    __slots__ = ()

    def __contains__(self, item: object) -> bool:
        return True


class _AnyNumber(int):
    """The number that it is compared with."""

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = int.__hash__


class _AnyData:
    """Data with every tree in every cycle; a `SchemaSource` of the planner."""

    trees: tuple[str, ...] = _Any()
    default_tree: str | None = "tree"

    def schema(self, tree: str) -> Schema:
        """Return columns of any name."""
        return _AnySchema((), tree)

    def cycles(self, tree: str) -> tuple[int, ...]:
        """Return cycles of any number."""
        del tree
        return _Any((_AnyNumber(1),))
