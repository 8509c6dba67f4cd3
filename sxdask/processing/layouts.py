"""Layouts of events whose fields are made when they are looked at.

A file has more than a thousand branches and a processor looks at a few dozen.
awkward makes an object for every buffer of a form, which takes longer than
reading these few; here it makes those of a field when the field is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import awkward as ak
from awkward.contents import Content, ListOffsetArray, RecordArray
from awkward.forms import ListOffsetForm, RecordForm

if TYPE_CHECKING:
    from awkward.forms import Form

BufferKey: TypeAlias = "Callable[..., str]"


class LazyContents(Sequence[Content]):
    """The contents of a record, each made when it is first asked for."""

    def __init__(self, count: int, make: Callable[[int], Content]) -> None:
        self._made: list[Content | None] = [None] * count
        self._make = make

    def __len__(self) -> int:
        return len(self._made)

    @overload
    def __getitem__(self, where: int) -> Content: ...

    @overload
    def __getitem__(self, where: slice) -> list[Content]: ...

    def __getitem__(self, where: int | slice) -> Content | list[Content]:
        if isinstance(where, slice):
            return [self[number] for number in range(*where.indices(len(self)))]
        found = self._made[where]
        if found is None:
            number = where if where >= 0 else where + len(self)
            found = self._made[number] = self._make(number)
        return found

    def __iter__(self) -> Iterator[Content]:
        return (self[number] for number in range(len(self)))

    def __add__(self, other: Sequence[Content]) -> list[Content]:
        return [*self, *other]

    def __radd__(self, other: Sequence[Content]) -> list[Content]:
        return [*other, *self]

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (list(self),)


def lazy_layout(
    form: Form, length: int, buffers: Mapping[str, Any], buffer_key: BufferKey
) -> Content:
    """Return what ``ak.from_buffers`` gives for virtual buffers, records without their fields yet.

    Parameters
    ----------
    form
        Of the array.
    length
        Its entries.
    buffers
        Key to a function that gives the buffer.
    buffer_key
        The key of a buffer of a node of the form, as `ak.from_buffers` takes it.
    """
    if isinstance(form, RecordForm) and form.contents:
        shell = RecordForm([], [], parameters=form.parameters, form_key=form.form_key)
        record = _eager(shell, length, buffers, buffer_key)
        return _filled(record, form, buffers, buffer_key)
    if isinstance(form, ListOffsetForm) and isinstance(form.content, RecordForm):
        inner = form.content
        shell = RecordForm([], [], parameters=inner.parameters, form_key=inner.form_key)
        lists = _eager(
            ListOffsetForm(form.offsets, shell, parameters=form.parameters, form_key=form.form_key),
            length,
            buffers,
            buffer_key,
        )
        assert isinstance(lists, ListOffsetArray)  # noqa: S101  narrows for the type checker
        _filled(lists.content, inner, buffers, buffer_key)
        return lists
    return _eager(form, length, buffers, buffer_key)


def _eager(form: Form, length: int, buffers: Mapping[str, Any], buffer_key: BufferKey) -> Content:
    return ak.from_buffers(form, length, buffers, buffer_key=buffer_key, highlevel=False)


def _filled(
    record: Content, form: RecordForm, buffers: Mapping[str, Any], buffer_key: BufferKey
) -> RecordArray:
    """Give a record without fields those of `form`; a field asks for the record's length."""
    assert isinstance(record, RecordArray)  # noqa: S101  narrows for the type checker
    empty = record.copy()

    def make(number: int) -> Content:
        # Set by hand: to find its length, a record compares those of all its contents.
        record._length = empty.length  # noqa: SLF001
        return lazy_layout(form.content(number), record._length, buffers, buffer_key)  # noqa: SLF001

    # awkward's own constructor would go through all contents.
    record._contents = LazyContents(len(form.contents), make)  # noqa: SLF001
    record._fields = None if form.is_tuple else list(form.fields)
    return record


def with_fields(layout: Content, names: Sequence[str], make: Callable[[str], ak.Array]) -> Content:
    """Return a lazy record with more fields, which `make` gives when they are looked at."""
    if not names:
        return layout
    assert isinstance(layout, RecordArray)  # noqa: S101  narrows for the type checker
    known = layout.contents
    count = len(known)

    def content(number: int) -> Content:
        return known[number] if number < count else make(names[number - count]).layout

    more = RecordArray([], [], layout.length, parameters=layout.parameters)
    more._contents = LazyContents(count + len(names), content)  # noqa: SLF001
    more._fields = [*layout.fields, *names]
    return more
