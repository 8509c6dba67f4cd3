"""Records of a query: branches that are records, dicts, tuples, pairs; functions by their names."""

from __future__ import annotations

from itertools import combinations
from math import hypot

import pytest

from sxdask.plan.frontends.func_adl import FuncAdlFrontend
from tests.refusals import error_of
from tests.unit.plan.func_adl.rows import NAMESPACES, Source, ask
from tests.unit.plan.schemas import LIMITS

MU = "Zip({'pt': e.mu_pt, 'eta': e.mu_eta, 'q': e.mu_q})"


def muons(event):
    return list(zip(event.mu_pt, event.mu_eta, event.mu_q, strict=True))


PER_EVENT = {
    # -- branches that are records
    "e.vertex.x + e.vertex['n'] + e.vertex[0]": lambda e: e.vertex["x"] * 2 + e.vertex["n"],
    "e.points.x": lambda e: [p["x"] for p in e.points],
    "e.points.Count()": lambda e: len(e.points),
    "e.points.Where(lambda p: p.x > 30).Select(lambda p: p.n)": lambda e: [
        p["n"] for p in e.points if p["x"] > 30
    ],
    "e.points.OrderBy(lambda p: p.x).Select(lambda p: p[1] * 2)": lambda e: [
        p["n"] * 2 for p in sorted(e.points, key=lambda p: p["x"])
    ],
    "e.points.Concat(e.points).Select(lambda p: p.x)": lambda e: [p["x"] for p in e.points * 2],
    "e.points.Choose(2).Select(lambda p: p.First().x - p.Last().x)": lambda e: [
        a["x"] - b["x"] for a, b in combinations(e.points, 2)
    ],
    "e.mu_pt.Select(lambda m: e.points.Where(lambda p: p.x > m).Count())": lambda e: [
        sum(p["x"] > m for p in e.points) for m in e.mu_pt
    ],
    "e.mu_pt.Select(lambda m: {'m': m, 'v': e.vertex, 'p': e.points})": lambda e: [
        {"m": m, "v": e.vertex, "p": e.points} for m in e.mu_pt
    ],
    "e.points.Select(lambda p: {'p': p, 'met': e.met})": lambda e: [
        {"p": p, "met": e.met} for p in e.points
    ],
    # -- dicts, tuples, lists of them
    "{'a': e.met, 'b': e.nmu}['b'] + (e.met, e.nmu)[0] + [e.nmu, 1][-1]": lambda e: (
        e.nmu + e.met + 1
    ),
    "{'a': e.met, 'b': e.nmu, 'c': 1}[1:]": lambda e: {"b": e.nmu, "c": 1},
    f"{MU}.pt.Max()": lambda e: max(e.mu_pt, default=None),
    f"{MU}['eta']": lambda e: e.mu_eta,
    f"{MU}[2]": lambda e: e.mu_q,
    f"{MU}[1:].Select(lambda m: m.q)": lambda e: e.mu_q,
    f"{MU}.Where(lambda m: m.pt > 20).Where(lambda m: abs(m.eta) < 2).Select(lambda m: m.q)": (
        lambda e: [q for pt, eta, q in muons(e) if pt > 20 and abs(eta) < 2]
    ),
    f"{MU}.OrderByDescending(lambda m: m.pt).Select(lambda m: m.eta)": lambda e: [
        eta for _, eta, _ in sorted(muons(e), reverse=True)
    ],
    f"{MU}.Choose(2).Select(lambda p: p.pt.Sum() + p.eta.Max())": lambda e: [
        pytest.approx(a[0] + b[0] + max(a[1], b[1])) for a, b in combinations(muons(e), 2)
    ],
    f"{MU}.Choose(2).Select(lambda p: {{'a': p.First().pt, 'q': p.Last().q}})": lambda e: [
        {"a": a[0], "q": b[2]} for a, b in combinations(muons(e), 2)
    ],
    f"{MU}.Choose(2).Where(lambda p: p.First().q != p.Last().q).Select(lambda p: p)": lambda e: [
        [dict(zip(("pt", "eta", "q"), m, strict=True)) for m in pair]
        for pair in combinations(muons(e), 2)
        if pair[0][2] != pair[1][2]
    ],
    "e.mu_pt.Choose(3).Select(lambda t: t[1:].Sum())": lambda e: [
        b + c for _, b, c in combinations(e.mu_pt, 3)
    ],
    f"{MU}.Concat({MU}).Where(lambda m: m.q > 0).Count()": lambda e: 2 * e.mu_q.count(1),
    f"e.jet_pt.Select(lambda j: {MU}.Where(lambda m: m.pt > j).Select(lambda m: m.q).Sum())": (
        lambda e: [sum(q for pt, _, q in muons(e) if pt > j) for j in e.jet_pt]
    ),
    f"e.jet_pt.Select(lambda j: {MU}.OrderBy(lambda m: abs(m.pt - j)).Select(lambda m: m.q))": (
        lambda e: [
            [q for _, _, q in sorted(muons(e), key=lambda m: abs(m[0] - j))] for j in e.jet_pt
        ]
    ),
    f"({MU} if e.good else {MU}.Where(lambda m: m.q > 0)).Count()": lambda e: (
        e.nmu if e.good else e.mu_q.count(1)
    ),
    "({'a': e.met, 'b': e.nmu} if e.good else {'a': 0.0, 'b': 1}).a": lambda e: (
        e.met if e.good else 0.0
    ),
    "e.met if True else 0.0": lambda e: e.met,
    "e.met * (2 + 3 * 4) - (1 if 2 > 1 else 0)": lambda e: e.met * 14 - 1,
    "e.mu_pt.Select(lambda m: e.met if e.good else m)": lambda e: [
        e.met if e.good else m for m in e.mu_pt
    ],
    # an item that has no number takes part in what is done for every item
    "e.jet_hits.Select(lambda h: h.Max()).Select(lambda x: e.met)": lambda e: [
        e.met for _ in e.jet_hits
    ],
    "e.jet_hits.Select(lambda h: {'max': h.Max(), 'met': e.met})": lambda e: [
        {"max": max(h, default=None), "met": e.met} for h in e.jet_hits
    ],
    "e.jet_hits.Select(lambda h: h.Max())"
    ".Select(lambda x: e.mu_pt.Where(lambda m: m > x).Count())": (
        lambda e: [sum(m > max(h) for m in e.mu_pt) if h else 0 for h in e.jet_hits]
    ),
    # -- texts
    "e.tags.Where(lambda t: t == 'yy')": lambda e: [t for t in e.tags if t == "yy"],
    "e.tags.Select(lambda t: t != 'x')": lambda e: [t != "x" for t in e.tags],
    "e.tags.Count() + e.tags.Where(lambda t: t in ['x', '']).Count()": lambda e: (
        len(e.tags) + sum(t in ("x", "") for t in e.tags)
    ),
    "e.tags.Select(lambda t: e.met)": lambda e: [e.met for _ in e.tags],
    "e.tags.Contains('yy')": lambda e: "yy" in e.tags,
    "e.jet_pt.Select(lambda j: {'tag': e.name, 'j': j})": lambda e: [
        {"tag": e.name, "j": j} for j in e.jet_pt
    ],
    "e.jet_pt.Select(lambda j: e.name)": lambda e: [e.name for _ in e.jet_pt],
    "e.jet_pt.Select(lambda j: e.tags.Where(lambda t: t == e.name).Count())": lambda e: [
        e.tags.count(e.name) for _ in e.jet_pt
    ],
    "Zip({'t': e.tags, 'p': e.jet_pt}).Where(lambda z: z.p > 30).Select(lambda z: z.t)": lambda e: [
        t for t, p in zip(e.tags, e.jet_pt, strict=True) if p > 30
    ],
    "e.name if e.good else 'none'": lambda e: e.name if e.good else "none",
    "e.mu_pt.Select(lambda m: 'text')": lambda e: ["text" for _ in e.mu_pt],
    # -- conditions and orders that are the same for all items
    "e.mu_pt.Where(lambda m: True)": lambda e: e.mu_pt,
    "e.mu_pt.OrderBy(lambda m: 1)": lambda e: e.mu_pt,
    "e.mu_pt.Any(lambda m: False) or e.mu_pt.All(lambda m: e.good)": lambda e: (
        e.good or not e.mu_pt
    ),
    # -- functions by their names
    "np.add(e.met, 1) - np.subtract(e.met, 2) + np.multiply(e.nmu, 3)": lambda e: pytest.approx(
        3 + e.nmu * 3
    ),
    "np.negative(e.met) + np.square(e.nmu) + np.power(e.nmu, 2)": lambda e: -e.met + 2 * e.nmu**2,
    "np.greater(e.met, 50) & np.not_equal(e.nmu, 2)": lambda e: e.met > 50 and e.nmu != 2,
    "np.hypot(e.met, y=3.0)": lambda e: pytest.approx(hypot(e.met, 3)),
    "np.invert(e.good)": lambda e: not e.good,
    "any([e.good, e.nmu > 2]) and all([e.met > 10, e.nmu < 4])": lambda e: (
        (e.good or e.nmu > 2) and e.met > 10 and e.nmu < 4
    ),
    "np.mean(e.cov) + np.prod(e.cov)": lambda e: pytest.approx(
        sum(e.cov) / 3 + e.cov[0] * e.cov[1] * e.cov[2]
    ),
    "any(e.mu_tight) or all(e.mu_tight)": lambda e: any(e.mu_tight) or all(e.mu_tight),
}


