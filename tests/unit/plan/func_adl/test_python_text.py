"""func_adl in Python's notation: what it means, where it stands, and what is refused where."""

from __future__ import annotations

import ast
import re
import warnings

import pytest
from hypothesis import given

from sxdask.core.errors import RequestError, RequestTooLargeError, SelectionSyntaxError
from sxdask.plan.func_adl.python_text import parse_python
from sxdask.plan.func_adl.tree import (
    Attribute,
    Call,
    Compare,
    Dataset,
    Item,
    Lambda,
    Logical,
    Mapping,
    Name,
    Operator,
    Range,
    Sequence,
    Value,
)
from sxdask.plan.func_adl.whole import children
from tests.unit.plan.func_adl.queries import QUERIES, RANDOM_QUERIES
from tests.unit.plan.schemas import LIMITS

EVENTS = Dataset()


def of_event(body):
    """Return the tree of ``EventDataset().Select(lambda e: body)``."""
    return Operator("Select", EVENTS, (Lambda(("e",), body),))


def body_of(text):
    """Return the tree of an expression of `e`."""
    tree = parse_python(f"lambda e: {text}", LIMITS)
    assert isinstance(tree, Operator)
    assert isinstance(tree.arguments[0], Lambda)
    return tree.arguments[0].body


E_X = Attribute(Name("e"), "x")


@pytest.mark.parametrize(
    "text",
    [
        "EventDataset().Select(lambda e: e.x)",
        "EventDataset().Select('lambda e: e.x')",
        'EventDataset().Select("lambda e: e.x")',
        "Select(EventDataset(), lambda e: e.x)",
        "Select(EventDataset(), 'lambda e: e.x')",
        "lambda e: e.x",
        "  (EventDataset()\n   .Select(lambda e: e.x))  # the missing energy\n",
        "EventDataset()\n  .Select(lambda e: e.x)",
        "EventDataset() \\\n  .Select(lambda e: \\\r\n e.x)",
        "EventDataset().QMetaData({'job': 3}).Select(lambda e: e.x)",
    ],
)
def test_one_query_is_written_in_many_ways(text):
    assert parse_python(text, LIMITS) == of_event(E_X)


def test_the_dataset_keeps_its_files_and_its_tree():
    files = "EventDataset(['a.root', 'b.root'], 'Events').Count()"
    wanted = Operator("Count", Dataset(("a.root", "b.root"), "Events"), ())
    assert parse_python(files, LIMITS) == wanted
    assert parse_python("Count(EventDataset(None, None))", LIMITS) == Operator("Count", EVENTS, ())


def test_the_tree_to_read_may_be_given_beside_the_query():
    for text in ("EventDataset('f', 'a').Select(lambda e: e.x)", "lambda e: e.x"):
        tree = parse_python(text, LIMITS, "b")
        assert isinstance(tree, Operator)
        assert isinstance(tree.source, Dataset)
        assert tree.source.tree == "b"


def test_a_chain_of_comparisons_is_the_comparisons_joined():
    a, b, c = (Attribute(Name("e"), name) for name in "abc")
    wanted = Logical("and", (Compare((a, b), ("<",)), Compare((b, c), ("<=",))))
    assert body_of("e.a < e.b <= e.c") == wanted
    assert body_of("e.a < e.b and e.b <= e.c") == wanted
    assert body_of("e.a in [1]") == Compare((a, Sequence((Value(1),))), ("in",))
    assert body_of("e.a not in [1]") == Compare((a, Sequence((Value(1),))), ("not in",))


def test_slices_and_keywords_are_kept():
    assert body_of("e.x[1:]") == Item(E_X, Range(Value(1)))
    assert body_of("e.x[:2:-1]") == Item(E_X, Range(None, Value(2), Value(-1)))
    call = body_of("np.sum(e.x, axis=1)")
    assert call == Call(Attribute(Name("np"), "sum"), (E_X,), (("axis", Value(1)),))


@pytest.mark.parametrize(
    ("method", "function", "rest"),
    [
        ("AsPandasDF('a')", "ResultPandasDF", (["a"],)),
        ("as_pandas(columns=['a', 'b'])", "ResultPandasDF", (["a", "b"],)),
        ("AsAwkwardArray()", "ResultAwkwardArray", ([],)),
        ("as_awkward(['a'])", "ResultAwkwardArray", (["a"],)),
        ("AsParquetFiles('f.parquet', ['a'])", "ResultParquet", (["a"], "f.parquet")),
        ("as_parquet(columns='a', filename='f')", "ResultParquet", (["a"], "f")),
        ("AsROOTTTree('f', 't', ['a'])", "ResultTTree", (["a"], "t", "f")),
        ("as_ROOT_tree(treename='t', filename='f')", "ResultTTree", ([], "t", "f")),
    ],
)
def test_methods_of_a_stream_are_the_functions_that_func_adl_sends(method, function, rest):
    arguments = [
        Sequence(tuple(map(Value, item))) if isinstance(item, list) else Value(item)
        for item in rest
    ]
    wanted = Call(Name(function), (of_event(E_X), *arguments))
    assert parse_python(f"EventDataset().Select(lambda e: e.x).{method}", LIMITS) == wanted


