"""The parser meets anything, and gives an expression or an error of ours."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from sxdask.core.errors import SxdaskError
from sxdask.plan.frontend import FRONTENDS
from sxdask.plan.selection import parse_expression
from sxdask.plan.text import expression_text
from tests.unit.plan.schemas import EVENTS, LIMITS, Source
from tests.unit.plan.test_type_inference import ACCEPTED
from tests.watchdog import at_most

SIGNS = "( ) [ ] { } : , . ... + - * ** / // & | ^ ~ << < == != = := \" ' \\ # f' [:,0] ( )"
WORDS = (
    "None and not if else lambda for in is await yield True sum num( axis=1 np. get( 1 2.5 1e400"
)
CALLS = "0x 999999999999999999999999999999 'a' combinations( cartesian([ broadcast_arrays("
BLANKS = ["\n", "\x00", "\u00b5", "\r", "\t", " "]
PIECES = st.sampled_from([*EVENTS, *SIGNS.split(), *WORDS.split(), *CALLS.split(), *BLANKS])
KEYS = "treename expressions cut filter_name filter_typename aliases copy_histograms where select"


def refusal(call):
    """Return the error of ours that `call` raises, None if it succeeds; others pass through."""
    try:
        call()
    except SxdaskError as error:
        return error
    return None


def parse_or_refuse(text):
    with at_most(1):
        error = refusal(lambda: parse_expression(text, EVENTS, LIMITS))
        if error is None:
            expr = parse_expression(text, EVENTS, LIMITS)
            assert parse_expression(expression_text(expr), EVENTS, LIMITS) == expr
        else:
            assert error.fault == "user"
            assert str(error)


@given(text=st.text(max_size=80))
@example(text="\ud800")
@example(text="get('\ud800')")
@example(text="\r\n\f MET_pt")
def test_any_text_is_parsed_or_refused(text):
    parse_or_refuse(text)


@given(pieces=st.lists(PIECES, max_size=25))
def test_any_words_are_parsed_or_refused(pieces):
    parse_or_refuse(" ".join(pieces))
    parse_or_refuse("".join(pieces))


@given(text=st.sampled_from(ACCEPTED), data=st.data())
def test_damaged_expressions_are_parsed_or_refused(text, data):
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        stop = data.draw(st.integers(start, min(len(text), start + 5)))
        text = text[:start] + data.draw(st.one_of(PIECES, st.just(""))) + text[stop:]
    parse_or_refuse(text)


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), PIECES),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from([*KEYS.split(), "define", "tree", "other"]), inner, max_size=4
        ),
    ),
    max_leaves=10,
)


@given(selection=JSON, name=st.sampled_from(FRONTENDS.names()))
def test_any_structure_is_parsed_or_refused(selection, name):
    frontend = FRONTENDS.load(name)(LIMITS)
    error = refusal(lambda: frontend.parse(selection, Source()))
    assert error is None or error.fault == "user"


@given(expr=st.sampled_from(ACCEPTED), other=st.sampled_from(ACCEPTED))
def test_types_never_fail_on_what_parses(expr, other):
    for sign in ("+", "&", "<", "=="):
        parse_or_refuse(f"({expr}) {sign} ({other})")
