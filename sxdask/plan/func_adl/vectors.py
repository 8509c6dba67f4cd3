"""Four-vectors in a query: ToFourMomentum, their properties, methods, sums and differences."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeGuard

from sxdask.core.errors import close_names
from sxdask.core.types import Primitive, Record
from sxdask.plan.broadcast import leaf_of
from sxdask.plan.expr import Call, GetField, Pack
from sxdask.plan.func_adl.values import Array, Event, Picks, Struct, Value, leaves
from sxdask.plan.vector_types import METHODS, PROPERTIES, TESTS, system_of

if TYPE_CHECKING:
    from sxdask.plan.expr import Expr, Span
    from sxdask.plan.func_adl.evaluate import Evaluator, Scope
    from sxdask.plan.func_adl.tree import Binary, Tree
    from sxdask.plan.func_adl.tree import Call as CallTree

CONVERSIONS: Final = frozenset({"ToFourMomentum", "ToFourMomenta"})
"""Methods that make four-vectors of records."""

_COORDINATES: Final = "name the fields pt, eta, phi, mass (or energy), or px, py, pz, E"
_ROOT_PROPERTIES: Final = {
    **{name.capitalize(): name for name in ("pt", "eta", "phi", "px", "py", "pz", "rapidity")},
    **{name.capitalize(): name for name in ("p", "theta", "beta", "gamma", "mt", "et")},
    "E": "energy",
    "Energy": "energy",
    "M": "mass",
    "M2": "mass2",
    "Mag": "mass",
    "Perp": "pt",
    "CosTheta": "costheta",
    "PseudoRapidity": "eta",
}
"""Methods of ROOT's TLorentzVector, which ``p4()`` of an xAOD object is, as properties."""

_ROOT_METHODS: Final = {
    "DeltaR": "deltaR",
    "DeltaPhi": "deltaphi",
    "Angle": "deltaangle",
    "Dot": "dot",
}

_OPERATORS: Final = {"+": "add", "-": "subtract", "*": "scale", "/": "divide"}


def is_momentum(value: Value) -> TypeGuard[Array]:
    """Whether `value` is a four-vector, or lists of them."""
    return isinstance(value, Array) and value.is_momentum


def convert(evaluator: Evaluator, value: Value, tree: CallTree) -> Value:
    """Return the four-vectors that records of coordinates are.

    Raises
    ------
    SelectionTypeError
        If it is no record, or its fields are not the coordinates of one.
    """
    if tree.arguments or tree.keywords:
        evaluator.refuse(tree, "ToFourMomentum takes no argument")
    match value:
        case Picks(items=items):
            return Picks(tuple(convert(evaluator, item, tree) for item in items), value.lists)
        case Struct(names=names, values=values) if system_of(names) is not None:
            arrays = tuple(evaluator.as_array(item, tree, "a coordinate") for item in values)
            lists = value.lists or max(max(item.lists, 0) for item in arrays)
            return _of_fields(evaluator, names, arrays, lists, tree.span)
        case Array() if _is_record(value):
            span = tree.span
            return evaluator.algebra.make(
                lambda x: Call("momentum4d", (x,), (), span), value, is_momentum=True
            )
        case Struct(names=names):
            return evaluator.refuse(
                tree, f"the fields {', '.join(names)} make no four-vector", _COORDINATES
            )
        case Event() | Array():
            return evaluator.refuse(tree, "a four-vector is made of a record", _COORDINATES)


def _is_record(value: Array) -> bool:
    kind = leaf_of(value.type)
    return isinstance(kind, Record)


def _of_fields(
    evaluator: Evaluator,
    names: tuple[str, ...],
    arrays: tuple[Array, ...],
    lists: int,
    span: Span | None,
) -> Array:
    algebra = evaluator.algebra
    loops = {loop for item in arrays for loop in item.loops}
    if not loops:
        algebra.refuse(span, "a four-vector of constants alone has no event", "use a branch")
    options = (("depth_limit", len(loops) + lists),)

    def node(*parts: Expr) -> Expr:
        return Call("momentum4d", (Pack(parts, names),), options, span)

    return algebra.make(node, *algebra.align(arrays), is_momentum=True)


