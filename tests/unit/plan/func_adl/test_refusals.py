"""What a query cannot mean: each refusal points at the place and says what to write."""

from __future__ import annotations

import pytest

from tests.refusals import error_of
from tests.unit.plan.func_adl.rows import ask

V = "{'pt': e.mu_pt, 'eta': e.mu_eta, 'phi': e.mu_eta, 'mass': e.mu_pt}.ToFourMomentum()"

# body of a Select with the place between ~, words of the message, words of the hint
REFUSED = [
    ("~e.mu_ptt", "SX101", "no branch 'mu_ptt'", "mu_pt"),
    ("e[~'muu_pt']", "SX101", "no branch 'muu_pt'", "mu_pt"),
    ("~e.broken", "SX107", "TRef", "leave it out"),
    ("~x.met", "SX103", "no variable 'x'", "'e'"),
    ("~e.met.foo", "SX103", "it is no record", ""),
    ("~e.mu_pt.Length", "SX103", "no 'Length'", ".Count()"),
    ("e.met.~foo()", "SX103", "no method 'foo'", ""),
    ("e.~met(3)", "SX103", "no method 'met'", "e.met"),
    ("e.mu_pt.~Cout()", "SX103", "no method 'Cout'", "Count"),
    ("~sqrt", "SX103", "is a function", "sqrt(...)"),
    ("~np", "SX103", "prefix of functions", "np.sqrt"),
    ("~np.foo", "SX103", "is no number", "np.foo(...)"),
    ("~np.sqt(e.met)", "SX103", "no function 'sqt'", "sqrt"),
    ("~np.num(e.mu_pt)", "SX103", "no function 'num'", ".Count()"),
    ("~np.sort(e.mu_pt)", "SX103", "no function 'sort'", ".OrderBy"),
    ("np.sqrt(e.met, ~e.nmu)", "SX103", "fewer arguments", ""),
    ("~np.arctan2(e.met)", "SX103", "needs 2 arguments", ""),
    ("np.sqrt(e.met, out=~3)", "SX103", "no argument 'out'", ""),
    ("~np.power(e.met)", "SX103", "takes 2 arguments", ""),
    ("~where(e.good, 1)", "SX103", "a condition and two values", "where("),
    ("~e.met.Count()", "SX103", "needs a list, and this is one value (float64)", ""),
    ("e.mu_pt.Select(lambda p: ~p.Sum())", "SX103", "this is one value (float64)", ""),
    ("~e.Select(lambda x: x)", "SX103", "this is the event", "e.Muon_pt"),
    ("~{'a': e.mu_pt}.Count()", "SX103", "this is a record", ".Zip().Count"),
    ("~(e.met, e.nmu).Sum()", "SX103", "this is a record", "take one"),
    ("~Zip(e.mu_pt)", "SX103", "a record of lists", "Zip({"),
    ("e.mu_pt.Where(lambda p: ~p)", "SX103", "float64 and not boolean", "> 0"),
    ("e.mu_pt.Where(lambda p: ~e.mu_eta > 0)", "SX103", "a list for each item", "Zip"),
    ("e.mu_pt.Select(~lambda p: e)", "SX103", "the whole event", "branch"),
    ("e.mu_pt.ElementAt(~e.nmu)", "SX103", "a whole number", ".ElementAt(1)"),
    ("e.mu_pt.Choose(~9)", "SX103", "from 1 to 8", ""),
    ("e.mu_pt.Choose(2).Select(lambda p: ~p.ElementAt(2))", "SX103", "no item 2 of 2", ""),
    ("e.mu_pt.SelectMany(lambda p: ~p)", "SX103", "SelectMany needs a list", ""),
    ("e.mu_pt.OrderBy(lambda p: ~e.jet_pt)", "SX103", "one number for each item", ""),
    ("~e.mu_pt.Concat({'a': e.jet_pt}.Zip())", "SX103", "not of one kind", "same fields"),
    ("e.mu_pt.Concat(~e.met)", "SX103", "Concat needs a list", ""),
    ("e.mu_pt.Aggregate(0, lambda a, v: ~a * 2 + v)", "SX103", "cannot be computed", "acc + f(v)"),
    ("e.mu_pt.Aggregate(0, lambda a, v: ~v)", "SX103", "cannot be computed", "acc + f(v)"),
    ("e.mu_pt.Aggregate(1, lambda a, v: ~v / a)", "SX103", "cannot be computed", "acc * f(v)"),
    ("e.mu_pt.Aggregate(0, lambda a, v: a+v if ~a > 3 else a)", "SX103", "cannot be", "f does not"),
    ("e.mu_pt.Aggregate(~{'a': 1}, lambda a, v: a + v)", "SX103", "this is a record", ""),
    ("~e.mu_pt if e.good else 0", "SX103", "nest differently", "within the lambda"),
    ("~e.met if e.good else {'a': e.met}", "SX103", "not of one kind", "same fields"),
    ("~e.met if e.good else 'text'", "SX103", "of different kinds", ""),
    ("~{'a': e.met}.b", "SX103", "no field 'b'", "'a'"),
    ("~{'a': e.met}[3]", "SX103", "the record has 1", ""),
    ("~{'a': e.met} + 1", "SX103", "this is a record", "take a field"),
    ("~e + 1", "SX103", "this is the event", "e.MET_pt"),
    ("~e.good - e.good", "SX103", "booleans", "^"),
    ("~e.name < 'a'", "SX103", "text has no order", "=="),
    ("~e.met == 'a'", "SX103", "text cannot be compared", ""),
    ("~e.met & 1", "SX103", "booleans or integers", ""),
    ("~e.cov[7]", "SX103", "no item 7 in lists of 3", ""),
    ("~e.mu_pt[e.nmu]", "SX103", "picks from a list with a list", "First()"),
    ("e.mu_pt[~::0]", "SX103", "cannot be 0", ""),
    ("e.mu_pt[~e.nmu:]", "SX103", "whole numbers", ""),
    ("e.met in ~[]", "SX103", "empty", ""),
    ("~lambda x: x", "SX103", "a lambda stands", "Select"),
    ("~EventDataset()", "SX103", "the dataset stands", "one EventDataset"),
    ("~None", "SX103", "None is no value", ""),
    ("~(lambda x: x)(1, 2)", "SX103", "takes 1 argument", ""),
    ("~1 / 0", "SX103", "division by zero", ""),
    ("~2 ** 5000", "SX103", "64 bits", ""),
    ("~ResultTTree(e.met, 'a', 'b', 'c')", "SX103", "around the whole query", ""),
    ("~e.Jets('a')", "SX103", "xAOD", "branch"),
    ("~{'pt': e.mu_pt, 'eta': e.mu_eta}.ToFourMomentum()", "SX103", "no four-vector", "mass"),
    ("~e.mu_pt.ToFourMomentum()", "SX103", "made of a record", "pt, eta, phi"),
    (f"~{V}.foo", "SX103", "no 'foo'", "mass"),
    (f"~{V}.deltaR", "SX103", "no 'deltaR'", "deltaR(other)"),
    (f"~{V}.deltaR()", "SX103", "takes 1 argument", ""),
    (f"~{V}.deltaR(e.met)", "SX103", "float64 is no four-vector", "ToFourMomentum"),
    (f"~{V}.pt()", "SX103", "no method 'pt'", ".pt"),
    (f"~{V} * {V}", "SX103", "between a four-vector and a four-vector", "scaled"),
    (f"~{V} + 1", "SX103", "between a four-vector and a number", "added"),
    (f"~{V} > 1", "SX103", "records", "'pt'"),
    (f"~{V}.Max()", "SX103", "records", "'pt'"),
]


