"""Objects of an xAOD container while a query is evaluated: where their variables come from.

Objects are known by one or two arrays that carry nothing but their structure,
so that `Where`, `OrderBy`, `First` or `Choose` act on them as on any records:

- items of a container by a *mark*, in whose place each variable's branch is put
  when it is asked for: a query that filters electrons and takes their `pt` is
  the same plan as one that filters the branch;
- objects that links lead to by the key and the index of the link. The key tells
  the container, and each variable is gathered from the containers that have it.
  An object whose link leads nowhere is missing, and so are its variables.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from sxdask.core.types import Field, ListOf, Primitive
from sxdask.plan.expr import Call, Column, Compare, Constant, Slice, Subscript, transform
from sxdask.plan.func_adl.values import Array, Loop, Struct
from sxdask.plan.func_adl.xaod_store import LINK_FIELDS, Container
from sxdask.plan.types import infer

if TYPE_CHECKING:
    from sxdask.plan.expr import Expr, Span
    from sxdask.plan.func_adl.algebra import Algebra
    from sxdask.plan.func_adl.xaod_store import Store


@dataclass(frozen=True, slots=True)
class Items:
    """The items of a container, known by the mark `mark`."""

    container: Container
    mark: Expr


@dataclass(frozen=True, slots=True)
class Single:
    """The one object an event of a container such as EventInfo."""

    container: Container
    loop: Loop
    span: Span | None = field(compare=False)


@dataclass(frozen=True, slots=True)
class Linked:
    """Objects of class `kind` that links lead to, in any of `targets`."""

    kind: str
    targets: tuple[Container, ...]


Source: TypeAlias = Items | Single | Linked


@dataclass(frozen=True, slots=True)
class Objects(Struct):
    """One object, or with `lists` a sequence of them."""

    source: Source = field(kw_only=True)
    store: Store = field(kw_only=True, compare=False, repr=False)

    @property
    def arrays(self) -> tuple[Array, ...]:
        """What the objects are known by."""
        return tuple(item for item in self.values if isinstance(item, Array))

    @property
    def span(self) -> Span | None:
        """Where the query says what they are."""
        if isinstance(self.source, Single):
            return self.source.span
        return self.arrays[0].expr.span

    @property
    def kind(self) -> str:
        """Class of the objects."""
        return self.source.kind if isinstance(self.source, Linked) else self.source.container.kind

    @property
    def label(self) -> str:
        """What messages call them."""
        return self.source.kind if isinstance(self.source, Linked) else self.source.container.name

    @property
    def containers(self) -> tuple[Container, ...]:
        """The containers that the objects may be in."""
        return self.source.targets if isinstance(self.source, Linked) else (self.source.container,)

    @property
    def variables(self) -> tuple[str, ...]:
        """Every variable that any of them has."""
        return tuple(dict.fromkeys(name for item in self.containers for name in item.columns))

    def links(self) -> frozenset[str]:
        """Return the variables that refer to other containers."""
        return frozenset().union(*(item.links for item in self.containers))


def objects_of(container: Container, store: Store, loop: Loop, span: Span | None) -> Objects:
    """Return the objects of `container` in each turn of `loop` over the events."""
    if container.is_single:
        return Objects((), (), source=Single(container, loop, span), store=store)
    anchor = _anchor(container, store)
    # Twice, so that no expression of a query can be taken for it.
    index = Call("local_index", (Column(anchor, span),), (("axis", 1),), span)
    mark = Call("local_index", (index,), (("axis", 1),), span)
    array = Array(mark, ListOf(Primitive("int64")), (loop,), depth=3)
    name = f"items of {container.name}"
    return Objects((name,), (array,), lists=1, source=Items(container, mark), store=store)


def linked(key: Array, index: Array, source: Linked, store: Store) -> Objects:
    """Return the objects that links with this key and index lead to."""
    names = tuple(f"{name} of {source.kind}" for name in LINK_FIELDS)
    return Objects(names, (key, index), lists=key.lists, source=source, store=store)


_SMALL: Final = ("pt", "px", "calE", "x", "mpx", "qOverP")


def _anchor(container: Container, store: Store) -> str:
    """Return the branch that tells how many items there are: one with a number an item."""
    flat = [
        name
        for name, column in container.columns.items()
        if isinstance(kind := store.field(column).type, ListOf) and isinstance(kind.item, Primitive)
    ]
    name = next((name for name in (*_SMALL, *flat) if name in flat), None)
    return container.columns[name or next(iter(container.columns))]


def shape(objects: Objects) -> Array:
    """Return an array with a number for each object, for counting them."""
    array = objects.arrays[0]
    if not isinstance(objects.source, Items):
        return array
    anchor = _anchor(objects.source.container, objects.store)
    return _in_place(objects, objects.source, anchor, array.expr.span)


def variable(algebra: Algebra, objects: Objects, name: str, span: Span | None) -> Array | None:
    """Return variable `name` of each object, None if no container of them has it."""
    match objects.source:
        case Single(container, loop):
            column = container.columns.get(name)
            if column is None:
                return None
            return Array(Column(column, span), objects.store.field(column).type, (loop,))
        case Items(container) as source:
            column = container.columns.get(name)
            return None if column is None else _in_place(objects, source, column, span)
        case Linked(targets=targets):
            columns = [
                (item.key, item.columns[name])
                for item in targets
                if name in item.columns and item.key is not None
            ]
            return _gathered(algebra, objects, columns, span) if columns else None


def _in_place(objects: Objects, source: Items, column: str, span: Span | None) -> Array:
    array = objects.arrays[0]
    branch, mark = Column(column, span), source.mark
    expr = transform(array.expr, lambda node: branch if node == mark else node)
    items, places = objects.store.field(column).type, array.type
    table = {"items": Field("items", items), "places": Field("places", places)}
    # what follows positions has the type of the items in the structure of the positions
    kind = infer(Call("follow", (Column("items"), Column("places"))), table)
    return Array(expr, kind, array.loops, array.depth)


def _gathered(
    algebra: Algebra, objects: Objects, columns: list[tuple[int, str]], span: Span | None
) -> Array:
    key, index = objects.arrays
    result: Array | None = None
    for number, column in reversed(columns):
        branch = Array(Column(column, span), objects.store.field(column).type, key.loops[:1])
        wanted = Constant(number)

        def item(keys: Expr, places: Expr, items: Expr, wanted: Constant = wanted) -> Expr:
            here = Call("mask", (places, Compare("==", keys, wanted, span)), (), span)
            return Call("follow", (items, here), (), span)

        def either(
            keys: Expr, places: Expr, items: Expr, rest: Expr, wanted: Constant = wanted
        ) -> Expr:
            test = Compare("==", keys, wanted, span)
            return Call("where", (test, item(keys, places, items, wanted), rest), (), span)

        operands = (key, index, branch)
        if result is None:
            result = algebra.make(item, *operands, loops=key.loops)
        else:
            result = algebra.make(either, *operands, result, loops=key.loops)
    assert result is not None  # noqa: S101  there is a column
    return result


def is_valid(algebra: Algebra, objects: Objects, span: Span | None) -> Array:
    """Return whether the link of each object leads to a container of this file."""
    key = objects.arrays[0]
    numbers = [item.key for item in objects.containers if item.key is not None]
    if not numbers:
        return algebra.make(lambda keys: Compare("<", keys, Constant(0), span), key)
    tests = [
        algebra.make(lambda keys, n=number: Compare("==", keys, Constant(n), span), key)
        for number in numbers
    ]
    found = tests[0]
    for test in tests[1:]:
        found = algebra.call("logical_or", found, test, span=span)
    filled = (("axis", -1),)
    return algebra.make(
        lambda x: Call("fill_none", (x, Constant(value=False)), filled, span), found
    )


def item_at(algebra: Algebra, objects: Objects, number: int, span: Span | None) -> Objects:
    """Return item `number` of each list of objects; a missing one where the list is shorter."""
    parts: list[Array] = []
    for array in objects.arrays:
        axis = len(array.loops)
        padded = algebra.call("pad_none", array, span=span, axis=axis, target=number + 1)
        places = (*(Slice(),) * axis, Constant(number))
        parts.append(algebra.make(lambda x, p=places: Subscript(x, p, span), padded))
    return replace(objects, values=tuple(parts), lists=objects.lists - 1)
