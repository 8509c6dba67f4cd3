"""A parsed text as a whole query: within bounds, and over a dataset."""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import RequestError, RequestTooLargeError
from sxdask.plan.func_adl.build import DATASET
from sxdask.plan.func_adl.tree import (
    OPERATORS,
    Attribute,
    Call,
    Dataset,
    Item,
    Lambda,
    Name,
    Operator,
    Range,
    Tree,
)
from sxdask.plan.lexer import Limits, too_deep

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sxdask.plan.place import SourceText

MAX_NODES: Final = 20_000
"""Parts of one query; the operands of a chain of comparisons count twice."""

EXAMPLE: Final = "such as EventDataset('file.root', 'Events').Select(lambda e: {'met': e.MET_pt})"


def require_text(text: str) -> None:
    """Refuse a text without a query.

    Raises
    ------
    RequestError
        In the words of ServiceX.
    """
    if not text.strip():
        raise RequestError("requested codegen for an empty string", hint=EXAMPLE)


def whole(tree: Tree, source: SourceText, limits: Limits, name: str | None = None) -> Tree:
    """Return the query that `tree` is; a function alone is a Select over all events of `name`.

    Raises
    ------
    RequestTooLargeError
        If it nests too deep or has too many parts.
    SelectionSyntaxError
        If it has no dataset.
    """
    if isinstance(tree, Lambda) and len(tree.parameters) == 1:
        tree = Operator("Select", Dataset((), name, tree.span), (tree,), tree.span)
    found = False
    todo: list[tuple[Tree | Range, int]] = [(tree, 1)]
    num_nodes = 0
    while todo:
        node, level = todo.pop()
        num_nodes += 1
        if level > limits.max_nesting:
            raise too_deep(limits)
        if num_nodes > MAX_NODES:
            raise RequestTooLargeError(
                f"the query has more than {MAX_NODES} parts",
                hint="split it into several queries",
            )
        found = found or isinstance(node, Dataset)
        todo.extend((child, level + 1) for child in children(node))
    if not found:
        raise _without_dataset(tree, source)
    return tree


def children(node: Tree | Range) -> Iterator[Tree | Range]:
    """Yield the nodes right below `node`."""
    for item in fields(node):
        value = getattr(node, item.name)
        for part in value if isinstance(value, tuple) else (value,):
            if is_dataclass(part):
                yield part  # type: ignore[misc]
            elif isinstance(part, tuple) and len(part) == 2 and is_dataclass(part[1]):
                yield part[1]  # type: ignore[misc]  # an argument by keyword


def _without_dataset(tree: Tree, source: SourceText) -> Exception:
    first = _leading(tree)
    start, stop = first.span or (0, 0)
    if isinstance(first, Name) and first.id in {DATASET, *OPERATORS}:
        return source.syntax_error(start, f"{first.id} is not called", hint=EXAMPLE)
    written = " ".join(source.text[start : min(stop, start + 40)].split())
    return source.syntax_error(
        start, f"{written!r} is not the events: a query begins with {DATASET}()", hint=EXAMPLE
    )


def _leading(tree: Tree) -> Tree:
    """Return what stands where the dataset should."""
    while True:
        match tree:
            case Operator(source=inner) | Attribute(value=inner) | Item(value=inner):
                tree = inner
            case Call(function=Attribute(value=inner)):
                tree = inner
            case Call(arguments=(Operator() | Call() | Name() as inner, *_)):
                tree = inner
            case _:
                return tree