def test_metadata_is_a_call_around_its_source():
    wanted = Call(Name("MetaData"), (EVENTS, Mapping(("a",), (Value(1),))))
    assert parse_python("EventDataset().MetaData({'a': 1})", LIMITS) == wanted
    assert parse_python("MetaData(EventDataset(), {'a': 1})", LIMITS) == wanted


def parts_of(node):
    """Yield `node` and all below it."""
    yield node
    for child in children(node):
        yield from parts_of(child)


@given(query=RANDOM_QUERIES)
def test_every_place_holds_the_text_of_its_node(query):
    try:
        tree = parse_python(query, LIMITS)
    except SelectionSyntaxError:
        return
    for node in parts_of(tree):
        assert node.span is not None
        # the parts of a chain of comparisons end within the brackets of their operands
        if not isinstance(node, Dataset | Compare):
            assert body_of(query[slice(*node.span)]) == node


@pytest.mark.parametrize("query", QUERIES)
def test_what_pythons_own_writer_writes_is_the_same_tree(query):
    again = ast.unparse(ast.parse(query))
    assert parse_python(again, LIMITS) == parse_python(query, LIMITS)


def test_places_within_functions_given_as_text_are_those_of_the_users_text():
    text = r"""EventDataset().Select("lambda e: e.x.Where('lambda i:\ti > e[\"y\"]')")"""
    tree = parse_python(text, LIMITS)
    found = {
        type(node).__name__ + str(getattr(node, "name", "")): text[slice(*node.span)]
        for node in parts_of(tree)
        if node.span
    }
    assert found["Compare"] == r"i > e[\"y\"]"
    assert found["Item"] == r"e[\"y\"]"
    assert found["Value"] == r"\"y\""
    assert found["Attributex"] == "e.x"


