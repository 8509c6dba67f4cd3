"""qastle: the texts of its own library mean the same tree as the Python they were written from."""

from __future__ import annotations

import re

import pytest
import qastle
from hypothesis import given
from hypothesis import strategies as st
from lark.exceptions import LarkError

from sxdask.core.errors import RequestError, RequestTooLargeError, SelectionSyntaxError
from sxdask.plan.func_adl.python_text import parse_python
from sxdask.plan.func_adl.qastle_text import parse_qastle
from sxdask.plan.func_adl.tree import Dataset, Item, Lambda, Logical, Name, Operator, Value
from tests.unit.plan.func_adl.queries import QUERIES, RANDOM_QUERIES, as_qastle
from tests.unit.plan.schemas import LIMITS


def select(body):
    """Return a query of one lambda of `e`."""
    return f"(Select (call EventDataset) (lambda (list e) {body}))"


def body_of(text):
    """Return the tree of an expression of `e`."""
    tree = parse_qastle(select(text), LIMITS)
    assert isinstance(tree, Operator)
    assert isinstance(tree.arguments[0], Lambda)
    return tree.arguments[0].body


@pytest.mark.parametrize("as_nodes", [True, False])
@pytest.mark.parametrize("query", QUERIES)
def test_what_qastle_writes_is_the_same_tree_as_the_python(query, as_nodes):
    text = as_qastle(query, operators_as_nodes=as_nodes)
    assert parse_qastle(text, LIMITS) == parse_python(query, LIMITS)


@given(query=RANDOM_QUERIES, as_nodes=st.booleans())
def test_random_queries_are_the_same_tree_in_both_notations(query, as_nodes):
    # qastle's library makes numbers of signed truth values, and fails at signed texts
    if not re.search(r"[-+]\(+[TFN'\"]", query):
        text = as_qastle(query, operators_as_nodes=as_nodes)
        tree = _outcome(lambda: parse_python(query, LIMITS))
        assert _outcome(lambda: parse_qastle(text, LIMITS)) == tree


def _outcome(parse):
    try:
        return parse()
    except SelectionSyntaxError as error:
        return error.problem.partition("\n")[0]


ATOMS = ["e", "1", "-2.5", "'a'", '"b"', "True", "(list)", "(attr e 'x')", "(lambda (list i) i)"]
KINDS = (
    *("list", "dict", "attr", "subscript", "call", "if", "lambda", "and", "not", "+", "-", "**"),
    *("~", "<", "Where", "Select", "First", "Aggregate", "Zip", "Choose", "Contains", "foo"),
)
PIECES = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.tuples(
        st.sampled_from(KINDS),
        st.lists(inner, max_size=3),
    ).map(lambda t: f"({' '.join([t[0], *t[1]])})"),
    max_leaves=8,
)


@given(text=PIECES)
def test_it_takes_what_the_library_takes_and_refuses_what_it_refuses(text):
    query = select(text)
    try:
        # operators as calls are for `insert_linq_nodes` to judge
        qastle.insert_linq_nodes(qastle.text_ast_to_python_ast(query))
        wanted = True
    except (LarkError, SyntaxError):
        wanted = False
    try:
        found = bool(parse_qastle(query, LIMITS))
    except SelectionSyntaxError as error:
        found = False
        stricter = ("twice", "is a text", "plain name", "not called", "lambda of", "plain word")
        if any(words in error.problem for words in stricter):
            return  # repeated names, and names that are no texts or words
    assert found == wanted


def test_every_node_keeps_its_place():
    text = select("(and (> (attr e 'x')\n 1) (subscript e \"a'b\"))")
    tree = body_of("(and (> (attr e 'x')\n 1) (subscript e \"a'b\"))")
    assert isinstance(tree, Logical)
    spans = [part.span or (0, 0) for part in (tree, *tree.operands)]
    parts = [text[start:stop] for start, stop in spans]
    assert parts == [
        "(and (> (attr e 'x')\n 1) (subscript e \"a'b\"))",
        "(> (attr e 'x')\n 1)",
        '(subscript e "a\'b")',
    ]
    item = tree.operands[1]
    assert isinstance(item, Item)
    assert item.index == Value("a'b")
    assert text[slice(*(item.index.span or ()))] == '"a\'b"'


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-5", -5),
        ("+5", 5),
        ("(- 5)", -5),
        ("1.", 1.0),
        (".5", 0.5),
        ("1.5e+3", 1500.0),
        ("00", 0),
        (r"'\'\"\\\n\x41\u00e9\U0001f600\101'", "'\"\\\n\x41\u00e9\U0001f600A"),
        ("'\u00e9'", "\u00e9"),
        ("None", None),
    ],
)
def test_values_are_those_of_python(text, value):
    found = body_of(text)
    assert isinstance(found, Value)
    assert (found.value, type(found.value)) == (value, type(value))


def test_a_function_given_as_text_is_read_with_its_places():
    text = "(call Select (call EventDataset 'f' 't') 'lambda e: e[\\'x\\'] + e._y')"
    with pytest.raises(SelectionSyntaxError) as caught:
        parse_qastle(text, LIMITS)
    assert caught.value.context["column"] == text.index("_y")
    tree = parse_qastle(text.replace("._y", ".y"), LIMITS)
    assert tree == parse_python("EventDataset('f','t').Select(lambda e: e['x'] + e.y)", LIMITS)


def test_the_tree_to_read_may_be_given_beside_the_query():
    tree = parse_qastle("(call Count (call EventDataset 'f' 'a'))", LIMITS, "b")
    assert tree == Operator("Count", Dataset(("f",), "b"), ())


