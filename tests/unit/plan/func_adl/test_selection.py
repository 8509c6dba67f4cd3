"""What may be handed over as a query: text, a syntax tree, a query of func_adl, a mapping."""

from __future__ import annotations

import ast
import math
from typing import Any

import numpy as np
import pytest
import qastle
from func_adl import EventDataset  # type: ignore[import-untyped]
from func_adl_uproot import UprootDataset

from sxdask.core.errors import (
    RecipeError,
    RequestError,
    RequestTooLargeError,
    SelectionSyntaxError,
    SelectionTypeError,
    SxdaskError,
)
from sxdask.plan.fingerprint import fingerprint
from sxdask.plan.frontend import FRONTENDS
from sxdask.plan.func_adl.python_text import parse_python
from sxdask.plan.func_adl.selection import is_qastle, tree_of
from tests.refusals import error_of
from tests.unit.plan.func_adl.queries import QUERIES, as_qastle
from tests.unit.plan.schemas import LIMITS, Source

CUT = 30.0
NUMPY_CUT = np.float64(-2.5)
FAR = math.inf
SYNTAX: Any = ast  # untyped: trees that Python's parser never gives are wanted, too


class Events(EventDataset):  # type: ignore[misc]
    """A source of func_adl that runs nothing."""

    async def execute_result_async(self, a, title=None):
        """Never called: the query is handed over and not executed."""
        raise NotImplementedError


def double(e):
    """Return twice the missing energy."""
    return e.met * 2


def same(selection, text):
    """Check that `selection` is the query `text`, and that its places refer to its text."""
    tree, source = tree_of(selection, LIMITS)
    assert tree == parse_python(text, LIMITS)
    assert tree_of(source.text, LIMITS) == (tree, source)


def test_queries_of_func_adl_are_taken_as_they_are():
    filtered = Events().Where(lambda e: e.met > CUT)
    same(filtered, "EventDataset().Where(lambda e: e.met > 30.0)")
    records = filtered.Select(lambda f: {"x": f.jets[0], "y": f.pt * NUMPY_CUT})
    same(
        records,
        "EventDataset().Where(lambda e: e.met > 30.0)"
        ".Select(lambda f: {'x': f.jets[0], 'y': f.pt * -2.5})",
    )
    same(records.AsAwkwardArray(["x", "y"]), f"{_text(records)}.AsAwkwardArray(['x', 'y'])")
    same(records.AsParquetFiles("f", "x"), f"{_text(records)}.AsParquetFiles('f', 'x')")
    same(records.MetaData({"a": 1}), f"{_text(records)}.MetaData({{'a': 1}})")


def test_functions_comprehensions_and_captured_values_of_func_adl_are_taken():
    named = Events().Select(double)
    same(named, "EventDataset().Select(lambda e: e.met * 2)")
    listed = Events().Select(lambda g: [j.pt for j in g.jets if j.pt > CUT])
    same(
        listed,
        "EventDataset().Select(lambda g: g.jets.Where(lambda j: j.pt > 30.0)"
        ".Select(lambda j: j.pt))",
    )
    member = Events().Where(lambda h: h.x in [1, 2])
    same(member, "EventDataset().Where(lambda h: h.x == 1 or h.x == 2)")
    infinite = Events().Where(lambda i: i.x < FAR)
    same(infinite, "EventDataset().Where(lambda i: i.x < np.inf)")
    text = Events().Select("lambda k: k.x.Where(lambda j: j > k.y)")
    same(text, "EventDataset().Select(lambda k: k.x.Where(lambda j: j > k.y))")


def test_a_query_of_func_adl_uproot_keeps_its_tree():
    query = UprootDataset("f.root", "Events").Select(lambda e: e.x)
    same(query, "EventDataset('f.root', 'Events').Select(lambda e: e.x)")


def _text(query):
    return tree_of(query, LIMITS)[1].text


class FromTheClient:
    """A query of the ServiceX client, to which qastle was given as text."""

    provided_qastle = "(Count (call EventDataset 'bogus.root' 't'))"
    query_ast = ast.parse("EventDataset()")


