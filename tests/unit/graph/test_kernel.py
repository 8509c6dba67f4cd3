"""Programs give what awkward gives, compute equal parts once and say what failed."""

from __future__ import annotations

import pickle

import awkward as ak
import numpy as np
import pytest

from sxdask.core.errors import RequestError
from sxdask.graph.kernel import MaskProgram, compile_program, run
from sxdask.graph.reader import restrict
from sxdask.graph.shape import assemble
from sxdask.plan.expr import Binary, Call, Column, Compare, Constant, Pack, Slice, Subscript

PT = ak.Array([[50.0, 20.0], [], [35.0]])
N = ak.Array([2, 0, 1])


def test_an_expression_equals_awkward():
    expr = Call("sum", (Binary("*", Column("pt"), Constant(2.0)),), (("axis", 1),))
    (value,) = run(compile_program([expr]), {"pt": PT})
    assert ak.array_equal(value, ak.sum(PT * 2.0, axis=1))


def test_equal_parts_are_computed_once():
    double = Binary("*", Column("pt"), Constant(2))
    program = compile_program([double, Binary("+", double, double)])
    assert [step.name for step in program.steps] == ["constant", "binary:*", "binary:+"]


def test_constants_of_different_kinds_keep_their_own_step():
    program = compile_program(
        [Binary("*", Column("n"), Constant(2)), Binary("*", Column("n"), Constant(2.0))]
    )
    whole, real = run(program, {"n": N})
    assert (whole.type.content.primitive, real.type.content.primitive) == ("int64", "float64")


def test_subscripts_slices_and_masks():
    first = Subscript(
        Subscript(Column("pt"), (Compare(">", Column("pt"), Constant(30)),)),
        (Slice(), Slice(None, 1)),
    )
    (value,) = run(compile_program([first]), {"pt": PT})
    assert value.to_list() == [[50.0], [], [35.0]]


def test_a_list_argument_is_packed():
    expr = Call("concatenate", (Pack((Column("pt"), Column("pt"))),), (("axis", 1),))
    (value,) = run(compile_program([expr]), {"pt": PT})
    assert value.to_list() == [[50.0, 20.0, 50.0, 20.0], [], [35.0, 35.0]]


def test_an_index_beyond_the_list_names_the_expression_and_a_way_out():
    program = compile_program([Subscript(Column("pt"), (Slice(), Constant(0)))])
    with pytest.raises(RequestError, match=r"pt\[:, 0\] cannot be evaluated") as caught:
        run(program, {"pt": PT})
    assert "condition on the count" in str(caught.value)


def test_an_unknown_function_is_refused_when_compiled():
    with pytest.raises(RequestError, match="'no_such'"):
        compile_program([Call("no_such", (Column("pt"),))])


def test_a_mask_treats_missing_as_not_true():
    expr = Compare(">", Call("max", (Column("pt"),), (("axis", 1),)), Constant(30))
    mask = MaskProgram(compile_program([expr]))({"pt": PT})
    assert mask.dtype == np.bool_
    assert mask.tolist() == [True, False, True]


def test_a_jagged_mask_says_how_to_reduce_it():
    mask = MaskProgram(compile_program([Compare(">", Column("pt"), Constant(30))]))
    with pytest.raises(RequestError, match="list dimension") as caught:
        mask({"pt": PT})
    assert "any(" in str(caught.value)


def test_a_program_pickles_small_and_runs_the_same():
    expr = Compare(">", Call("num", (Column("pt"),), (("axis", 1),)), Constant(1))
    program = compile_program([expr])
    blob = pickle.dumps(program)
    assert len(blob) < 1000
    (value,) = run(pickle.loads(blob), {"pt": PT})
    assert value.to_list() == [True, False, False]


def test_restricting_drops_the_steps_and_columns_of_other_outputs():
    program = compile_program(
        [Binary("+", Column("a"), Constant(1)), Binary("*", Column("b"), Constant(2))]
    )
    small = restrict(program, (program.results[1],))
    assert small.columns == ("b",)
    (value,) = run(small, {"b": N})
    assert value.to_list() == [4, 0, 2]


def test_a_constant_output_is_repeated_for_every_row():
    array = assemble(("one", "n"), [1.5, N], 3)
    assert array.one.to_list() == [1.5, 1.5, 1.5]
