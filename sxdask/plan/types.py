"""Infer the type and list depth of every expression; reject what cannot fit, with its place.

Types are those of one event: a plain number is one value per event. The rules
follow NumPy 2 and awkward; `Unknown` stands where the planner cannot tell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sxdask.core.types import (
    Field,
    FixedList,
    ListOf,
    Option,
    Primitive,
    Record,
    Schema,
    String,
    Type,
    Unknown,
    list_depth,
)
from sxdask.plan.broadcast import MismatchError, broadcast
from sxdask.plan.call_types import call_type, numbers_of
from sxdask.plan.constants import UnboundedError, constant_value
from sxdask.plan.expr import (
    Binary,
    Call,
    Column,
    Compare,
    Constant,
    Expr,
    GetField,
    Pack,
    Subscript,
    Unary,
)
from sxdask.plan.nodes import Filter, Node, Project, Scan
from sxdask.plan.place import SourceText
from sxdask.plan.promotion import (
    Number,
    TypeOrWeak,
    Weak,
    integer_range,
    is_bool,
    is_integer,
    promote,
    settle,
)
from sxdask.plan.subscript_types import field_type, subscript_type

if TYPE_CHECKING:
    from collections.abc import Mapping

_WEAK: Final = {bool: Weak("bool"), int: Weak("int"), float: Weak("float")}
_PRECEDENCE_HINT: Final = "& and | bind tighter than comparisons: write (a > 1) & (b < 2)"


def infer(expr: Expr, schema: Mapping[str, Field], source: SourceText | None = None) -> Type:
    """Return the type of `expr`, one event of it.

    Parameters
    ----------
    expr
        An expression over the columns of `schema`.
    schema
        Columns by name.
    source
        The text that the spans of `expr` refer to, for errors.

    Raises
    ------
    SelectionTypeError
        If types or list depths do not fit, with a caret under the place.

    Examples
    --------
    >>> from sxdask.plan.expr import Binary, Column, Constant
    >>> schema = {"pt": Field("pt", ListOf(Primitive("float32")))}
    >>> str(infer(Binary("*", Column("pt"), Constant(2.0)), schema))
    'var * float32'
    """
    return settle(_Inference(schema, source or SourceText()).infer(expr))


def require_predicate(
    expr: Expr, schema: Mapping[str, Field], source: SourceText | None = None
) -> None:
    """Check that `expr` gives one boolean per event.

    Raises
    ------
    SelectionTypeError
        If it does not; the hint says how to make it one.
    """
    place = source or SourceText()
    kind = infer(expr, schema, place)
    if list_depth(kind) > 0:
        text = place.mark(expr) or "..."
        raise place.type_error(
            expr,
            f"the condition has a list per event ({kind}), and one boolean is needed",
            hint=f"wrap it in any({text}, axis=1) or all({text}, axis=1)"
            if len(text) <= 60
            else "wrap it in any(..., axis=1) or all(..., axis=1)",
        )
    inner = kind.item if isinstance(kind, Option) else kind
    if not is_bool(inner) and not isinstance(inner, Unknown):
        raise place.type_error(
            expr, f"the condition is {kind} and not boolean", hint="compare it: (...) != 0"
        )


def schema_of(node: Node, schema: Schema) -> Schema:
    """Return the columns that `node` gives, where `schema` is that of its tree."""
    match node:
        case Scan(columns=None):
            return schema
        case Scan(columns=columns):
            assert columns is not None  # noqa: S101  narrows for the type checker
            return Schema(tuple(schema[name] for name in columns), tree=schema.tree)
        case Filter(source):
            return schema_of(source, schema)
        case Project(source, outputs):
            below = schema_of(source, schema)
            return Schema(
                tuple(_output_field(name, expr, below) for name, expr in outputs),
                tree=schema.tree,
            )


def _output_field(name: str, expr: Expr, schema: Schema) -> Field:
    kind = infer(expr, schema)
    if isinstance(expr, Column):
        found = schema[expr.name]
        return Field(name, kind, title=found.title, typename=found.typename)
    return Field(name, kind)


class _Inference:
    """One pass over an expression; the recursion is as deep as frontends allow."""

    def __init__(self, schema: Mapping[str, Field], source: SourceText) -> None:
        self._schema = schema
        self._source = source
        self._known: dict[int, TypeOrWeak] = {}

    def infer(self, expr: Expr) -> TypeOrWeak:
        found = self._known.get(id(expr))
        if found is None:
            try:
                found = self._known[id(expr)] = self._infer(expr)
            except MismatchError as error:
                raise self._source.type_error(expr, error.problem, hint=error.hint) from None
        return found

    def _infer(self, expr: Expr) -> TypeOrWeak:
        match expr:
            case Column(name):
                return self._schema[name].type
            case Constant(value):
                return _constant(value)
            case Unary(op, operand):
                kind = self.infer(operand)
                result = broadcast((kind,), lambda leaf: _unary_leaf(op, leaf))
                return self._constant(expr) if isinstance(result, Weak) else result
            case Binary(op, left, right):
                kinds = (self.infer(left), self.infer(right))
                self._require_range(expr, *kinds)
                result = broadcast(kinds, lambda leaf: _binary_leaf(op, leaf))
                return self._constant(expr) if isinstance(result, Weak) else result
            case Compare(op, left, right):
                kinds = (self.infer(left), self.infer(right))
                self._require_range(expr, *kinds)
                return broadcast(kinds, lambda leaf: _compare_leaf(op, leaf))
            case Call(args=args):
                return call_type(expr, [self.infer(item) for item in args])
            case Subscript(value, items):
                base = settle(self.infer(value))
                return subscript_type(base, items, lambda item: settle(self.infer(item)))
            case GetField(value, name):
                return field_type(settle(self.infer(value)), name)
            case Pack(items, names):
                keys = names or tuple(map(str, range(len(items))))
                kinds_of_items = [settle(self.infer(item)) for item in items]
                return Record(tuple(zip(keys, kinds_of_items, strict=True)), is_tuple=names is None)

    def _constant(self, expr: Expr) -> TypeOrWeak:
        # constants alone are computed, never left to a worker
        try:
            return _constant(constant_value(expr))
        except UnboundedError as error:
            raise MismatchError(f"this constant cannot be computed: {error}") from None

    def _require_range(self, expr: Binary | Compare, left: TypeOrWeak, right: TypeOrWeak) -> None:
        # NumPy 2 refuses a Python integer that the array's dtype cannot hold.
        for side, other in ((expr.left, right), (expr.right, left)):
            if not isinstance(side, Constant) or isinstance(side.value, bool):
                continue
            leaf = other
            while isinstance(leaf, ListOf | FixedList | Option):
                leaf = leaf.item
            limits = integer_range(leaf.dtype) if isinstance(leaf, Primitive) else None
            if limits and isinstance(side.value, int) and expr.op != "/":
                low, high = limits
                if not low <= side.value <= high:
                    raise self._source.type_error(
                        side,
                        f"{side.value} is out of the range of {leaf} ({low} to {high})",
                        hint=f"compute in real numbers: {side.value}.0",
                    )


def _constant(value: object) -> TypeOrWeak:
    if value is None:
        return Unknown("none")
    return String() if isinstance(value, str) else _WEAK[type(value)]


def _unary_leaf(op: str, kinds: tuple[TypeOrWeak, ...]) -> TypeOrWeak:
    numbers = numbers_of(kinds, op)
    if numbers is None:
        return Unknown()
    (kind,) = numbers
    if op == "~":
        if not is_bool(kind) and not is_integer(kind):
            raise MismatchError(
                f"~ needs booleans or integers, not {settle(kind)}", "compare first: ~(x > 0)"
            )
    elif is_bool(kind):
        raise MismatchError(f"{op} does not work on booleans", "use ~ for logical not")
    return kind


def _binary_leaf(op: str, kinds: tuple[TypeOrWeak, ...]) -> TypeOrWeak:
    numbers = numbers_of(kinds, op)
    if numbers is None:
        return Unknown()
    left, right = numbers
    if op in {"&", "|", "^", "<<", ">>"}:
        for kind in numbers:
            if not is_bool(kind) and not is_integer(kind):
                raise MismatchError(
                    f"{op} needs booleans or integers, not {settle(kind)}", _PRECEDENCE_HINT
                )
    both_bool = is_bool(left) and is_bool(right)
    if op == "-" and both_bool:
        raise MismatchError("- does not work on booleans", "use ^ for exclusive or")
    result = promote(left, right)
    if op == "/":
        return result if _is_real(result) else _quotient(result)
    if both_bool and op in {"//", "%", "**", "<<", ">>"}:
        return Weak("int") if isinstance(result, Weak) else Primitive("int8")
    return result


def _is_real(kind: Number) -> bool:
    return not is_bool(kind) and not is_integer(kind)


def _quotient(kind: Number) -> TypeOrWeak:
    # true division of integers is float64 whatever their size
    return Weak("float") if isinstance(kind, Weak) else Primitive("float64")


def _compare_leaf(op: str, kinds: tuple[TypeOrWeak, ...]) -> TypeOrWeak:
    if any(isinstance(kind, String) for kind in kinds):
        if not all(isinstance(kind, String | Unknown) for kind in kinds):
            raise MismatchError(f"text cannot be compared with a number by {op}")
        if op not in {"==", "!="}:
            raise MismatchError(f"text has no order, so {op} does not apply", "use == or !=")
        return Primitive("bool")
    return Unknown() if numbers_of(kinds, op) is None else Primitive("bool")