def test_qastle_that_the_client_carries_is_the_query():
    same(FromTheClient(), "EventDataset('bogus.root', 't').Count()")


@pytest.mark.parametrize("query", QUERIES)
def test_texts_and_syntax_trees_of_one_query_are_one_tree(query):
    module = ast.parse(query)
    expression = ast.parse(query, mode="eval")
    for selection in (
        query,
        as_qastle(query),
        as_qastle(query, operators_as_nodes=False),
        {"selection": query},
        module,
        expression,
        expression.body,
        qastle.insert_linq_nodes(ast.parse(query)),
    ):
        same(selection, query)


def test_the_users_syntax_tree_is_left_as_it_is():
    tree = ast.parse("EventDataset().Select(lambda e: (1, e.x))")
    before = ast.dump(tree)
    tree_of(tree, LIMITS)
    assert ast.dump(tree) == before


def test_the_tree_to_read_may_be_given_beside_the_query():
    for text in ("EventDataset('f', 'a').Count()", "(call Count (call EventDataset 'f' 'a'))"):
        tree, _ = tree_of({"selection": text, "tree": "b"}, LIMITS)
        assert tree == parse_python("EventDataset('f', 'b').Count()", LIMITS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(call Count (call EventDataset))", True),
        ("\n ( Select (call EventDataset) (lambda (list e) e))", True),
        ("(foo 1)", True),
        ("(> 1 2)", True),
        ("(lambda (list e) e)", True),
        ("(EventDataset().Count())", False),
        ("(\n  EventDataset()\n  .Count())", False),
        ("(lambda e: e.x)", False),
        ("(lambda: 1)", False),
        ("Count(EventDataset())", False),
    ],
)
def test_qastle_is_known_by_its_beginning(text, expected):
    assert is_qastle(text) is expected


def of_event(body):
    """Return the syntax of a lambda of `e`."""
    parameters = SYNTAX.arguments([], [SYNTAX.arg("e")], None, [], [], None, [])
    return SYNTAX.Lambda(parameters, body)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (-5, "-5"),
        (np.float64(2.5), "2.5"),
        (-math.inf, "-np.inf"),
        (math.nan, "np.nan"),
        ([1, (2, "a")], "[1, [2, 'a']]"),
        ({"a": -1}, "{'a': -1}"),
        (True, "True"),
        (None, "None"),
        ("a'b\n\x00\u00e9", r"""'a\'b\n\x00\u00e9'"""),
    ],
)
def test_captured_values_become_text(value, text):
    same(of_event(SYNTAX.Constant(value)), f"lambda e: {text}")
    squared = of_event(SYNTAX.BinOp(SYNTAX.Constant(value), SYNTAX.Pow(), SYNTAX.Constant(2)))
    same(squared, f"lambda e: ({text}) ** 2")


def nested(depth):
    """Return syntax of that depth, which no text was parsed for."""
    node = SYNTAX.Name("e")
    for _ in range(depth):
        node = SYNTAX.UnaryOp(SYNTAX.Not(), node)
    return of_event(node)


def in_itself():
    """Return a list that holds itself."""
    items: list[object] = []
    items.append(items)
    return of_event(SYNTAX.Constant(items))


