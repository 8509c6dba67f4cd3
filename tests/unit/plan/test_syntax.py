"""Selection text: what is part of the language, what is refused, and how fast."""

from __future__ import annotations

import pytest

from sxdask.core.errors import (
    RequestError,
    RequestTooLargeError,
    SelectionSyntaxError,
    SelectionTypeError,
    SxdaskError,
    UnknownBranchError,
    UnreadableBranchError,
)
from sxdask.core.settings import load_settings
from sxdask.core.types import Field, ListOf, Primitive, Record, Schema
from sxdask.plan.expr import (
    Binary,
    Call,
    Column,
    Compare,
    Constant,
    GetField,
    Slice,
    Subscript,
    walk,
)
from sxdask.plan.selection import parse_expression, parse_outputs, parse_predicate
from sxdask.plan.text import expression_text
from tests.unit.plan.schemas import EVENTS, LIMITS
from tests.watchdog import at_most

MEGABYTE = 1024 * 1024

TOO_LARGE = {
    "open brackets": "(" * 10_000,
    "brackets": "(" * 10_000 + "1" + ")" * 10_000,
    "deep lists": "[" * 300 + "]" * 300,
    "minus signs": "- " * 10_000 + "1",
    "tildes": "~" * 10_000 + "HLT_A",
    "dots": "MET_pt" + ".a" * 10_000,
    "sum of many": "+".join(["MET_pt"] * 10_000),
    "moderate sum": "+".join(["MET_pt"] * 400),
    "powers": "**".join(["MET_pt"] * 900),
    "comparisons": "<".join(["MET_pt"] * 5_000),
    "a megabyte of sums": ("MET_pt+" * MEGABYTE)[: MEGABYTE - 1],
    "a megabyte of names": ("MET_pt," * MEGABYTE)[:MEGABYTE],
    "more than a megabyte": "1 " * MEGABYTE,
    "nested calls": "abs(" * 250 + "MET_pt" + ")" * 250,
    "nested subscripts": "MET_pt" + "[" * 250 + "0" + "]" * 250,
    "lambdas": "lambda: " * 5_000 + "1",
    "not": "not " * 5_000 + "HLT_A",
    "if else": "1 if HLT_A else " * 2_000 + "1",
}

REFUSED = [
    ("", 0, "empty"),
    ("  \n # nothing", 0, "empty"),
    ("MET_pt > 30 and HLT_A", 0, "and / or"),
    ("not HLT_A", 0, "not"),
    ("HLT_A && HLT_B", 6, "&&"),
    ("HLT_A || HLT_B", 6, "||"),
    ("!HLT_A", 0, "!"),
    ("__import__('os')", 0, "no function"),
    ("(1).__class__", 0, "no fields"),
    ("MET_pt.__class__", 0, "no fields"),
    ("().__class__", 0, "list of expressions"),
    ("abs.__globals__", 0, "no branch"),
    ("eval('1')", 0, "no function"),
    ("MET_pt > 1; HLT_A", 10, "';'"),
    ("x = 1", None, "not an expression"),
    ("(x := 1)", 1, "assignment"),
    ("lambda x: x", 0, "lambda"),
    ("[MET_pt for x in Muon_pt]", 0, "comprehension"),
    ("sum(x for x in Muon_pt)", 3, "comprehension"),
    ("{1, 2}", 0, "Set"),
    ("{'a': 1}", 0, "dictionary"),
    ("[1, 2]", 0, "a list"),
    ("1 if HLT_A else 2", 0, "if / else"),
    ("f'{MET_pt}'", 0, "prefix 'f'"),
    ("b'x'", 0, "prefix 'b'"),
    ("r'x'", 0, "prefix 'r'"),
    ("'a' 'b'", 4, "side by side"),
    ("'''a'''", 2, "side by side"),
    ("'a\nb'", 0, "not closed"),
    ("'a\\x41'", 0, "not closed"),
    ("MET_pt > 1\x00", 10, "code 0"),
    ("MET\u00b5 > 1", 3, "not part of the language"),
    ("\u0661 > 1", 0, "not part of the language"),
    ("$MET_pt", 0, "'$'"),
    ("1j * MET_pt", 0, "digit"),
    ("0x1g", 0, "digit"),
    ("99999999999999999999 > MET_pt", 0, "64 bits"),
    ("9" * 5000, 0, "5000 characters"),
    ("a" * 5000, 0, "5000 characters"),
    ("MET_pt in (1, 2)", 0, "is / in"),
    ("MET_pt is None", 0, "is / in"),
    ("None", 0, "None"),
    ("...", 0, "Ellipsis"),
    ("MET_pt @ MET_pt", 0, "@"),
    ("sum(*Muon_pt)", 4, "*"),
    ("sum(**{'a': 1})", 6, "argument"),
    ("sum(Muon_pt, axis=1, axis=2)", None, "argument"),
    ("Muon_pt.sum()", 0, "no methods"),
    ("Muon_pt[:, 0](1)", 0, "only functions"),
    ("(sum)(Muon_pt)(1)", 0, "only functions"),
    ("sum", 0, "sum is a function"),
    ("np", 0, "prefix of functions"),
    ("get(MET_pt)", 0, "name of one branch"),
    ("get('a', 'b')", 0, "name of one branch"),
    ("Muon_pt[]", 8, "not an expression"),
    ("Muon_pt[()]", 8, "empty subscript"),
    ("Muon_pt[:, 'a']", 11, "field among other"),
    ("Muon_pt[:, MET_pt:]", 11, "bounds of a slice"),
    ("Muon_pt[:, 1.5]", 11, "not a place"),
    ("Muon_pt[..., ...]", 13, "stands once"),
    ("cartesian({MET_pt: 1})", 10, "keys"),
    ("sqroot(MET_pt)", 0, "no function"),
    ("MET_pt >", 8, "not an expression"),
    ("(MET_pt", 0, "never closed"),
    ("MET_pt)", 6, "unmatched"),
    ("await MET_pt", 0, "Await"),
    ("(yield)", 1, "Yield"),
    ("MET_pt[:]=3", None, "not an expression"),
]


