"""What a name in a formula means: a column, the items that indices pick, and how many there are.

A literal index picks an item, and an entry whose array is too short has no
value at all. An index that is a formula is looked up entry by entry, and where
it leads out of the array the value is missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final

from sxdask.core.types import ENTRY_COLUMNS, FixedList, ListOf, Primitive, String, Type
from sxdask.plan.expr import (
    Binary,
    Call,
    Column,
    Compare,
    Constant,
    Expr,
    GetField,
    Slice,
    Subscript,
)
from sxdask.plan.promotion import is_known
from sxdask.plan.tcut.items import ALL, first_of, followed, longer
from sxdask.plan.tcut.tree import Call as Call_
from sxdask.plan.tcut.tree import Name, Number, Size
from sxdask.plan.tcut.values import DOUBLE, TEXT, Value, integer
from sxdask.plan.types import infer

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from sxdask.core.types import Schema
    from sxdask.plan.place import SourceText
    from sxdask.plan.tcut.tree import Formula

COUNTERS: Final = frozenset({"Iteration$", "Length$"})
"""Names that stand for the instance, not for a column."""

_NOT_HERE: Final = {
    "Entries$": "use Entry$ and LocalEntry$, or cut on the number of entries afterwards",
    "LocalEntries$": "use Entry$ and LocalEntry$, or cut on the number of entries afterwards",
    "rndm": "a cut gives the same events every time; use event % n for a share of them",
}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A name with its indices, as one formula sees it.

    Attributes
    ----------
    value
        The value per item.
    sizes
        The length of each list dimension, None where it varies.
    group
        What lists have the same length; two of one group line up as they are.
    exists
        Conditions for the entry to have any value.
    items, place
        The list that items are taken from, and where one is looked up its place.
    """

    value: Value
    sizes: tuple[int | None, ...] = ()
    group: Hashable = None
    exists: tuple[Expr, ...] = ()
    items: Expr | None = None
    place: Expr | None = None

    def spread(self, driver: Value) -> Value:
        """Return the value once for each item of `driver`, which has more dimensions.

        A missing value next to a list would be a missing list.
        """
        items, place = self.items, self.place
        if items is None or place is None:
            items = self.items or self.value.expr
            place = Call("local_index", (driver.expr,), (("axis", 1),))
        index = Call("local_index", (driver.expr,), (("axis", driver.depth),))
        place = Binary("+", Binary("*", index, Constant(0)), place)
        expr = followed(items, place, self.value.expr.span)
        return replace(self.value, expr=expr, depth=driver.depth)


