"""The values of the interpreter: sequences that know what an item is like, and their zips."""

from __future__ import annotations

import json
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class WrongQueryError(Exception):
    """The query has no meaning: broadcasting of unequal lists, a mask that is no boolean."""


class Sequence:
    """Items of one kind, and how to make an example of that kind for when there are none.

    A sequence that is itself an `example` has one item that stands for any
    number of them, so that the type of a result is found by running the query
    on an example.
    """

    def __init__(
        self, items: Iterable[Any], example: Callable[[], Any], *, is_example: bool = False
    ) -> None:
        self.items = list(items)
        self._make = example
        self.is_example = is_example

    @classmethod
    def of_example(cls, item: Any) -> Sequence:
        """Return the example of a sequence of things like `item`."""
        return cls([item], lambda: item, is_example=True)

    @cached_property
    def example(self) -> Any:
        """One item such as these, which need not be among them."""
        return self._make()

    def __len__(self) -> int:
        return len(self.items)

    def like(self, items: Iterable[Any]) -> Sequence:
        """Return other items of the same kind; an example stays as it is."""
        return self if self.is_example else Sequence(items, lambda: self.example)

    def map(
        self, function: Callable[[Any], Any], typed: Callable[[Any], Any] | None = None
    ) -> Sequence:
        """Return the results of `function`; that of the example is made by `typed`, if given."""
        of_example = typed or function
        if self.is_example:
            return Sequence.of_example(of_example(self.example))
        return Sequence([function(item) for item in self.items], lambda: of_example(self.example))

    def at(self, place: int) -> Any:
        """Return the item at `place`, counted from the end if negative."""
        return self.example if self.is_example else self.items[place]


def broadcast(function: Callable[..., Any], *values: Any) -> Any:
    """Call `function` item by item; what is no sequence goes with every item.

    With a missing value all is missing, also a whole list: as awkward has it.
    """
    if any(value is None for value in values):
        return None
    sequences = [value for value in values if isinstance(value, Sequence)]
    if not sequences:
        return function(*values)
    if len({len(value) for value in sequences if not value.is_example}) > 1:
        raise WrongQueryError("lists of unequal length")

    def item(place: int | None) -> Any:
        return broadcast(function, *(_item(value, place) for value in values))

    if all(value.is_example for value in sequences):
        return Sequence.of_example(item(None))
    size = next(len(value) for value in sequences if not value.is_example)
    return Sequence([item(place) for place in range(size)], lambda: item(None))


def _item(value: Any, place: int | None) -> Any:
    """Return the item of a sequence at `place` (None: the example), or what goes with all."""
    if not isinstance(value, Sequence):
        return value
    return value.example if place is None else value.at(place)


def zip_items(parts: dict[str, Any] | tuple[Any, ...], levels: int | None) -> Any:
    """Turn a record of sequences into a sequence of records, `levels` deep (None: all)."""
    values = parts.values() if isinstance(parts, dict) else parts
    if levels == 0 or not any(isinstance(value, Sequence) for value in values):
        return parts
    below = None if levels is None else levels - 1

    def pack(*items: Any) -> Any:
        packed = dict(zip(parts, items, strict=True)) if isinstance(parts, dict) else items
        return zip_items(packed, below)

    return _one_level(pack, *values)


def _one_level(function: Callable[..., Any], *values: Any) -> Any:
    """Call `function` with the items of the sequences, which may be sequences again."""
    return broadcast(
        lambda *wrapped: function(*(item.value for item in wrapped)),
        *(value.map(_Whole) if isinstance(value, Sequence) else _Whole(value) for value in values),
    )


class _Whole:
    """A value that broadcasting does not look into."""

    def __init__(self, value: Any) -> None:
        self.value = value


def strong(value: Any) -> Any:
    """Give a constant the type that it has in an array of its own."""
    if isinstance(value, bool | int | float):
        return np.asarray(value)[()]
    return value


def truth(value: Any) -> bool:
    """Return a boolean value, a missing one as False; a mask of anything else is a mistake."""
    if value is None:
        return False
    if not isinstance(value, bool | np.bool_):
        raise WrongQueryError(f"{value!r} is not a boolean")
    return bool(value)


def type_of(example: Any) -> str:
    """Return the type of an example as awkward writes it, without options."""
    example = strong(example)
    if isinstance(example, Sequence):
        return f"var * {type_of(example.example)}"
    if isinstance(example, dict):
        fields = (f"{_key(name)}: {type_of(item)}" for name, item in example.items())
        return "{" + ", ".join(fields) + "}"
    if isinstance(example, tuple):
        return "(" + ", ".join(map(type_of, example)) + ")"
    if isinstance(example, str):
        return "string"
    if isinstance(example, np.generic):
        return str(example.dtype)
    raise WrongQueryError(f"{example!r} is no number")


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


def plain(value: Any) -> Any:
    """Return `value` as lists, dicts, tuples and numbers of Python, as ``ak.to_list`` does."""
    if isinstance(value, Sequence):
        return [plain(item) for item in value.items]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(plain(item) for item in value)
    return value.item() if isinstance(value, np.generic) else value