@pytest.mark.parametrize(
    ("text", "column", "problem"), REFUSED, ids=[repr(r[0])[:40] for r in REFUSED]
)
def test_what_is_not_part_of_the_language_is_refused_with_its_place(text, column, problem):
    with pytest.raises(SxdaskError) as caught:
        parse_expression(text, EVENTS, LIMITS)
    message, *lines = caught.value.problem.split("\n")
    assert problem in message
    assert len(lines) == 2
    if column is not None and len(text) <= 100 and "\n" not in text:
        assert lines == [text.replace("\x00", " "), " " * column + "^"]


@pytest.mark.parametrize("text", TOO_LARGE.values(), ids=TOO_LARGE.keys())
def test_text_beyond_a_limit_is_refused_at_once(text):
    with at_most(1), pytest.raises(RequestTooLargeError):
        parse_expression(text, EVENTS, LIMITS)


def test_limits_are_those_of_the_settings():
    small = load_settings({"SXDASK_MAX_NESTING": "5", "SXDASK_MAX_SELECTION_BYTES": "40"})
    parse_expression("abs(abs(abs(MET_pt)))", EVENTS, small)
    for text in ("abs(abs(abs(abs(abs(MET_pt)))))", "-+-+-MET_pt", "MET_pt + " * 5 + "1"):
        with pytest.raises(RequestTooLargeError):
            parse_expression(text, EVENTS, small)


def test_a_trigger_list_of_a_thousand_paths_is_shallow():
    from sxdask.plan.expr import depth

    expr = parse_predicate(" | ".join(["HLT_A"] * 1000), EVENTS, LIMITS)
    assert depth(expr) <= 11
    assert expression_text(expr) == " | ".join(["HLT_A"] * 1000)


def test_brackets_of_one_chain_do_not_matter():
    one = parse_expression("HLT_A & (HLT_B & (nMuon > 1))", EVENTS, LIMITS)
    assert one == parse_expression("(HLT_A & HLT_B) & (nMuon > 1)", EVENTS, LIMITS)


@pytest.mark.parametrize(
    ("text", "column", "corrected"),
    [
        ("nMuon >= 2 & MET_pt > 50", 11, "(nMuon >= 2) & (MET_pt > 50)"),
        ("nMuon >= 2 & run > 50", 11, "(nMuon >= 2) & (run > 50)"),
        ("nMuon>1 | run>2 & HLT_A == 1", 8, "(nMuon > 1) | (run > 2) & (HLT_A == 1)"),
        ("HLT_A & nMuon > 3", 6, "HLT_A & (nMuon > 3)"),
        ("nMuon > 3 & HLT_A", 10, "(nMuon > 3) & (HLT_A)"),
        ("MET_pt & nMuon > 3", 7, "MET_pt & (nMuon > 3)"),
        ("any(Muon_pt > 3 & Muon_charge > 0)", 16, "(Muon_pt > 3) & (Muon_charge > 0)"),
    ],
)
def test_a_missing_pair_of_parentheses_is_found(text, column, corrected):
    with pytest.raises(SelectionSyntaxError) as caught:
        parse_expression(text, EVENTS, LIMITS)
    assert caught.value.context["column"] == column
    assert "binds tighter" in caught.value.problem
    assert corrected in str(caught.value.hint)