@dataclass(frozen=True)
class Leaves:
    """Finds leaves in the columns of `schema`.

    `index_of` evaluates the formula of an index to its value, the group of its
    lists and the conditions for it to exist.
    """

    schema: Schema
    source: SourceText
    index_of: Callable[[Formula], tuple[Value, Hashable, tuple[Expr, ...]]]

    def astray(self, items: Sequence[Formula]) -> tuple[Name | None, Expr]:
        """Return the first name of a formula, and where a negative index leads.

        ROOT means to go beyond the end, but of the array that the formula names
        first: to the item after the next one [1]_.

        References
        ----------
        .. [1] ROOT 6.40, ``TTreeFormula::GetRealInstance``.
        """
        for item in items:
            if isinstance(item, Name) and not self.is_no_column(item):
                return item, self._beyond(item)
            if isinstance(item, Name | Size) or (isinstance(item, Call_) and _has_place(item)):
                break
        return None, Constant(2)

    def _beyond(self, node: Name) -> Expr:
        column = self.column(node)
        kind = infer(column, self.schema, self.source)
        size = 1
        for inner in self._dimensions(kind, node, column)[0][1:]:
            size *= inner or 1
        if isinstance(kind, FixedList):
            return Constant(kind.size * size + 1)
        if not isinstance(kind, ListOf):
            return Constant(2)
        count: Expr = Call("num", (column,), (("axis", 1),))
        if size != 1:
            count = Binary("*", count, Constant(size))
        return Binary("+", count, Constant(1))

    def strongest(self, exists: Sequence[Expr]) -> tuple[Expr, ...]:
        """Return conditions without those that another one implies.

        Columns that one branch counts have the same number of items, so that
        the highest index of any of them is enough.
        """
        found: dict[Hashable, Expr] = {}
        highest: dict[Hashable, int] = {}
        for expr in exists:
            match expr:
                case Compare(">", Call("num", (Column(name),)), Constant(int() as index)):
                    key: Hashable = self.schema[name].counter or name
                    if index > highest.get(key, -1):
                        highest[key] = index
                        found[key] = expr
                case _:
                    found[expr] = expr
        return tuple(found.values())

    def leaf(self, node: Name, *, strict: bool, astray: tuple[Name | None, Expr]) -> Leaf:
        """Return what `node` means.

        Parameters
        ----------
        node
            The name with its indices.
        strict
            The conditions in `exists` are applied before the value is computed;
            if not, an item that is not there is a missing value.

        Raises
        ------
        UnknownBranchError, UnreadableBranchError, SelectionTypeError
            With a caret under the name.
        """
        column = self.column(node)
        kind = infer(column, self.schema, self.source)
        sizes, dtype = self._dimensions(kind, node, column)
        if dtype == "int8" and sizes and isinstance(column, Column):
            raise self.refused(
                node,
                f"ROOT takes {node.name}, an array of signed bytes, for text",
                "ask for these events in the native language",
            )
        if len(node.indices) > len(sizes):
            raise self.refused(
                node,
                f"{node.name} has {len(sizes)} dimension{'s' * (len(sizes) != 1)}"
                f" and {len(node.indices)} indices",
            )
        indices = (*node.indices, *(None,) * (len(sizes) - len(node.indices)))
        found = Leaf(Value(column, dtype, len(sizes)), sizes, self._group(column, sizes))
        if all(item is None for item in indices):
            return found
        if any(item is not None and not _is_literal(item) for item in indices):
            return self._looked_up(node, found, indices, astray)
        numbers = [item.value if isinstance(item, Number) else None for item in indices]
        return self._picked(node, found, [None if n is None else int(n) for n in numbers], strict)

    def size(self, node: Size) -> Value:
        """Return the number of items of ``@name.size()``."""
        members = self._members(node.name)
        column = Column(members[0]) if members else self.column(node)
        kind = infer(column, self.schema, self.source)
        if not isinstance(kind, ListOf):
            raise self.refused(node, f"{node.name} is no collection, so it has no size()")
        return Value(Call("num", (column,), (("axis", 1),)), "int32")

    def _members(self, name: str) -> list[str]:
        """Return the columns of the members of a split collection."""
        return [
            field.name
            for field in self.schema.fields
            if field.name.startswith(f"{name}.") and field.list_depth and field.reason is None
        ]

    @cached_property
    def _sized(self) -> dict[str, str]:
        """Names without the fixed size that a file writes at their end: ``Jet.Tau[5]``."""
        names = (field.name for field in self.schema.fields)
        return {name.partition("[")[0]: name for name in names if name.endswith("]")}

    def is_no_column(self, node: Name) -> bool:
        """Say whether a name stands for the instance or a constant."""
        return node.name in COUNTERS or (node.name == "pi" and "pi" not in self.schema)

    # -- names ------------------------------------------------------------------------------

    def column(self, node: Name | Size) -> Expr:
        """Return the column, or the field of records, that a name stands for."""
        span = (node.start, node.stop)
        if node.name in _NOT_HERE and node.name not in self.schema:
            raise self.source.syntax_error(
                node.start, f"{node.name} is not available here", hint=_NOT_HERE[node.name]
            )
        for name in self._spellings(node.name):
            found = self.schema.get(self._sized.get(name, name))
            if found is not None and found.reason is not None:
                raise self.source.unreadable(name, node.start, found.reason)
            if found is not None and isinstance(found.type, Primitive) and self._members(name):
                raise self.refused(
                    node, f"{name} is a collection and no number", f"count it with @{name}.size()"
                )
            if found is not None:
                return Column(found.name, span)
        parts = node.name.rstrip(".").split(".")
        for count in range(len(parts) - 1, 0, -1):
            found = self.schema.get(".".join(parts[:count]))
            if found is not None and found.reason is None:
                expr: Expr = Column(found.name, span)
                for part in parts[count:]:
                    expr = GetField(expr, part, span)
                return expr
        names = [field.name for field in self.schema.fields] + list(ENTRY_COLUMNS)
        raise self.source.unknown_name(node.name, node.start, names)

    def _spellings(self, name: str) -> list[str]:
        """Return `name` as the file may have it: without tree, final dot or repetition."""
        found = [name, name.rstrip(".")]
        if name.startswith(f"{self.schema.tree}."):
            found.append(name[len(self.schema.tree) + 1 :])
        half, odd = divmod(len(name), 2)
        if odd and name[half] == "." and name[:half] == name[half + 1 :]:
            found.append(name[:half])
        return found

    def _dimensions(
        self, kind: Type, node: Name, column: Expr
    ) -> tuple[tuple[int | None, ...], str]:
        sizes: list[int | None] = []
        while isinstance(kind, ListOf | FixedList):
            sizes.append(kind.size if isinstance(kind, FixedList) else None)
            kind = kind.item
        if isinstance(kind, String) and not sizes:
            return (), TEXT
        if isinstance(kind, Primitive) and is_known(kind.dtype):
            return tuple(sizes), DOUBLE if kind.dtype == "float16" else kind.dtype
        shown = infer(column, self.schema)
        raise self.refused(node, f"{node.name} is {shown}, which has no value in a formula")

    def _group(self, column: Expr, sizes: tuple[int | None, ...]) -> Hashable:
        if not sizes:
            return None
        if None not in sizes:
            return sizes
        counter = self.schema[column.name].counter if isinstance(column, Column) else ""
        return ("lengths", counter) if counter else column

    # -- indices ----------------------------------------------------------------------------

    def _picked(
        self,
        node: Name,
        leaf: Leaf,
        indices: list[int | None],
        strict: bool,  # noqa: FBT001
    ) -> Leaf:
        for size, index in zip(leaf.sizes, indices, strict=True):
            if size is not None and index is not None and index >= size:
                raise self.refused(
                    node, f"{node.name} has {size} items in this dimension, and no item {index}"
                )
        expr, exists = leaf.value.expr, list[Expr]()
        if leaf.sizes[0] is None and indices[0] is not None:
            exists.append(longer(expr, 1, indices[0]))
        if len(indices) > 1 and leaf.sizes[1] is None and indices[1] is not None:
            if indices[0] is None:
                # the lists that do not have the item have no instance
                part = Slice(indices[1], indices[1] + 1)
                picked = Subscript(expr, (ALL, ALL, part), expr.span)
                return replace(leaf, value=replace(leaf.value, expr=picked))
            one = Subscript(expr, (ALL, Slice(indices[0], indices[0] + 1)), expr.span)
            exists.append(Call("any", (longer(one, 2, indices[1]),), (("axis", 1),)))
        if not strict and leaf.sizes[0] is None and indices[0] is not None:
            expr = first_of(expr, indices)
        else:
            items = [ALL if index is None else Constant(index) for index in indices]
            while items and items[-1] == ALL:
                items.pop()
            expr = Subscript(expr, (ALL, *items), expr.span)
        left = tuple(s for s, index in zip(leaf.sizes, indices, strict=True) if index is None)
        group = self._group(expr, left)
        if (
            indices[0] is None and leaf.sizes[0] is None and len(left) == 1 and len(indices) == 1
        ) or (indices[0] is None and leaf.sizes[0] is None and leaf.sizes[1] is not None):
            group = leaf.group
        value = Value(expr, leaf.value.dtype, len(left))
        return Leaf(value, left, group, tuple(exists))

    def _looked_up(
        self,
        node: Name,
        leaf: Leaf,
        indices: tuple[Formula | None, ...],
        astray: tuple[Name | None, Expr],
    ) -> Leaf:
        if len(leaf.sizes) > 1:
            raise self.refused(
                node,
                f"{node.name} has {len(leaf.sizes)} dimensions, where an index is a number",
                "such as x[0][1] or x[][1]",
            )
        (formula,) = indices
        assert formula is not None  # noqa: S101  the caller looked
        index, group, exists = self.index_of(formula)
        items = leaf.value.expr
        if leaf.sizes[0] is not None:
            if index.depth or exists:
                # ROOT looks at the first instance alone then
                raise self.refused(
                    node, f"{node.name} has a fixed size: its index has one value per entry"
                )
            items = Call("from_regular", (items,), (("axis", 1),))
        place = integer(index)
        if index.constant is not None:
            count = Call("num", (items,), (("axis", 1),))
            place = Binary("+", Binary("*", count, Constant(0)), place)
        first, beyond = astray
        if node != first:
            place = Call("where", (Compare("<", place, Constant(0)), beyond, place))
        value = Value(
            followed(items, place, (node.start, node.stop)),
            leaf.value.dtype,
            index.depth,
            missing=True,
        )
        sizes = (None,) * index.depth
        return Leaf(value, sizes, group, exists, items=items, place=place)

    def refused(self, node: Name | Size, problem: str, hint: str | None = None) -> Exception:
        """Return the error that points at `node`."""
        return self.source.type_error(
            Column(node.name, (node.start, node.stop)), problem, hint=hint
        )


def _has_place(call: Call_) -> bool:
    """Say whether ROOT counts a special function among the names of the formula."""
    return call.function in {"Sum$", "Length$", "Max$", "Min$"}


def _is_literal(node: Formula) -> bool:
    return isinstance(node, Number) and isinstance(node.value, int)
