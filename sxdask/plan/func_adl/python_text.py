"""func_adl in Python's notation -> query tree, through an allow-list; never evaluated."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final, Literal, NoReturn, TypeAlias

from sxdask.plan.func_adl.build import Builder
from sxdask.plan.func_adl.quoted import QUOTED, Piece, unquote
from sxdask.plan.func_adl.tree import (
    Binary,
    Choice,
    Item,
    Range,
    Sequence,
    Tree,
    Value,
)
from sxdask.plan.func_adl.whole import require_text, whole
from sxdask.plan.lexer import Limits, Spelling, clean, require_size, too_deep
from sxdask.plan.place import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence as SequenceOf

    from sxdask.plan.expr import BinaryOp, CompareOp, Span

_Placed: TypeAlias = ast.expr | ast.arg

SPELLING: Final = Spelling(
    string=QUOTED,
    max_string=100_000,  # the metadata of a query holds whole files of C++
    not_closed="this text is not closed on its line",
    odd_name='e["..."]',
    logic={"&&": "write and", "||": "write or", "!": "write not"},
)

_UNARY: Final[dict[type[ast.unaryop], Literal["-", "+", "~", "not"]]] = {
    ast.USub: "-",
    ast.UAdd: "+",
    ast.Invert: "~",
    ast.Not: "not",
}
_BINARY: Final[dict[type[ast.operator], BinaryOp]] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
    ast.BitAnd: "&",
    ast.BitOr: "|",
    ast.BitXor: "^",
    ast.LShift: "<<",
    ast.RShift: ">>",
}
_COMPARE: Final[dict[type[ast.cmpop], CompareOp | Literal["in", "not in"]]] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.In: "in",
    ast.NotIn: "not in",
}
_COMPREHENSION: Final = ("a comprehension", "write e.jets.Select(lambda j: j.pt)")
_REFUSED: Final[dict[str, tuple[str, str | None]]] = {
    "ListComp": _COMPREHENSION,
    "SetComp": _COMPREHENSION,
    "DictComp": _COMPREHENSION,
    "GeneratorExp": _COMPREHENSION,
    "NamedExpr": ("an assignment", None),
    "JoinedStr": ("an f-string", None),
    "Starred": ("a starred value", None),
    "Set": ("a set", "write a list"),
    "Slice": ("a slice here", "give one slice, such as x[1:3]"),
    "Await": ("await", None),
    "Yield": ("yield", None),
    "YieldFrom": ("yield", None),
}


def parse_python(text: str, limits: Limits, tree: str | None = None) -> Tree:
    """Return the query written in `text` as Python.

    The methods of func_adl (``EventDataset().Where(...).Select(...)``), its
    functions (``Select(EventDataset(), ...)``), or one lambda of an event,
    which is a Select over all events. `tree` names the tree to read in place
    of the one in the query.

    Raises
    ------
    RequestError
        If there is no text.
    SelectionSyntaxError
        If it is not a query, with the place.
    RequestTooLargeError
        If it is beyond a limit.
    """
    require_size(text, limits)
    require_text(text)
    source = SourceText(text)
    return whole(_Reader(source, source, limits, tree=tree).read(), source, limits, tree)


def read_lambda(piece: Piece, source: SourceText, limits: Limits, level: int = 0) -> Tree:
    """Return the tree of a function that the user gave as a text within `source`."""
    if not piece.text.strip():
        raise piece.syntax_error(0, "this text is empty, and should hold a lambda")
    return _Reader(piece, source, limits, level=level).read()


class _Reader:
    """Map an allow-list of syntax nodes to the tree; refuse the rest."""

    def __init__(
        self,
        text: SourceText,
        source: SourceText,
        limits: Limits,
        *,
        level: int = 0,
        tree: str | None = None,
    ) -> None:
        self._text = text  # what is read here: all of the source, or a text within it
        self._source = source
        self._limits = limits
        self._level = level
        self._lead = 0
        self._build = Builder(source, self._text_lambda, tree)
        self._pieces: dict[Span, Piece] = {}
        self._allowed: dict[type[ast.AST], Callable[..., Tree]] = {
            ast.Name: self._name,
            ast.Constant: self._constant,
            ast.List: self._sequence,
            ast.Tuple: self._sequence,
            ast.Dict: self._dict,
            ast.Attribute: self._attribute,
            ast.Subscript: self._subscript,
            ast.Call: self._call,
            ast.Lambda: self._lambda,
            ast.IfExp: self._choice,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._binary,
            ast.BoolOp: self._logical,
            ast.Compare: self._compare,
        }

    def read(self) -> Tree:
        """Return the tree of the whole text."""
        line = clean(self._text, self._limits, SPELLING)
        self._lead = len(line) - len(line.lstrip())
        if self._lead == len(line):
            raise self._text.syntax_error(0, "there is only a comment")
        try:
            return self.visit(ast.parse(line.strip(), mode="eval").body)
        except SyntaxError as error:
            # without an offset the text ends too early
            column = self._lead + (error.offset - 1 if error.offset else len(line.strip()))
            column = min(column, len(line))
            raise self._text.syntax_error(column, f"this is not a query: {error.msg}") from None
        except (RecursionError, MemoryError):
            raise too_deep(self._limits) from None

    def visit(self, node: ast.expr) -> Tree:
        """Return the tree of `node`."""
        method = self._allowed.get(type(node))
        if method is None:
            kind = type(node).__name__
            what, hint = _REFUSED.get(kind, (kind, None))
            self._refuse(node, f"{what} is not part of the language", hint)
        self._level += 1
        if self._level > self._limits.max_nesting:
            raise too_deep(self._limits)
        tree = method(node)
        self._level -= 1
        return tree

    def _all(self, nodes: SequenceOf[ast.expr]) -> tuple[Tree, ...]:
        return tuple(self.visit(node) for node in nodes)

    def _refuse(self, node: _Placed, problem: str, hint: str | None = None) -> NoReturn:
        self._build.refuse(self._span(node), problem, hint)

    def _columns(self, node: _Placed) -> Span:
        end = node.end_col_offset
        assert end is not None  # noqa: S101  ast.parse always sets it
        return node.col_offset + self._lead, end + self._lead

    def _span(self, node: _Placed) -> Span:
        return self._in_source(*self._columns(node))

    def _in_source(self, start: int, stop: int) -> Span:
        if isinstance(self._text, Piece):
            return self._text.origin[start], self._text.origin[stop]
        return start, stop

    # -- words and values ------------------------------------------------------------------

    def _name(self, node: ast.Name) -> Tree:
        return self._build.name(node.id, self._span(node))

    def _constant(self, node: ast.Constant) -> Tree:
        value, span = node.value, self._span(node)
        if isinstance(value, str):
            piece = unquote(self._text, *self._columns(node))
            self._pieces[span] = piece
            return Value(piece.text, span)
        if isinstance(value, bool) or value is None:
            return Value(value, span)
        if isinstance(value, int | float):
            return self._build.number(value, span)
        return self._refuse(node, f"{value!r} is not a value of the language")

    def _text_lambda(self, value: Value) -> Tree:
        piece = self._pieces[value.span or (0, 0)]
        return read_lambda(piece, self._source, self._limits, self._level)

    def _sequence(self, node: ast.List | ast.Tuple) -> Tree:
        return Sequence(self._all(node.elts), self._span(node))

    def _dict(self, node: ast.Dict) -> Tree:
        keys = [key for key in node.keys if key is not None]
        if len(keys) < len(node.values):
            self._refuse(node, "** is not part of the language", "write each column out")
        return self._build.mapping(self._all(keys), self._all(node.values), self._span(node))

    # -- parts and calls -------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> Tree:
        stop = self._columns(node)[1]
        place = self._in_source(stop - len(node.attr), stop)
        return self._build.attribute(self.visit(node.value), node.attr, self._span(node), place)

    def _subscript(self, node: ast.Subscript) -> Tree:
        value, index = self.visit(node.value), node.slice
        if not isinstance(index, ast.Slice):
            return Item(value, self.visit(index), self._span(node))
        start, stop, step = (
            None if end is None else self.visit(end)
            for end in (index.lower, index.upper, index.step)
        )
        return Item(value, Range(start, stop, step, self._span(index)), self._span(node))

    def _call(self, node: ast.Call) -> Tree:
        keywords: list[tuple[str, Tree]] = []
        function = self.visit(node.func)
        arguments = self._all(node.args)
        for keyword in node.keywords:
            if keyword.arg is None:
                self._refuse(keyword.value, "** is not part of the language")
            keywords.append((keyword.arg, self.visit(keyword.value)))
        return self._build.call(function, arguments, tuple(keywords), self._span(node))

    def _lambda(self, node: ast.Lambda) -> Tree:
        given = node.args
        others = (*given.posonlyargs, *given.kwonlyargs, given.vararg, given.kwarg)
        for other in others:
            if other is not None:
                self._refuse(other, "a parameter of a lambda is a plain name")
        for default in given.defaults:
            self._refuse(default, "a parameter of a lambda has no default here")
        names = tuple(self._build.name(item.arg, self._span(item)) for item in given.args)
        return self._build.function(names, self.visit(node.body), self._span(node))

    # -- operators -------------------------------------------------------------------------

    def _choice(self, node: ast.IfExp) -> Tree:
        test, body, orelse = self._all((node.test, node.body, node.orelse))
        return Choice(test, body, orelse, self._span(node))

    def _unary(self, node: ast.UnaryOp) -> Tree:
        return self._build.unary(_UNARY[type(node.op)], self.visit(node.operand), self._span(node))

    def _binary(self, node: ast.BinOp) -> Tree:
        op = _BINARY.get(type(node.op))
        if op is None:
            self._refuse(node, "@ is not part of the language")
        return Binary(op, self.visit(node.left), self.visit(node.right), self._span(node))

    def _logical(self, node: ast.BoolOp) -> Tree:
        op: Literal["and", "or"] = "and" if isinstance(node.op, ast.And) else "or"
        return self._build.logical(op, self._all(node.values), self._span(node))

    def _compare(self, node: ast.Compare) -> Tree:
        ops: list[CompareOp | Literal["in", "not in"]] = []
        for sign in node.ops:
            op = _COMPARE.get(type(sign))
            if op is None:
                self._refuse(node, "is is not part of the language", "use ==")
            ops.append(op)
        operands = self._all((node.left, *node.comparators))
        return self._build.compare(operands, tuple(ops), self._span(node))
