"""Result types of functions that change list structure: reductions, num, flatten, sort."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from sxdask.core.types import (
    FixedList,
    ListOf,
    Option,
    Primitive,
    Record,
    String,
    Type,
    Unknown,
    list_depth,
)
from sxdask.plan.broadcast import (
    MismatchError,
    Options,
    at_dimension,
    item_of,
    leaf_of,
    listed,
    map_leaves,
    optional,
    positive_axis,
    within_event,
)
from sxdask.plan.functions import FUNCTIONS
from sxdask.plan.promotion import float_of, is_bool, is_integer, is_known, merge
from sxdask.plan.record_types import broadcast_type, cartesian_type, combinations_type, zip_type
from sxdask.plan.vector_types import call_type_of, get_type, momentum_type, sum_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

StructuralRule: TypeAlias = "Callable[[str, Sequence[Type], Options], Type]"

_INT: Final = Primitive("int64")
_BOOL: Final = Primitive("bool")
_FIXED_RESULT: Final = {
    **dict.fromkeys(("any", "all"), _BOOL),
    **dict.fromkeys(("count", "count_nonzero"), _INT),
    **dict.fromkeys(("argmin", "argmax", "nanargmin", "nanargmax"), _INT),
    **dict.fromkeys(
        ("mean", "nanmean", "var", "nanvar", "std", "nanstd", "moment"), Primitive("float64")
    ),
}


def reduced(name: str, args: Sequence[Type], options: Options) -> Type:
    """Return the type of a reduction such as ``sum``."""
    kind = args[0]
    place = within_event(name, kind, options)
    if place is None:
        return Unknown()
    leaf = _reduced_leaf(name, leaf_of(kind))
    masks = options.get("mask_identity", _masks_by_default(name))

    def change(level: Type) -> Type:
        result = map_leaves(item_of(level), lambda _: optional(leaf) if masks else leaf)
        return listed(result, 1) if options.get("keepdims") else result

    return at_dimension(kind, place, change)


def _masks_by_default(name: str) -> bool:
    keyword = FUNCTIONS[name].keyword("mask_identity")
    return keyword is not None and keyword.default is True


def _reduced_leaf(name: str, leaf: Type) -> Type:
    if isinstance(leaf, Record):
        names = ", ".join(repr(field) for field, _ in leaf.fields[:4])
        raise MismatchError(f"{name} does not work on records", f"take a field first: {names}")
    if not isinstance(leaf, Primitive) or not is_known(leaf.dtype):
        return Unknown()
    if name in _FIXED_RESULT:
        return _FIXED_RESULT[name]
    if name in {"min", "max", "nanmin", "nanmax"} or leaf.dtype.startswith("float"):
        return leaf
    return Primitive("uint64") if leaf.dtype.startswith("uint") else _INT  # sum and prod


def _softmax(name: str, args: Sequence[Type], options: Options) -> Type:
    place = within_event(name, args[0], options)
    leaf = leaf_of(args[0])
    if place is None or not isinstance(leaf, Primitive) or not is_known(leaf.dtype):
        return Unknown()
    if place != list_depth(args[0]):
        raise MismatchError("softmax works on the innermost dimension only", "use axis=-1")
    result = float_of(leaf)
    return Unknown() if result.dtype == "float16" else map_leaves(args[0], lambda _: result)


def _concatenate(name: str, args: Sequence[Type], options: Options) -> Type:
    (pack,) = args
    kinds = [kind for _, kind in pack.fields] if isinstance(pack, Record) else []
    if not kinds or any(isinstance(kind, Unknown) for kind in kinds):
        return Unknown()
    places = {within_event(name, kind, options) for kind in kinds}
    place = places.pop()
    if places or place is None:
        return Unknown()
    return _joined(kinds, place)


def _joined(kinds: Sequence[Type], place: int) -> Type:
    """Return lists of `kinds` joined at dimension `place`, counted from here."""
    lists = [kind for kind in kinds if isinstance(kind, ListOf | FixedList)]
    if len(lists) != len(kinds):
        return Unknown()
    sizes = [kind.size for kind in lists if isinstance(kind, FixedList)]
    regular = len(sizes) == len(lists)
    if place > 1:
        inner = _joined([kind.item for kind in lists], place - 1)
        return listed(inner, sizes[0] if regular and len(set(sizes)) == 1 else None)
    items = lists[0].item
    for kind in lists[1:]:
        items = merge(items, kind.item)
    return listed(items, sum(sizes) if regular else None)


def _num(name: str, args: Sequence[Type], options: Options) -> Type:
    place = within_event(name, args[0], options)
    return Unknown() if place is None else at_dimension(args[0], place, lambda _: _INT)


def _local_index(name: str, args: Sequence[Type], options: Options) -> Type:
    place = within_event(name, args[0], options)
    if place is None:
        return Unknown()

    def change(level: Type) -> Type:
        return listed(_INT, level.size if isinstance(level, FixedList) else None)

    return at_dimension(args[0], place, change)


def _follow(_: str, args: Sequence[Type], __: Options) -> Type:
    array, index = args
    leaf = leaf_of(index)
    if isinstance(array, Unknown) or isinstance(leaf, Unknown):
        return Unknown()
    if not isinstance(array, ListOf | FixedList):
        raise MismatchError(f"follow needs a list of items per event, not {array}")
    if not isinstance(leaf, Primitive) or not is_integer(leaf):
        raise MismatchError(f"follow needs positions, which are integers, not {leaf}")
    return _placed(index, array.item)


def _instances(_: str, args: Sequence[Type], __: Options) -> Type:
    # items beyond the end of an array are missing
    return _instanced(args[0])


def _instanced(kind: Type) -> Type:
    match kind:
        case ListOf(item) | FixedList(item, _):
            return ListOf(_instanced(item))
        case Option(item):
            return _instanced(item)
        case _:
            return optional(kind)


def _iteration(_: str, args: Sequence[Type], __: Options) -> Type:
    return map_leaves(args[0], lambda _: _INT)


def _placed(index: Type, item: Type) -> Type:
    match index:
        case ListOf(below):
            return listed(_placed(below, item))
        case FixedList(below, size):
            return listed(_placed(below, item), size)
        case Option(below):
            return optional(_placed(below, item))
        case _:
            return item


def _from_regular(name: str, args: Sequence[Type], options: Options) -> Type:
    place = within_event(name, args[0], options)
    if place is None:
        return Unknown()
    return at_dimension(args[0], place, lambda level: listed(item_of(level)))


def _flatten(name: str, args: Sequence[Type], options: Options) -> Type:
    place = within_event(name, args[0], options, least=2)
    if place is None:
        return Unknown()

    def change(level: Type) -> Type:
        inner = item_of(level)
        while isinstance(inner, Option):
            inner = inner.item
        return ListOf(item_of(inner)) if isinstance(inner, ListOf | FixedList) else Unknown()

    return at_dimension(args[0], place - 1, change)


def _sort(name: str, args: Sequence[Type], options: Options) -> Type:
    place = within_event(name, args[0], options)
    if place is None or not isinstance(leaf_of(args[0]), Primitive):
        return Unknown()
    return _irregular(args[0] if name == "sort" else map_leaves(args[0], lambda _: _INT))


def _irregular(kind: Type) -> Type:
    # awkward sorts through its list kernels, which know no fixed sizes
    match kind:
        case ListOf(item) | FixedList(item, _):
            return ListOf(_irregular(item))
        case Option(item):
            return Option(_irregular(item))
        case _:
            return kind


def _mask(name: str, args: Sequence[Type], options: Options) -> Type:
    kind, mask = args
    match mask:
        case Unknown():
            return mask
        case Option():
            return optional(_mask(name, (kind, mask.item), options))
        case ListOf() | FixedList():
            if isinstance(kind, Option):
                return optional(_mask(name, (kind.item, mask), options))
            if not isinstance(kind, ListOf | FixedList):
                return Unknown()
            size = kind.size if isinstance(kind, FixedList) else None
            size = size if isinstance(mask, FixedList) else None
            return listed(_mask(name, (kind.item, mask.item), options), size)
        case _ if is_bool(mask):
            return optional(kind)
        case _:
            raise MismatchError("the second argument of mask is not boolean")


def _is_none(name: str, args: Sequence[Type], options: Options) -> Type:
    axis = options.get("axis")
    if not isinstance(axis, int) or isinstance(leaf_of(args[0]), Unknown | Record):
        return Unknown()
    place = positive_axis(args[0], axis)
    if place == 0:
        return _BOOL

    def change(level: Type) -> Type:
        return listed(_BOOL, level.size if isinstance(level, FixedList) else None)

    within_event(name, args[0], options)
    return at_dimension(args[0], place, change)


def _drop_none(name: str, args: Sequence[Type], options: Options) -> Type:
    kind = args[0]
    axis = options.get("axis")
    if isinstance(kind, Option) and (axis is None or axis == 0 or list_depth(kind) == 0):
        raise MismatchError(
            f"{name} would remove events", "use fill_none here, or is_none in a condition"
        )
    if axis not in {None, 1} or list_depth(kind) != 1 or not isinstance(kind, ListOf):
        return Unknown()
    return ListOf(kind.item.item) if isinstance(kind.item, Option) else kind


def _present(_: str, args: Sequence[Type], __: Options) -> Type:
    return _without_options(args[0])


def _without_options(kind: Type) -> Type:
    match kind:
        case Option(item):
            return _without_options(item)
        case ListOf(item):
            return listed(_without_options(item))
        case FixedList(item, size):
            return listed(_without_options(item), size)
        case Record(fields):
            return Record(
                tuple((name, _without_options(item)) for name, item in fields), kind.is_tuple
            )
        case _:
            return kind


def _pad_none(name: str, args: Sequence[Type], options: Options) -> Type:
    place = within_event(name, args[0], options)
    if place is None:
        return Unknown()
    target = options.get("target")
    if not isinstance(target, int) or target < 0:
        raise MismatchError("the target of pad_none is a number of items", "such as 2")

    def change(level: Type) -> Type:
        size = target if options.get("clip") else None
        if size is None and isinstance(level, FixedList):
            if level.size >= target:
                return level
            size = target
        return listed(optional(item_of(level)), size)

    return at_dimension(args[0], place, change)


def _fill_none(_: str, args: Sequence[Type], options: Options) -> Type:
    kind, value = args
    if not isinstance(leaf_of(kind), Primitive | String) or not isinstance(
        value, Primitive | String
    ):
        return Unknown()
    axis = options.get("axis")
    place = None if not isinstance(axis, int) else positive_axis(kind, axis)
    return _filled(kind, value, place)


def _filled(kind: Type, value: Type, place: int | None) -> Type:
    """Fill the missing values of dimension `place` (None: of all)."""
    match kind:
        case Option(item) if place in {None, 0}:
            inner = _filled(item, value, None if place is None else -1)
            return merge(inner, value)
        case Option(item):
            return optional(_filled(item, value, place))
        case ListOf(item):
            return listed(_filled(item, value, None if place is None else place - 1))
        case FixedList(item, size):
            return listed(_filled(item, value, None if place is None else place - 1), size)
        case _:
            return kind


def _firsts(name: str, args: Sequence[Type], options: Options) -> Type:
    place = within_event(name, args[0], options)
    if place is None:
        return Unknown()
    return at_dimension(args[0], place, lambda level: optional(item_of(level)))


def _singletons(_: str, args: Sequence[Type], options: Options) -> Type:
    if options.get("axis") != 0:
        return Unknown()
    return listed(args[0].item if isinstance(args[0], Option) else args[0])


def _unknown(_: str, __: Sequence[Type], ___: Options) -> Type:
    return Unknown()


STRUCTURAL: Final[dict[str, StructuralRule]] = {
    "softmax": _softmax,
    "concatenate": _concatenate,
    "num": _num,
    "local_index": _local_index,
    "from_regular": _from_regular,
    "follow": _follow,
    "instances": _instances,
    "iteration": _iteration,
    "flatten": _flatten,
    "sort": _sort,
    "mask": _mask,
    "is_none": _is_none,
    "drop_none": _drop_none,
    "present": _present,
    "pad_none": _pad_none,
    "fill_none": _fill_none,
    "firsts": _firsts,
    "singletons": _singletons,
    "broadcast": broadcast_type,
    "unknown": _unknown,
    "cartesian": cartesian_type,
    "zip": zip_type,
    "combinations": combinations_type,
    "momentum": momentum_type,
    "vector_get": get_type,
    "vector_call": call_type_of,
    "vector_sum": sum_type,
}
