"""Results that are no records of an event each: values, tuples, items of lists."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sxdask.core.errors import RequestError
from sxdask.core.results import Shape
from sxdask.graph.shape import assemble, parts_of

LISTS = ak.Array([[1.5, 2.5], [], [3.5]])
OTHERS = ak.Array([[1, 2], [], [3]])


def test_a_record_of_an_event_has_one_field_per_output() -> None:
    rows = assemble(("a", "n"), [LISTS, 7], 3)
    assert str(rows.type) == "3 * {a: var * float64, n: int64}"


def test_a_bare_result_is_the_value_itself() -> None:
    rows = assemble(("",), [LISTS], 3, Shape(bare=True))
    assert rows.to_list() == LISTS.to_list()
    assert rows.fields == []


def test_a_tuple_has_fields_by_position() -> None:
    rows = assemble(("0", "1"), [LISTS, OTHERS], 3, Shape(is_tuple=True))
    assert rows[0].to_list() == ([1.5, 2.5], [1, 2])


def test_items_of_all_events_are_rows() -> None:
    rows = assemble(("a", "b"), [LISTS, OTHERS], 3, Shape(items=True))
    assert rows.to_list() == [{"a": 1.5, "b": 1}, {"a": 2.5, "b": 2}, {"a": 3.5, "b": 3}]


def test_bare_items_are_one_list() -> None:
    rows = assemble(("",), [LISTS], 3, Shape(bare=True, items=True))
    assert rows.to_list() == [1.5, 2.5, 3.5]


def test_items_hold_no_memory_of_dropped_events() -> None:
    kept = LISTS[np.array([False, False, True])]
    rows = assemble(("a",), [kept], 1, Shape(items=True))
    assert rows.layout.content(0).length == 1


def test_items_of_collections_with_other_lengths_are_refused_by_name() -> None:
    with pytest.raises(RequestError, match="'a' has 3, 'b' has 1"):
        assemble(("a", "b"), [LISTS, ak.Array([[1], [], []])], 3, Shape(items=True))


def test_the_form_of_each_output_is_found_in_every_shape() -> None:
    for shape in (Shape(), Shape(is_tuple=True)):
        form = assemble(("a", "b"), [LISTS, OTHERS], 3, shape).layout.form
        found = {name: str(part.type) for name, part in parts_of(form, ("a", "b"), shape).items()}
        assert found == {"a": "var * float64", "b": "var * int64"}
    bare = Shape(bare=True)
    form = assemble(("",), [LISTS], 3, bare).layout.form
    assert str(parts_of(form, ("",), bare)[""].type) == "var * float64"