# @ marks where the caret must stand: at the character after it
MISTAKES = [
    ("(Select (call EventDataset) (lambda (list e) (attr e @'_x')))", "'_x' is not an attribute"),
    ("(Select (call EventDataset) (lambda (list e) (attr e @'a.b')))", "not a plain word"),
    ("(Select (call EventDataset) (lambda (list e) (attr e @3)))", "is a text"),
    ("(Select (call EventDataset) (lambda (list e) (@foo e)))", "no node 'foo'"),
    ("(Select (call EventDataset) (lambda (list e) (< e 1 @2)))", "two parts, not 3"),
    ("(Select (call EventDataset) (lambda (list e) @(if e 1)))", "three parts, not 2"),
    ("(Select (call EventDataset) (lambda (list e) (dict (list 'a') @(list 1 2))))", "2 values"),
    ("(Select (call EventDataset) (lambda (list e) (dict (list 'a' @'a') (list 1 2))))", "twice"),
    ("(Select (call EventDataset) (lambda (list e) (dict (list @3) (list 1))))", "is a text"),
    ("(Select (call EventDataset) (lambda (list e) (dict @1 2)))", "list of names"),
    ("(Select (call EventDataset) (lambda @e e))", "begins with its parameters"),
    ("(Select (call EventDataset) (lambda (list e @e) e))", "stands twice"),
    ("(Select (call EventDataset) (lambda (list @1) e))", "plain name"),
    ("(Select (call EventDataset) @(lambda (list e j) e))", "takes one parameter"),
    ("(Aggregate (call EventDataset) 0 @(lambda (list e) e))", "takes two parameters"),
    ("(Select (call EventDataset) @(attr e 'x'))", "needs a lambda"),
    ("(Select (call EventDataset) (lambda (list e) e) @1)", "one argument"),
    ("@(Select (call EventDataset))", "one argument"),
    ("@(Select)", "has no source"),
    ("(call @(call))", "names no function"),
    ("(call EventDataset 'f' 't' @3)", "a file and a tree"),
    ("(call EventDataset @3)", "the file of EventDataset is a text"),
    ("(call EventDataset 'f' @(list 't'))", "the tree of EventDataset is a text"),
    ("(call Count @ds)", "a query begins with"),
    ("(call Count @(call UprootDataset 'f'))", "a query begins with"),
    ("@(list 1 2)", "a query begins with"),
    ("@EventDataset", "not called"),
    ("(call EventDataset) @(call EventDataset)", "ended before this"),
    ("(call EventDataset)@)", "ended before this"),
    ("@)", "nothing is open"),
    ("(call (call EventDataset)@", "is not closed"),
    ("(@(call EventDataset))", "begins with its kind"),
    ("(@-5)", "begins with its kind"),
    ("(list 1@(list))", "a blank is missing"),
    ("(list @- 5)", "stands first in its node"),
    ("(list @1a)", "neither a number nor a name"),
    ("(list @1.5.5)", "neither a number nor a name"),
    ("(list @01)", "does not begin with 0"),
    ("(list @'a)", "not closed on its line"),
    ("(list @'a\n')", "not closed on its line"),
    ("(list '@\\q')", "is no escape"),
    ("(list '@\\ud800')", "half a character"),
    ("(list @1e999)", "too large"),
    ("(list @99999999999999999999)", "more than 64 bits"),
    (f"(list @{'9' * 50})", "50 characters"),
    (f"(list @{'a' * 2000})", "2000 characters"),
    ("(list @lambda)", "a word of Python"),
    ("(call @__import__ 'os')", "not part of the language"),
    ("(list a@.b)", "'.' is not part of qastle"),
    ("(list@\x00)", "code 0"),
    ("(list @\u00e9)", "not part of qastle"),
]


@pytest.mark.parametrize(("marked", "words"), MISTAKES, ids=[text[:50] for text, _ in MISTAKES])
def test_a_mistake_is_shown_where_it_stands(marked, words):
    column = marked.index("@")
    text = marked.replace("@", "")
    with pytest.raises(SelectionSyntaxError, match=re.escape(words)) as caught:
        parse_qastle(text, LIMITS)
    assert caught.value.context["column"] == column
    _, line, caret = str(caught.value).splitlines()[:3]
    at = len(caret) - 1
    assert caret == " " * at + "^"
    assert line[at : at + 1] == text[column : column + 1].strip("\n").replace("\x00", " ")


@pytest.mark.parametrize("text", ["", " ", "\n\t"])
def test_no_text_is_refused_in_the_words_of_servicex(text):
    with pytest.raises(RequestError, match="codegen for an empty string"):
        parse_qastle(text, LIMITS)


def test_long_conditions_are_one_node_however_they_were_bracketed():
    text = "(attr e 'a0')"
    for number in range(1, 600):
        text = f"(or {text} (attr e 'a{number}'))"
    tree = body_of(text)
    assert isinstance(tree, Logical)
    assert [part.name for part in tree.operands] == [f"a{number}" for number in range(600)]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text",
    [
        select("(not " * 300 + "e" + ")" * 300),
        select("(list " * 5_000 + ")" * 5_000),
        select("(list " + "1 " * 30_000 + ")"),
        "(" * 100_000,
        "(list " * 100_000,
        select("(list" + " 1" * 25_000 + ")"),
    ],
    ids=["nested", "deep", "many", "parentheses", "lists", "parts"],
)
def test_what_is_too_deep_or_too_large_is_refused(text):
    with pytest.raises((RequestTooLargeError, SelectionSyntaxError)) as caught:
        parse_qastle(text, LIMITS)
    assert isinstance(caught.value, RequestTooLargeError) or text == "(" * 100_000


def test_names_are_kept_as_they_are():
    assert body_of("_e1") == Name("_e1")