@pytest.mark.parametrize(
    ("body", "code", "words", "hint"), REFUSED, ids=[item[0][:60] for item in REFUSED]
)
def test_a_mistake_is_shown_where_it_stands(body, code, words, hint):
    lead = "EventDataset().Select(lambda e: "
    # the mark stands before the place, and ~ is an operator too
    place = len(lead) + body.index("~")
    error = error_of(lambda: ask(f"{lead}{body.replace('~', '', 1)})"), code)
    problem, line, caret = error.problem.splitlines()
    assert words in problem
    text = f"{lead}{body.replace('~', '', 1)})"
    begin = text.index(line)
    assert begin + caret.index("^") == place
    assert hint in (error.hint or "")


# whole queries, the place before which the mark stands, and the words
WHOLE = [
    ("EventDataset().Where(lambda e: ~e.mu_pt > 10)", "a list for each event", ".Any("),
    ("EventDataset().Where(lambda e: ~e.met)", "float64 and not boolean", "> 0"),
    ("~EventDataset().OrderBy(lambda e: e.met)", "over all events", "each event"),
    ("~EventDataset().Select(lambda e: e.met).First()", "over all events", "each event"),
    ("~EventDataset().SelectMany(lambda e: e.mu_pt).OrderBy(lambda p: p)", "over all events", ""),
    ("~EventDataset().Select(lambda e: e.mu_pt).Sum()", "these are lists", "SelectMany"),
    ("EventDataset().SelectMany(lambda e: ~e.met)", "SelectMany needs a list", ""),
    ("EventDataset().SelectMany(lambda e: ~{'a': e.mu_pt, 'b': e.mu_eta})", "a record", ".Zip()"),
    ("~EventDataset().Count().Select(lambda x: x)", "one value already", ""),
    ("EventDataset().Any(lambda e: ~e.mu_pt > 1)", "a list for each event", ""),
    ("EventDataset().Select(lambda e: (e.met, e.nmu)).AsAwkwardArray(['a', ~1])", "a text", "'pt'"),
    ("~EventDataset().Select(lambda e: e.met).AsAwkwardArray(['a', 'b'])", "the result has 1", ""),
    (
        "EventDataset().MetaData({'metadata_type': ~'inject_code'}).Select(lambda e: e.met)",
        "inject_code cannot be answered",
        "leave it out",
    ),
    (
        "EventDataset().MetaData({'metadata_type': ~'add_job_script', 'name': 'a'})",
        "add_job_script cannot be answered",
        "leave it out",
    ),
    ("EventDataset().MetaData({'metadata_type': ~'foo'})", "nothing here knows", ""),
]


@pytest.mark.parametrize(("query", "words", "hint"), WHOLE, ids=[item[0] for item in WHOLE])
def test_a_query_over_all_events_says_what_it_cannot_do(query, words, hint):
    text = query.replace("~", "", 1)
    error = error_of(lambda: ask(text), "SX103")
    problem, line, caret = error.problem.splitlines()
    assert words in problem
    assert text.index(line) + caret.index("^") == query.index("~")
    assert hint in (error.hint or "")


def test_a_query_without_a_dataset_is_refused():
    error = error_of(lambda: ask("Select(events, lambda e: e.met)"), "SX102", "SX103")
    assert "EventDataset" in str(error)


def test_lists_of_different_lengths_name_the_part_that_failed():
    error = error_of(lambda: ask("EventDataset().Select(lambda e: e.mu_pt + e.jet_pt)"), "SX100")
    assert "mu_pt + jet_pt cannot be evaluated" in error.problem