def approximately(value):
    """Return `value` with numbers that may differ in the last bits."""
    if isinstance(value, list):
        return [approximately(item) for item in value]
    return pytest.approx(value) if isinstance(value, float) else value


@pytest.mark.parametrize("query", PER_EVENT)
def test_a_record_gives_what_a_loop_over_events_gives(query):
    found = ask(f"EventDataset().Select(lambda e: {query})")
    assert found.rows == [approximately(PER_EVENT[query](event)) for event in NAMESPACES]


def test_what_is_done_to_all_events_may_be_a_field_or_an_item():
    assert ask("EventDataset().met").rows == [e.met for e in NAMESPACES]
    assert ask("EventDataset()['met'].Where(lambda m: m > 50)").rows == [
        e.met for e in NAMESPACES if e.met > 50
    ]
    rows = ask("EventDataset().Select(lambda e: (e.met, e.nmu))[1]").rows
    assert rows == [e.nmu for e in NAMESPACES]


MISTAKES = [
    ("e.mu_pt.Aggregate(0.0, lambda a, v: max(a, a + v))", "cannot be computed"),
    ("e.mu_pt.Aggregate(True, lambda a, v: a and v)", "not booleans"),
    ("e.mu_pt.Aggregate(0, lambda a, v: v - a)", "cannot be computed"),
    ("(lambda np: np.sqrt(2))(e.met)", "no method 'sqrt'"),
    ("(lambda sqrt: sqrt(2))(e.met)", "'sqrt' is a variable"),
    ("(e.met)(2)", "no method 'met'"),
    ("np.sum(e.mu_pt, e.mu_eta)", "takes one list"),
    ("max([])", "max of nothing"),
    ("int(e.met, 2)", "takes 1 argument"),
    ("e if e.good else e", "not of one kind"),
    ("e.met + e", "this is the event"),
    (f"{MU}.ToFourMomenta(1)", "takes no argument"),
    ("{'pt': 1.0, 'eta': 1.0, 'phi': 1.0, 'mass': 1.0}.ToFourMomentum()", "constants alone"),
    ("{'pt': e.name, 'eta': 1.0, 'phi': 1.0, 'mass': 1.0}.ToFourMomentum()", "not a number"),
    ("e.vertex.ToFourMomentum()", "make no four-vector"),
    ("{'x': {'a': 1, 'b': 2}, 'y': e.met}", "constants alone"),
    ("e.mu_pt.Select(lambda m: {})", "constants alone"),
    ("e.vertex.y", "no field 'y'"),
    ("e.points[5]", "the record has 2"),
]