def named(evaluator: Evaluator, value: Array, name: str, span: Span | None) -> Array:
    """Return the field or property `name` of four-vectors."""
    kind = leaf_of(value.type)
    fields = [key for key, _ in kind.fields] if isinstance(kind, Record) else []
    if name in fields:
        return evaluator.algebra.make(lambda x: GetField(x, name, span), value)
    if name not in PROPERTIES:
        choices = (*fields, *PROPERTIES)
        if name in METHODS:
            hint: str | None = f"call it: {name}({'' if name in TESTS else 'other'})"
        else:
            hint = close_names(name, choices) or "such as pt, eta, phi, mass, energy"
        evaluator.refuse_at(span, f"a four-vector has no {name!r}", hint)
    return evaluator.algebra.call("vector_get", value, span=span, name=name)


def method(evaluator: Evaluator, value: Array, name: str, tree: CallTree, scope: Scope) -> Array:
    """Return what a method such as ``deltaR`` gives."""
    if name in _ROOT_PROPERTIES and not tree.arguments and not tree.keywords:
        return named(evaluator, value, _ROOT_PROPERTIES[name], tree.span)
    name = _ROOT_METHODS.get(name, name)
    if name not in METHODS:
        hint = f"it is no method: .{name}" if name in PROPERTIES else close_names(name, METHODS)
        evaluator.refuse(tree, f"a four-vector has no method {name!r}", hint)
    if tree.keywords:
        evaluator.refuse(tree, f"{name} takes no argument by keyword")
    others = [evaluator.value(item, scope) for item in tree.arguments]
    arrays: list[Array] = []
    for item, place in zip(others, tree.arguments, strict=True):
        arrays.append(item if is_momentum(item) else evaluator.as_array(item, place, name))
    return _call(evaluator, name, (value, *arrays), tree.span)


def _call(evaluator: Evaluator, name: str, operands: tuple[Array, ...], span: Span | None) -> Array:
    algebra = evaluator.algebra
    made = algebra.elementwise(
        lambda *args: Call("vector_call", args, (("name", name),), span), *operands
    )
    kind = leaf_of(made.type)
    return algebra.like(operands[0], made) if isinstance(kind, Record) else made


def unary(evaluator: Evaluator, op: str, value: Array, tree: Tree) -> Array:
    """Return ``-vector`` or ``+vector``."""
    if op == "+":
        return value
    if op != "-":
        evaluator.refuse(tree, f"{op} does not work on four-vectors")
    return _call(evaluator, "negative", (value,), tree.span)


def binary(evaluator: Evaluator, tree: Binary, left: Value, right: Value) -> Array:
    """Return the sum or difference of four-vectors, or one times a number."""
    op = tree.op
    both = is_momentum(left) and is_momentum(right)
    if is_momentum(left) and op in _OPERATORS and both == (op in "+-"):
        other = right if is_momentum(right) else evaluator.as_array(right, tree.right, op)
        return _call(evaluator, _OPERATORS[op], (left, other), tree.span)
    if is_momentum(right) and op == "*" and not both:
        factor = evaluator.as_array(left, tree.left, op)
        return _call(evaluator, "scale", (right, factor), tree.span)
    return evaluator.refuse(
        tree,
        f"{op} does not work between {_kind(left)} and {_kind(right)}",
        "four-vectors can be added and subtracted, and scaled by a number",
    )


def _kind(value: Value) -> str:
    if is_momentum(value):
        return "a four-vector"
    found = next(leaves(value), None)
    plain = isinstance(value, Array) and found is not None and isinstance(found.type, Primitive)
    return "a number" if plain else "this value"


def total(evaluator: Evaluator, sequence: Array, tree: Tree) -> Array:
    """Return the sum of each list of four-vectors."""
    made = evaluator.algebra.call("vector_sum", sequence, span=tree.span, axis=len(sequence.loops))
    return evaluator.algebra.like(sequence, made)
