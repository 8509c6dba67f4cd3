"""Python expression text -> expression nodes, through an allow-list; never evaluated.

The default is refusal: a kind of syntax that nobody thought of is a clear
error with its place, not a hole.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal, NoReturn

from sxdask.core.errors import RequestError, RequestTooLargeError
from sxdask.plan.call_syntax import read_call
from sxdask.plan.expr import (
    Binary,
    BinaryOp,
    Column,
    Compare,
    CompareOp,
    Constant,
    Expr,
    GetField,
    Span,
    Unary,
    UnaryOp,
    depth,
    transform,
)
from sxdask.plan.functions import CONSTANTS, MODULES, find_function
from sxdask.plan.lexer import Limits, clean, too_deep
from sxdask.plan.place import SourceText
from sxdask.plan.precedence import require_parentheses
from sxdask.plan.subscript_syntax import read_subscript
from sxdask.plan.types import infer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sxdask.core.types import Schema

MAX_NODES: Final = 20_000
"""Size of one expression with its aliases written out; aliases can double it each."""

_MAX_ALIASES_DEEP: Final = 40
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
_COMPARE: Final[dict[type[ast.cmpop], CompareOp]] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
}
_IN_HINT: Final = "write (x == 1) | (x == 2)"
_UNARY: Final[dict[type[ast.unaryop], UnaryOp]] = {ast.USub: "-", ast.UAdd: "+", ast.Invert: "~"}
_REFUSED: Final = {
    "BoolOp": ("and / or", "use & and | with parentheses: (a > 1) & (b < 2)"),
    "IfExp": ("if / else", "use where(condition, x, y)"),
    "Lambda": ("a lambda", None),
    "ListComp": ("a comprehension", "functions work on all items at once"),
    "GeneratorExp": ("a comprehension", "functions work on all items at once"),
    "NamedExpr": ("an assignment", "name it in 'define' (or 'aliases')"),
    "List": ("a list", "lists are arguments of concatenate and cartesian only"),
    "Tuple": ("a list of expressions", "give one expression"),
    "Dict": ("a dictionary", "dictionaries are arguments of cartesian only"),
    "JoinedStr": ("formatted text", None),
    "Starred": ("*", None),
}


@dataclass
class Scope:
    """What names mean: the columns of a tree and aliases, which are expressions by name.

    A column hides an alias of the same name, as in uproot. Aliases are parsed
    when first used.
    """

    schema: Schema
    limits: Limits
    aliases: Mapping[str, str] = field(default_factory=dict)
    standard_axis: bool = False
    _parsed: dict[str, Expr] = field(default_factory=dict)
    _open: list[str] = field(default_factory=list)
    _uses: dict[int, tuple[Expr, Expr]] = field(default_factory=dict)

    def names(self) -> tuple[str, ...]:
        """Return every name that an expression may use."""
        return (*self.schema, *self.aliases)

    def alias(self, name: str) -> Expr:
        """Return the definition of alias `name`, without places; all its users share it.

        Raises
        ------
        RequestError
            If it refers to itself or its text is not an expression.
        """
        if name not in self._parsed:
            if name in self._open:
                circle = " -> ".join((*self._open[self._open.index(name) :], name))
                raise RequestError(
                    f"alias {name!r} is defined by itself: {circle}",
                    hint="give one of them a name of its own",
                )
            if len(self._open) >= _MAX_ALIASES_DEEP:
                raise RequestTooLargeError(f"aliases nest deeper than {_MAX_ALIASES_DEEP} levels")
            self._open.append(name)
            try:
                self._parsed[name] = transform(parse(self.aliases[name], self), self._without_place)
            except RequestError as error:
                raise error.add(alias=name) from None
            finally:
                self._open.pop()
        return self._parsed[name]

    def use(self, name: str, span: Span) -> Expr:
        """Return the definition of alias `name` as it is used at `span`.

        Errors further out point at the name, not into the alias's own text.
        """
        definition = self.alias(name)
        used = replace(definition, span=span)
        self._uses[id(used)] = (used, definition)
        return used

    def _without_place(self, node: Expr) -> Expr:
        if id(node) in self._uses:
            return self._uses[id(node)][1]
        return node if node.span is None else replace(node, span=None)


def parse(text: str, scope: Scope) -> Expr:
    """Return the expression that `text` says, checked in syntax, names and types.

    Text that is the name of a column as it stands, whatever its characters,
    is that column.

    Raises
    ------
    SelectionSyntaxError, SelectionTypeError, UnknownBranchError, UnreadableBranchError
        With the line of the text and a caret under the place.
    RequestTooLargeError
        If the text or what it expands to is beyond a limit.
    """
    source = SourceText(text, scope.schema.tree)
    name = text.strip()
    if name in scope.schema:
        start = text.index(name)
        return _Visitor(source, scope, 0).name(name, (start, start + len(name)))
    line = clean(source, scope.limits)
    lead = len(line) - len(line.lstrip())
    if lead == len(line):
        raise source.syntax_error(0, "the expression is empty")
    try:
        tree = ast.parse(line.strip(), mode="eval")
        expr = _Visitor(source, scope, lead).visit(tree.body)
        if depth(expr) > scope.limits.max_nesting:
            raise too_deep(scope.limits)
        infer(expr, scope.schema, source)
    except SyntaxError as error:
        # without an offset the text ends too early
        column = lead + (error.offset - 1 if error.offset else len(line.strip()))
        raise source.syntax_error(column, f"this is not an expression: {error.msg}") from None
    except (RecursionError, MemoryError):
        raise too_deep(scope.limits) from None
    return expr


class _Visitor:
    """Map an allow-list of syntax nodes to expressions; refuse the rest."""

    def __init__(self, source: SourceText, scope: Scope, lead: int) -> None:
        self.source = source
        self.scope = scope
        self._lead = lead
        self._depth = 0
        self._nodes = 0
        self._allowed: dict[type[ast.AST], Callable[..., Expr]] = {
            ast.Name: self._name,
            ast.Constant: self._constant,
            ast.UnaryOp: self._unary,
            ast.BinOp: self._binary,
            ast.Compare: self._compare,
            ast.Call: lambda call: read_call(self, call),
            ast.Attribute: self._attribute,
            ast.Subscript: lambda subscript: read_subscript(self, subscript),
        }

    def visit(self, node: ast.expr) -> Expr:
        """Return the expression for `node`."""
        method = self._allowed.get(type(node))
        if method is None:
            kind = type(node).__name__
            what, hint = _REFUSED.get(kind, (kind, None))
            self.refuse(node, f"{what} is not part of the language", hint)
        self._depth += 1
        self._grow(1)
        if self._depth > self.scope.limits.max_nesting:
            raise too_deep(self.scope.limits)
        expr = method(node)
        self._depth -= 1
        return expr

    def _grow(self, nodes: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise RequestTooLargeError(
                f"the expression has more than {MAX_NODES} parts with its aliases written out",
                hint="split it into several columns",
            )

    def span(self, node: ast.expr) -> Span:
        """Return the place of `node` in the user's text."""
        end = node.end_col_offset
        assert end is not None  # noqa: S101  ast.parse always sets it
        return node.col_offset + self._lead, end + self._lead

    def refuse(self, node: ast.expr, problem: str, hint: str | None = None) -> NoReturn:
        """Raise the error that points at `node`."""
        raise self.source.syntax_error(self.span(node)[0], problem, hint=hint)

    # -- names -----------------------------------------------------------------------------

    def name(self, name: str, span: Span) -> Expr:
        """Return the column or alias `name`, which stands at `span`."""
        schema = self.scope.schema
        if name in schema:
            found = schema[name]
            if found.reason is not None:
                raise self.source.unreadable(name, span[0], found.reason)
            return Column(found.name, span)
        if name in self.scope.aliases:
            return self.scope.use(name, span)
        raise self.source.unknown_name(name, span[0], self.scope.names())

    def _name(self, node: ast.Name) -> Expr:
        known = node.id in self.scope.schema or node.id in self.scope.aliases
        if not known and find_function(node.id) is not None:
            self.refuse(node, f"{node.id} is a function", f"call it: {node.id}(...)")
        if not known and node.id in MODULES:
            self.refuse(node, f"{node.id} is a prefix of functions", f"such as {node.id}.sum(...)")
        return self.name(node.id, self.span(node))

    def _attribute(self, node: ast.Attribute) -> Expr:
        parts, base = [node.attr], node.value
        while isinstance(base, ast.Attribute):
            parts.append(base.attr)
            base = base.value
        if not isinstance(base, ast.Name):
            return GetField(self.visit(node.value), node.attr, self.span(node))
        parts = [base.id, *reversed(parts)]
        start, stop = self.span(node)
        for count in range(len(parts), 0, -1):
            name = ".".join(parts[:count])
            if name in self.scope.schema or name in self.scope.aliases:
                expr = self.name(name, (start, stop))
                for attribute in parts[count:]:
                    expr = GetField(expr, attribute, (start, stop))
                return expr
        if len(parts) == 2 and base.id in MODULES and node.attr in CONSTANTS:
            return Constant(CONSTANTS[node.attr], (start, stop))
        raise self.source.unknown_name(".".join(parts), start, self.scope.names())

    # -- constants and operators -----------------------------------------------------------

    def _constant(self, node: ast.Constant) -> Expr:
        value = node.value
        start, stop = self.span(node)
        if isinstance(value, str):
            return Constant(self.source.text[start + 1 : stop - 1], (start, stop))
        if value == float("inf"):
            self.refuse(node, "a number too large for 64 bits", "write np.inf for infinity")
        if isinstance(value, bool | float):
            return Constant(value, (start, stop))
        if isinstance(value, int):
            if value >= 2**64:
                self.refuse(node, "a whole number of more than 64 bits", f"write {value:.3g}")
            return Constant(value, (start, stop))
        return self.refuse(node, f"{value!r} is not a value of the language")

    def _unary(self, node: ast.UnaryOp) -> Expr:
        op = _UNARY.get(type(node.op))
        if op is None:
            self.refuse(node, "not is not part of the language", "use ~ for logical not: ~(a > 1)")
        operand = self.visit(node.operand)
        match operand:
            case Constant(bool()):
                pass
            case Constant(int() | float() as value) if op != "~":
                return Constant(-value if op == "-" else value, self.span(node))
        return Unary(op, operand, self.span(node))

    def _binary(self, node: ast.BinOp) -> Expr:
        op = _BINARY.get(type(node.op))
        if op is None:
            self.refuse(node, "@ is not part of the language")
        if op in {"&", "|"}:
            parts = [self._parts(item, op) for item in _operands(node, type(node.op))]
            return balanced(op, [part for some in parts for part in some])
        return Binary(op, self.visit(node.left), self.visit(node.right), self.span(node))

    def _parts(self, node: ast.expr, op: str) -> list[Expr]:
        """Return what `node` adds to a chain: ``a < b < c`` among others with & is two parts."""
        expr = self.visit(node)
        if op != "&" or not isinstance(node, ast.Compare):
            return [expr]
        found, todo = [], [expr]
        while todo:
            item = todo.pop()
            if isinstance(item, Binary) and item.op == "&":
                todo += [item.right, item.left]
            else:
                found.append(item)
        return found

    def _compare(self, node: ast.Compare) -> Expr:
        require_parentheses(node, self.source, self._lead, self._is_mistake)
        ops = [self._comparison(sign, node) for sign in node.ops]
        values = [self.visit(item) for item in (node.left, *node.comparators)]
        parts: list[Expr] = []
        for op, left, right in zip(ops, values, values[1:], strict=False):
            span = ((left.span or (0, 0))[0], (right.span or (0, 0))[1])
            parts.append(Compare(op, left, right, span))
        return balanced("&", parts)

    def _comparison(self, sign: ast.cmpop, node: ast.Compare) -> CompareOp:
        op = _COMPARE.get(type(sign))
        if op is None:
            identity = isinstance(sign, ast.Is | ast.IsNot)
            hint = "use == (and is_none for missing values)" if identity else _IN_HINT
            self.refuse(node, "is / in is not part of the language", hint)
        return op

    def _is_mistake(self, node: ast.BinOp) -> bool:
        """Whether the operands of an unparenthesised & or | in a comparison do not fit it."""
        level = self._depth
        try:
            kinds = [
                str(infer(self.visit(item), self.scope.schema)) for item in (node.left, node.right)
            ]
        except RequestError:
            return False  # reported where it stands
        finally:
            self._depth = level
        if any("float" in kind for kind in kinds):
            return True
        return sum("bool" in kind for kind in kinds) == 1


def balanced(op: Literal["&", "|"], parts: Sequence[Expr]) -> Expr:
    """Join `parts` by `op` into a tree of small depth.

    Both operators are associative on booleans and integers, so a chain of a
    thousand trigger paths need not be a thousand levels deep; and every way of
    bracketing one chain is the same expression.
    """
    if len(parts) == 1:
        return parts[0]
    middle = (len(parts) + 1) // 2
    left, right = balanced(op, parts[:middle]), balanced(op, parts[middle:])
    span = None
    if left.span is not None and right.span is not None:
        span = (left.span[0], right.span[1])
    return Binary(op, left, right, span)


def _operands(node: ast.BinOp, op: type[ast.operator]) -> list[ast.expr]:
    """Return the operands of a chain of one operator, left to right, without recursion."""
    found: list[ast.expr] = []
    todo: list[ast.expr] = [node]
    while todo:
        item = todo.pop()
        if isinstance(item, ast.BinOp) and isinstance(item.op, op):
            todo.extend((item.right, item.left))
        else:
            found.append(item)
    return found
