"""The text of a function: decoded, checked in syntax, and read for what it says.

Nothing here runs the text. Python's own parser and compiler bound the nesting
they accept; the size is bounded before they see it.
"""

from __future__ import annotations

import ast
import re
import warnings
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sxdask.core.errors import RequestError, RequestTooLargeError, SelectionSyntaxError
from sxdask.plan.lexer import require_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sxdask.plan.lexer import Limits

NAME: Final = "run_query"
"""What the function is called in the text of a request."""

EXAMPLE: Final = "such as: def run_query(path): return uproot.open(path)['Events'].arrays(['run'])"

# No program without these, and no base64 with one of them.
_PROGRAM: Final = re.compile(r"[(:]")


@dataclass(frozen=True, slots=True)
class Program:
    """Text that is valid Python, and its tree."""

    text: str
    tree: ast.Module


def decode(selection: str | bytes, limits: Limits) -> str:
    """Return the text of a request: as it stands, or from base64 of UTF-8 (ServiceX's form).

    Raises
    ------
    RequestTooLargeError
        If it is beyond the size limit.
    RequestError
        If it is neither Python text nor base64 of it.
    """
    if isinstance(selection, bytes):
        try:
            selection = selection.decode()
        except UnicodeDecodeError as error:
            raise RequestError(f"the function is not UTF-8 text: {error}", hint=EXAMPLE) from None
    require_size(selection, limits)
    if not selection.strip():
        raise RequestError("the text of the function is empty", hint=EXAMPLE)
    if _PROGRAM.search(selection):
        return selection
    try:
        text = b64decode("".join(selection.split()), validate=True).decode()
    except (Base64Error, ValueError) as error:
        reason = "it does not hold UTF-8" if isinstance(error, UnicodeDecodeError) else str(error)
        raise RequestError(
            f"the selection is neither the text of a function nor base64 of one: {reason}",
            hint=EXAMPLE,
        ) from None
    require_size(text, limits)
    return text


def check(text: str) -> Program:
    """Return `text` with its tree if it is valid Python; it is compiled and not run.

    Raises
    ------
    SelectionSyntaxError
        With the line and a caret, if it is not.
    RequestTooLargeError
        If it nests deeper than Python allows.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the user's own text, such as "\d"
            tree = ast.parse(text)
            compile(tree, "<python request>", "exec", dont_inherit=True)
    except SyntaxError as error:
        raise SelectionSyntaxError.at(
            text, _offset(text, error.lineno, error.offset), f"this is not Python: {error.msg}"
        ) from None
    except (RecursionError, MemoryError):
        raise RequestTooLargeError(
            "the function nests deeper than Python's compiler allows",
            hint="write long chains in several lines",
        ) from None
    except ValueError as error:  # lone surrogates and null bytes
        raise RequestError(f"the function is not Python text: {error}", hint=EXAMPLE) from None
    return Program(text, tree)


def _offset(text: str, line: int | None, column: int | None) -> int:
    """Return the place in `text` of Python's line and column, which both begin at 1."""
    lines = text.splitlines(keepends=True)
    before = sum(map(len, lines[: (line or 1) - 1]))
    return before + max((column or 1) - 1, 0)


def parameter(program: Program) -> str:
    """Return the name of the one argument that ``run_query`` takes.

    Raises
    ------
    SelectionSyntaxError
        If the text does not define the function, or it cannot be called with
        one argument.
    """
    found = [
        node
        for node in program.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == NAME
    ]
    if not found:
        others = [node for node in program.tree.body if isinstance(node, ast.FunctionDef)]
        place = _place(program.text, others[-1]) if others else 0
        hint = f"rename {others[-1].name} to {NAME}" if others else EXAMPLE
        raise SelectionSyntaxError.at(
            program.text, place, f"the text does not define a function {NAME}", hint=hint
        )
    function = found[-1]
    place = _place(program.text, function)
    if isinstance(function, ast.AsyncFunctionDef):
        raise SelectionSyntaxError.at(
            program.text, place, f"{NAME} is a coroutine", hint="write def in place of async def"
        )
    arguments = function.args
    names = [*arguments.posonlyargs, *arguments.args]
    required = len(names) - len(arguments.defaults)
    named_only = any(default is None for default in arguments.kw_defaults)
    if not names or required > 1 or named_only:
        raise SelectionSyntaxError.at(
            program.text,
            place,
            f"{NAME} cannot be called with one argument",
            hint="take the path of a file, run_query(path), or the events, run_query(events)",
        )
    return names[0].arg


def _place(text: str, node: ast.stmt) -> int:
    lines = text.splitlines(keepends=True)
    line = lines[node.lineno - 1].encode()[: node.col_offset].decode()
    return sum(map(len, lines[: node.lineno - 1])) + len(line)


def words(program: Program, modules: Iterable[str] = ()) -> frozenset[str]:
    """Return the attributes and texts in a program: among them are the columns it names.

    Attributes of modules (``np.sqrt``) are none; `modules` are names of modules
    beside those that the program imports.
    """
    known, found = set(modules), set[str]()
    attributes: list[ast.Attribute] = []
    for node in ast.walk(program.tree):
        if isinstance(node, ast.Import):
            known |= {item.asname or item.name.partition(".")[0] for item in node.names}
        elif isinstance(node, ast.Attribute):
            attributes.append(node)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found.add(node.value)
    of_modules = {id(node) for node in attributes if _root(node) in known}
    return frozenset(found | {node.attr for node in attributes if id(node) not in of_modules})


def _root(node: ast.expr) -> str | None:
    """Return the name that a chain of attributes begins with."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None