@pytest.mark.parametrize(("body", "words"), MISTAKES)
def test_a_mistake_is_named(body, words):
    error = error_of(lambda: ask(f"EventDataset().Select(lambda e: {body})"), "SX103")
    assert words in error.problem


NOTES = [
    ("EventDataset().MetaData('x').Select(lambda e: e.met)", "mapping"),
    ("EventDataset().MetaData({'metadata_type': 3}).Select(lambda e: e.met)", "a text"),
    ("EventDataset().Select(lambda e: (e.met, 1)).AsAwkwardArray(['a', 'a'])", "two columns"),
    ("ResultAwkwardArray(EventDataset().Select(lambda e: e.met), 'a').Count()", "can follow"),
]


@pytest.mark.parametrize(("query", "words"), NOTES)
def test_mistakes_around_a_query_are_named(query, words):
    assert words in error_of(lambda: ask(query), "SX103").problem


def test_all_branches_may_be_given_other_names():
    error = error_of(lambda: ask("ResultPandasDF(EventDataset(), ['a'])"), "SX103")
    assert "1 names of columns, and the result has" in error.problem


class TwoTrees(Source):
    """Data with two trees, of which none is the usual one."""

    trees = ("t", "u")
    default_tree = None


def test_a_query_names_the_tree_where_there_are_several():
    frontend = FuncAdlFrontend(LIMITS)
    query = "EventDataset({}).Select(lambda e: e.met)"
    error = error_of(lambda: frontend.parse(query.format(""), TwoTrees()), "SX102")
    assert "'t', 'u'" in error.hint
    assert frontend.parse(query.format("'f.root', 't'"), TwoTrees()).outputs