@pytest.mark.parametrize(
    "text",
    ["nMuon & 4 == 4", "nMuon & 4 > 0", "(nMuon & run) > 3", "4 == (nMuon & 4)", "nMuon & run > 3"],
)
def test_a_bit_test_needs_no_parentheses(text):
    expr = parse_predicate(text, EVENTS, LIMITS)
    assert isinstance(expr, Compare)


def test_names():
    parse = parse_expression
    assert parse("Jets.fPt", EVENTS, LIMITS) == Column("Jets.fPt")
    assert parse(" odd name/x ", EVENTS, LIMITS) == Column("odd name/x")
    assert parse("get('odd name/x')", EVENTS, LIMITS) == Column("odd name/x")
    assert parse("Jets/Jets.fPt", EVENTS, LIMITS) == Column("Jets.fPt")
    assert parse("sqrt", EVENTS, LIMITS) == Column("sqrt")
    assert parse("sqrt(sqrt)", EVENTS, LIMITS) == Call("sqrt", (Column("sqrt"),))
    assert parse('get("Jets.fPt")', EVENTS, LIMITS) == Column("Jets.fPt")


def test_a_dotted_name_is_the_longest_branch_and_then_fields():
    points = Record((("x", Primitive("float32")),))
    schema = Schema((Field("a", ListOf(points)), Field("a.b", ListOf(points))), "t")
    assert parse_expression("a.b.x", schema, LIMITS) == GetField(Column("a.b"), "x")
    assert parse_expression("a.x", schema, LIMITS) == GetField(Column("a"), "x")
    assert parse_expression("a['x'][:, 0]", schema, LIMITS) == Subscript(
        GetField(Column("a"), "x"), (Slice(), Constant(0))
    )
    assert parse_expression("a[:, 0].x", schema, LIMITS) == GetField(
        Subscript(Column("a"), (Slice(), Constant(0))), "x"
    )


def test_an_unknown_branch_names_the_closest_and_the_place():
    with pytest.raises(UnknownBranchError) as caught:
        parse_expression("1 + MET_ptt", EVENTS, LIMITS)
    assert "'MET_pt'" in str(caught.value.hint)
    assert caught.value.problem.endswith("1 + MET_ptt\n    ^")
    assert caught.value.context == {"tree": "Events", "branch": "MET_ptt"}
    with pytest.raises(UnknownBranchError):
        parse_expression("get('nowhere')", EVENTS, LIMITS)


def test_an_unreadable_branch_says_why():
    with pytest.raises(UnreadableBranchError, match="TRef"):
        parse_expression("broken + 1", EVENTS, LIMITS)
    with pytest.raises(UnreadableBranchError, match="TRef"):
        parse_expression("broken", EVENTS, LIMITS)


def test_numbers_keep_their_kind_and_all_their_digits():
    large = parse_expression("event == 18446744073709551615", EVENTS, LIMITS)
    assert large == Compare("==", Column("event"), Constant(18446744073709551615))
    assert parse_expression("-9223372036854775808", EVENTS, LIMITS) == Constant(-(2**63))
    assert parse_expression("-0.0", EVENTS, LIMITS) == Constant(-0.0)
    assert parse_expression("0x1f", EVENTS, LIMITS) == Constant(31)
    assert parse_expression("1_000", EVENTS, LIMITS) == Constant(1000)
    assert parse_expression("1e3", EVENTS, LIMITS) == Constant(1000.0)


def test_lines_and_comments_are_blanks_and_places_stay():
    text = "(MET_pt > 1)  # the first\n  & (MET_ptt > 2)"
    with pytest.raises(UnknownBranchError) as caught:
        parse_expression(text, EVENTS, LIMITS)
    assert caught.value.problem.endswith("  & (MET_ptt > 2)\n     ^")