MISTAKES = [
    ("lambda e: e.@_x", "'_x' is not an attribute"),
    ("lambda e: e.x.@__dict__", "'__dict__' is not an attribute"),
    ("lambda e: ().@__class__", "'__class__' is not an attribute"),
    ("lambda e: @__import__('os')", "'__import__' is not part"),
    ("lambda e: @[x for x in e.y]", "a comprehension"),
    ("lambda e: sum@(x for x in e.y)", "a comprehension"),
    ("lambda e: @{x for x in e.y}", "a comprehension"),
    ("lambda e: @{x: 1 for x in e.y}", "a comprehension"),
    ("lambda e: @{1, 2}", "a set"),
    ("lambda e: (@y := 1)", "an assignment"),
    ("lambda e: @f'{e.x}'", "the prefix 'f'"),
    ("lambda e: @b'x'", "the prefix 'b'"),
    ("lambda e: @r'x'", "the prefix 'r'"),
    ("lambda e: f(@*e.x)", "a starred value"),
    ("lambda e: f(**@e.x)", "** is not part"),
    ("lambda e: @{**e.x}", "** is not part"),
    ("lambda e: (@yield e)", "yield"),
    ("lambda e: @await e", "await"),
    ("lambda e: @e.x is None", "is is not part"),
    ("lambda e: e.x @!! e.y", "! is not part"),
    ("lambda e: @...", "not a value"),
    ("lambda e: @1j", "cannot begin with a digit"),
    ("lambda e: e.x[@1:2, 3]", "a slice here"),
    ("lambda e: @1e999", "too large"),
    ("lambda e: @99999999999999999999", "more than 64 bits"),
    (f"lambda e: @{'9' * 50}", "50 characters"),
    ("lambda e: @e.x @ e.y", "@ is not part"),
    ("lambda e: e.x @&& e.y", "&& is not part"),
    ("lambda e: 'a' @'b'", "two texts side by side"),
    ("lambda e: ''@'a'''", "two texts side by side"),
    ("lambda e: @'a", "not closed on its line"),
    ("lambda e: '@\\q'", "no escape"),
    ("lambda e: {@1: e.x}", "is a text"),
    ("lambda e: {'a': 1, @'a': 2}", "stands twice"),
    ("lambda e: (lambda a, @a: a)(1, 2)", "stands twice"),
    ("lambda e: e.Select(lambda x=@1: x)", "no default"),
    ("lambda e: e.Select(lambda *@x: x)", "plain name"),
    ("lambda e: e.Select(lambda @x, /: x)", "plain name"),
    ("lambda e: e.Select(lambda *, @x: x)", "plain name"),
    ("lambda e: e.Select(lambda **@x: x)", "plain name"),
    ("lambda @Select: 1", "is an operator"),
    ("lambda e: e.Select(@lambda a, b: 1)", "takes one parameter"),
    ("lambda e: e.Aggregate(0, @lambda a: 1)", "takes two parameters"),
    ("lambda e: e.Select(@3)", "needs a lambda"),
    ("lambda e: e.Select(@'e.x')", "needs a lambda"),
    ("lambda e: e.Select('lambda x: x.@_y')", "'_y' is not an attribute"),
    ("lambda e: e.Select('lambda x: @(x')", "never closed"),
    ("lambda e: e.Select('@')", "is empty"),
    ("lambda e: e.Select('@# x')", "only a comment"),
    ("lambda e: e.First(@1)", "no argument"),
    ("lambda e: @e.ElementAt()", "one argument"),
    ("lambda e: e.Where(lambda x: x, @3)", "one argument"),
    ("lambda e: e.Where(filter=@lambda x: x)", "no argument by keyword"),
    ("lambda e: @Count()", "has no source"),
    ("EventDataset(file=@'f').Count()", "no argument by keyword"),
    ("EventDataset('f', 't', @3).Count()", "a file and a tree"),
    ("EventDataset(@{'f': 't'}).Count()", "the file of EventDataset is a text"),
    ("@EventDataset.Count()", "not called"),
    ("@ds.Select(lambda e: e.x)", "'ds' is not the events"),
    ("@ServiceXSource('x').Where(lambda e: e.x)", "begins with EventDataset()"),
    ("Select(@3, lambda e: e.x)", "begins with EventDataset()"),
    ("@lambda e, f: e.x", "begins with EventDataset()"),
    ("EventDataset().AsPandasDF('a', @'b')", "takes columns"),
    ("EventDataset().AsPandasDF(names=@'a')", "takes columns"),
    ("EventDataset().AsPandasDF('a', columns=@'b')", "once each"),
    ("@EventDataset().AsROOTTTree('f')", "treename is missing"),
    ("EventDataset().Select@(lambda e: e.x", "never closed"),
    ("EventDataset().Count()@; EventDataset()", "';' is not part"),
    ("EventDataset().Count()\n@EventDataset()", "this is not a query"),
    ("@import os", "this is not a query"),
    ("lambda e: e.@\u00e9", "not part of the language"),
    ("lambda e: e.x@\x00", "code 0"),
    ("@# nothing", "only a comment"),
]


@pytest.mark.parametrize(("marked", "words"), MISTAKES, ids=[text[:50] for text, _ in MISTAKES])
def test_a_mistake_is_shown_where_it_stands(marked, words):
    column = marked.index("@")
    text = marked[:column] + marked[column + 1 :]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Python's parser warns of what it will refuse one day
        with pytest.raises(SelectionSyntaxError, match=re.escape(words)) as caught:
            parse_python(text, LIMITS)
    assert caught.value.context["column"] == column
    _, line, caret = str(caught.value).splitlines()[:3]
    assert caret == " " * (len(caret) - 1) + "^"
    shown = text[column : column + 1].strip("\n").replace("\x00", " ")
    assert line[len(caret) - 1 :][:1] == shown


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_no_text_is_refused_in_the_words_of_servicex(text):
    with pytest.raises(RequestError, match="codegen for an empty string"):
        parse_python(text, LIMITS)


def test_comparisons_within_comparisons_do_not_multiply():
    text = "1"
    for _ in range(60):
        text = f"0 < ({text}) < 2"
    with pytest.raises(RequestTooLargeError, match="parts"):
        body_of(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 300 + "e" + ")" * 300,
        "-" * 300 + "e",
        "not " * 300 + "e",
        "e" + ".x" * 300,
        "e" + "[0]" * 300,
        "e" + ".First()" * 300,
        "e" + " + e" * 300,
        "1 if e else " * 300 + "1",
        "lambda e: " * 300 + "1",
        " < ".join("e" * 1_500),
        " or ".join("e" * 1_500),
        "[" + "1, " * 30_000 + "]",
    ],
    ids=lambda text: text[:12],
)
def test_what_is_too_deep_or_too_large_is_refused(text):
    with pytest.raises(RequestTooLargeError):
        body_of(text)