@pytest.mark.parametrize(
    ("selection", "kind", "words"),
    [
        (None, RequestError, "NoneType"),
        (3, RequestError, "not int"),
        (b"Count(EventDataset())", RequestError, "not bytes"),
        ("", RequestError, "empty string"),
        ({}, RecipeError, "no 'selection'"),
        ({"selection": None}, RecipeError, "no 'selection'"),
        ({"selection": "Count(EventDataset())", "treename": "a"}, RecipeError, "'treename'"),
        ({"selection": "Count(EventDataset())", "tree": 3}, RecipeError, "'tree' is 3"),
        ({"selection": "Count(EventDataset())", 3: 3}, RecipeError, "no key 3"),
        (ast.parse("a\nb"), RequestError, "2 statements"),
        (ast.parse(""), RequestError, "0 statements"),
        (ast.parse("x = 3"), RequestError, "one expression"),
        (ast.parse("[x for x in y]"), SelectionSyntaxError, "comprehension"),
        (of_event(SYNTAX.Constant(np.int32(3))), SelectionTypeError, "a int32"),
        (of_event(SYNTAX.Constant(b"a")), SelectionTypeError, "a bytes"),
        (of_event(SYNTAX.Constant(math)), SelectionTypeError, "a module"),
        (of_event(SYNTAX.Constant(10**5000)), SelectionTypeError, "64 bits"),
        (of_event(SYNTAX.Constant("\ud800")), SelectionSyntaxError, "half a character"),
        (of_event(SYNTAX.Name(3)), RequestError, "Python's parser"),
        (of_event(SYNTAX.Name()), RequestError, "Python's parser"),
        (of_event(SYNTAX.BinOp(1, 2, 3)), RequestError, "Python's parser"),
        (of_event(SYNTAX.Name("x); import os")), SelectionSyntaxError, "not part"),
        (nested(250), RequestTooLargeError, "deeper"),
        (nested(100_000), RequestTooLargeError, "deeper"),
        (in_itself(), RequestTooLargeError, "deeper"),
        (of_event(SYNTAX.Constant([[]] * 100_000)), RequestTooLargeError, "parts"),
    ],
    ids=range(26),
)
def test_what_is_no_query_is_refused(selection, kind, words):
    with pytest.raises(kind, match=words):
        tree_of(selection, LIMITS)


def test_syntax_of_daily_depth_is_taken():
    text = "e.x"
    for number in range(60):
        text = f"({text} + {number})"
    same(of_event(ast.parse(text, mode="eval").body), f"lambda e: {text}")


# -- the two languages ---------------------------------------------------------------------


def plan(language, selection):
    """Return the plan of a frontend."""
    return FRONTENDS.load(language)(LIMITS).parse(selection, Source())


QUERY = "EventDataset('f', 'Events').Where(lambda e: e.MET_pt > 50).Select(lambda e: {'a': e.run})"


def test_both_languages_give_one_plan():
    wanted = fingerprint(plan("func_adl", QUERY))
    assert fingerprint(plan("func_adl", as_qastle(QUERY))) == wanted
    assert fingerprint(plan("func_adl", ast.parse(QUERY))) == wanted
    assert fingerprint(plan("qastle", as_qastle(QUERY))) == wanted
    assert fingerprint(plan("qastle", {"selection": as_qastle(QUERY)})) == wanted
    other = QUERY.replace("Events", "Runs")
    assert fingerprint(plan("func_adl", {"selection": other, "tree": "Events"})) == wanted
    of_other = {"selection": as_qastle(other), "tree": "Events"}
    assert fingerprint(plan("qastle", of_other)) == wanted


@pytest.mark.parametrize("selection", [QUERY, ast.parse(QUERY), 3, None, {"selection": 3}])
def test_qastle_takes_nothing_but_its_text(selection):
    with pytest.raises(SxdaskError) as caught:
        plan("qastle", selection)
    assert caught.value.fault == "user"


def test_an_error_of_the_data_points_into_a_syntax_tree_written_as_text():
    tree = ast.parse("EventDataset().Select(lambda e: e.MET_ptt)")
    with pytest.raises(SxdaskError) as caught:
        plan("func_adl", tree)
    assert caught.value.code == "SX101"
    _, line, caret, *_ = str(caught.value).splitlines()
    assert line[len(caret) - 1 :].startswith("e.MET_ptt")
    assert "MET_pt" in str(caught.value.hint)


def test_a_misspelt_operator_is_named_with_the_right_one():
    text = "EventDataset().Wher(lambda e: e.MET_pt > 1)"
    frontend = FRONTENDS.load("func_adl")(LIMITS)
    error = error_of(lambda: frontend.parse(text, Source()), "SX102")
    assert error.problem.startswith("there is no operator 'Wher'")
    assert error.problem.endswith(f"\n{text}\n{' ' * text.index('Wher')}^")
    assert "'Where'" in str(error.hint)