def test_text_keeps_characters_beyond_ascii():
    assert parse_expression('label == "\u00b5\u00b5"', EVENTS, LIMITS) == Compare(
        "==", Column("label"), Constant("\u00b5\u00b5")
    )
    with pytest.raises(UnknownBranchError) as caught:
        parse_expression('(label == "\u00b5") & nowhere', EVENTS, LIMITS)
    assert caught.value.problem.endswith("\n" + " " * 17 + "^")


def test_a_chain_of_comparisons_is_a_conjunction():
    low, high = Compare("<", Constant(1), Column("run")), Compare("<=", Column("run"), Constant(5))
    assert parse_expression("1 < run <= 5", EVENTS, LIMITS) == Binary("&", low, high)


def test_equal_calls_are_equal_expressions():
    texts = ["sum(Muon_pt)", "ak.sum(Muon_pt, axis=1)", "sum(array=Muon_pt, keepdims=False)"]
    assert len({parse_expression(text, EVENTS, LIMITS) for text in texts}) == 1
    assert parse_expression("np.absolute(MET_pt)", EVENTS, LIMITS) == Call(
        "abs", (Column("MET_pt"),)
    )
    assert parse_expression("negative(MET_pt)", EVENTS, LIMITS) == parse_expression(
        "-MET_pt", EVENTS, LIMITS
    )
    assert parse_expression("moment(Muon_pt, n=2)", EVENTS, LIMITS) == parse_expression(
        "moment(Muon_pt, 2)", EVENTS, LIMITS
    )


def test_one_of_several_broadcast_arrays_is_a_field():
    expr = parse_expression("broadcast_arrays(MET_pt, Muon_pt)[0]", EVENTS, LIMITS)
    assert expr == GetField(Call("broadcast_arrays", (Column("MET_pt"), Column("Muon_pt"))), "0")


def test_aliases_may_use_each_other():
    aliases = {"ht": "sum(Jet_pt)", "twice": "2 * ht", "unused": "nowhere + 1"}
    assert expression_text(parse_expression("twice > ht", EVENTS, LIMITS, aliases)) == (
        "2 * sum(Jet_pt, axis=1) > sum(Jet_pt, axis=1)"
    )


def test_a_mistake_in_an_alias_is_shown_in_its_own_text():
    with pytest.raises(SelectionTypeError) as caught:
        parse_expression("1 + ht", EVENTS, LIMITS, {"ht": "sum(MET_pt)"})
    assert caught.value.problem.endswith("\nsum(MET_pt)\n^")
    assert caught.value.context["alias"] == "ht"
    with pytest.raises(SelectionTypeError) as caught:
        parse_expression("1 + sum(ht)", EVENTS, LIMITS, {"ht": "sum(Jet_pt)"})
    assert caught.value.problem.endswith("\n1 + sum(ht)\n    ^")


def test_aliases_in_a_circle_are_refused():
    with pytest.raises(RequestError, match="a -> b -> a"):
        parse_expression("a + 1", EVENTS, LIMITS, {"a": "b + 1", "b": "a"})


def test_aliases_that_double_each_other_share_their_parts():
    aliases = {f"a{i + 1}": f"a{i} + a{i}" for i in range(60)} | {"a0": "MET_pt"}
    with at_most(1):
        assert sum(1 for _ in walk(parse_expression("a30", EVENTS, LIMITS, aliases))) == 31
    chain = {f"a{i + 1}": f"a{i}" for i in range(1000)} | {"a0": "MET_pt"}
    with pytest.raises(RequestTooLargeError, match="aliases nest"):
        parse_expression("a1000", EVENTS, LIMITS, chain)


def test_outputs_are_names_globs_and_expressions():
    outputs = dict(
        parse_outputs(["Muon_[pe]*", "MET_pt", "MET_pt * 2"], {"ht": "sum(Jet_pt)"}, EVENTS, LIMITS)
    )
    assert list(outputs) == ["Muon_pt", "Muon_eta", "MET_pt", "MET_pt * 2", "ht"]
    assert outputs["MET_pt * 2"] == Binary("*", Column("MET_pt"), Constant(2))


def test_outputs_that_make_no_sense_are_refused():
    with pytest.raises(UnknownBranchError, match=r"matches 'Tau_\*'"):
        parse_outputs(["Tau_*"], {}, EVENTS, LIMITS)
    with pytest.raises(SelectionTypeError, match="already a column"):
        parse_outputs([], {"MET_pt": "MET_pt * 2"}, EVENTS, LIMITS)
    with pytest.raises(UnknownBranchError):
        parse_outputs(["Tau_pt"], {}, EVENTS, LIMITS)
