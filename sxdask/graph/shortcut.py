"""Two phrases of several steps that are one: the first item by an order, the largest of a tuple.

``x[argsort(key)][:, 0]`` orders whole lists for one item of each, and
``max(concatenate([a, b, c]))`` of the members of pairs and triples builds a list
for each of them. Frontends write both for what users say all the time (the
leading jet, the best b-tag of three). For lists of numbers they are one
comparison an item; whatever is not plain goes the long way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import awkward as ak
import numpy as np
from awkward.contents import ListOffsetArray, NumpyArray, UnmaskedArray

from sxdask.graph.plain import plain_lists, plain_numbers, same_edges, trimmed
from sxdask.plan.expr import Call, Constant, Expr, Pack, Slice, Subscript

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.rootio.model import Int64Array

_ALL: Final = Slice(None, None, None)
_FIRST: Final = (_ALL, Constant(0))
_NEW: Final = (_ALL, _ALL, Constant(None))


def shortcut(expr: Expr) -> Call | None:
    """Return the one operation that does what `expr` says; None if there is none."""
    match expr:
        case Subscript(Subscript(value, (Call("argsort", (key,), (("axis", 1),)),)), items):
            order = Call("least", (key,), ())
            return Call("first_by", (value, order, key), ()) if items == _FIRST else None
        case Call(
            "max" | "min" as name,
            (Call("from_regular", (Call("concatenate", (Pack(members, None),)),)),),
            (("axis", 2),),
        ):
            inner = [
                item.value for item in members if isinstance(item, Subscript) and item.items == _NEW
            ]
            return Call(f"{name}_across", tuple(inner), ()) if len(inner) == len(members) else None
    return None


def least(key: Any) -> Any:
    """Return where the smallest item of each list is, or the whole order if that is not plain.

    Every list has an item and none of them is NaN, or it is not plain.
    """
    lists = plain_lists(key)
    if lists is not None:
        edges, values = trimmed(lists)
        has_all = bool((np.diff(edges.data) > 0).all())
        if has_all and not (values.dtype.kind == "f" and np.isnan(values).any()):
            return ak.drop_none(ak.argmin(key, axis=1))
    return ak.argsort(key, axis=1)


def first_by(value: Any, order: Any, key: Any) -> Any:
    """Return the item of each list that comes first; `order` is what `least` gave for `key`."""
    positions = plain_numbers(order)
    found = None if positions is None else _pick_one(value, positions, key)
    if found is not None:
        return found
    return value[order if positions is None else ak.argsort(key, axis=1)][:, 0]


def _pick_one(value: Any, positions: Int64Array, key: Any) -> ak.Array | None:
    layout: Any = getattr(value, "layout", None)
    optional = isinstance(layout, ListOffsetArray) and isinstance(layout.content, UnmaskedArray)
    if optional:
        value = ak.Array(ListOffsetArray(layout.offsets, layout.content.content))
    lists, keys = plain_lists(value), plain_lists(key)
    if lists is None or keys is None or len(lists) != len(keys):
        return None
    edges, items = trimmed(lists)
    if not same_edges(edges.data, trimmed(keys)[0].data):
        return None
    found = NumpyArray(items[edges.data[:-1] + positions])
    return ak.Array(UnmaskedArray(found) if optional else found)


def max_across(*arrays: Any) -> Any:
    """Return the largest of the items that stand at the same place in `arrays`.

    Its items may be missing by their type, as awkward's reductions have it.
    """
    return _across(np.maximum, ak.max, arrays)


def min_across(*arrays: Any) -> Any:
    """Return the smallest of the items that stand at the same place in `arrays`."""
    return _across(np.minimum, ak.min, arrays)


def _across(pairwise: Callable[..., Any], of_lists: Callable[..., Any], arrays: Any) -> Any:
    plain = [lists for lists in map(plain_lists, arrays) if lists is not None]
    if len(plain) == len(arrays) and len({lists.content.data.dtype for lists in plain}) == 1:
        pairs = [trimmed(lists) for lists in plain]
        edges = pairs[0][0]
        if all(same_edges(edges.data, other.data) for other, _ in pairs):
            found = _fold(pairwise, [values for _, values in pairs])
            if found is not None:
                return ak.Array(ListOffsetArray(edges, UnmaskedArray(NumpyArray(found))))
    members = [array[:, :, np.newaxis] for array in arrays]
    lists = ak.from_regular(ak.concatenate(members, axis=2), axis=2)
    return of_lists(lists, axis=2)


def _fold(function: Callable[[Any, Any], Any], values: list[Any]) -> Any:
    """Return what `function` makes of all; None with NaN among them, which awkward passes over."""
    if values[0].dtype.kind not in "iuf":
        return None
    found = values[0]
    for more in values[1:]:
        found = function(found, more)
    # NumPy's maximum of anything and NaN is NaN
    return None if found.dtype.kind == "f" and np.isnan(found).any() else found
