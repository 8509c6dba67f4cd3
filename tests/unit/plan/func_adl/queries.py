"""Queries in Python, as real ones are written, and random ones; nothing of sxdask's parsers."""

from __future__ import annotations

import ast

import qastle
from hypothesis import strategies as st

QUERIES = [
    "EventDataset('f.root', 'Events').Where(lambda e: e.MET_pt > 50).Select(lambda e: e.Muon_pt)",
    "EventDataset('f.root', 'Events').Select('lambda e: e.MET_pt')",
    "Select(EventDataset(), lambda e: {'a': e.x[0], 'b': -e['y'] ** 2})",
    "Select(Where(EventDataset(), 'lambda e: e.x > 1'), lambda e: (e.x, [e.y, e.z]))",
    "EventDataset(['a.root', 'b.root'], 't').Count()",
    "EventDataset(None, 't').SelectMany(lambda e: e.jets).First()",
    "EventDataset().Select(lambda e: 1 if e.a < e.b <= 3 else -3)",
    "EventDataset().Where(lambda e: e.a and e.b or not e.c and (e.d or e.f or e.g))",
    "EventDataset().Where(lambda e: (e.a and e.b) and (e.c and e.d))",
    "EventDataset().Where(lambda e: ~((e.a & e.b) | (e.c ^ e.d)))",
    "EventDataset().Select(lambda e: e.a + e.b - e.c * e.d / e.e // e.f % e.g ** 2 << 1 >> 2)",
    "EventDataset().Select(lambda e: - - e.a + + + 5 - -5 + (-0.5) - 1e-3 * -(-(2.5e10)))",
    "EventDataset().Select(lambda e: np.sqrt(np.abs(e.x), e.y) + abs(e.z) + sum([1, 2.0, True]))",
    "EventDataset().Select(lambda e: e.jets.Where(lambda j: j.pt > e.met).Select(lambda j: j.eta))",
    "EventDataset().Select(lambda e: Zip({'pt': e.pt, 'eta': e.eta}).Where(lambda j: j.pt > 3))",
    "EventDataset().Select(lambda e: e.jets.Choose(2).Select(lambda p: p[0].pt + p[1]['pt']))",
    "EventDataset().Select(lambda e: e.jets.Aggregate(0, lambda total, j: total + j.pt))",
    "EventDataset().Select(lambda e: e.jets.OrderBy(lambda j: j.pt).ElementAt(1).Contains(None))",
    "EventDataset().Select(lambda e: e.a.Concat(e.b).OrderByDescending(lambda j: j).Last())",
    "EventDataset().Select(lambda e: [Max(e.a), e.b.Min(), Sum(e.c), e.d.Count(), Count(e.d)])",
    "EventDataset().Where(lambda e: e.jets.All('lambda j: j.pt > 3') or Any(e.x, lambda i: i))",
    "ResultTTree(EventDataset().Select(lambda e: (e.a, e.b)), ['a', 'b'], 't', 'f.root')",
    "ResultAwkwardArray(MetaData(EventDataset(), {'a': 'x', 'body': [\"a'b\", 'c\"d']}), [])",
    "EventDataset().Select(lambda e: {'\\\\': e['a\"b'], \"it's\": e['\\n\\x07']('\u00e9')})",
    "EventDataset().Select(lambda e: e.Jets('AnalysisJets').Select(lambda i: i.pt() / 1000))",
    "EventDataset().Select(lambda e: e.x[1 if e.y else 2][e.z][-1])",
    "EventDataset().Select(lambda e: e.jets.Select(lambda j: (lambda k: k + 1)(j)))",
    "EventDataset().Select(lambda e: e.x == 'text' or e.x != \"text\" or None == e.y)",
]

_NAMES = st.sampled_from(["e", "j", "MET_pt", "np", "x1", "_y"])
_TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
_NUMBERS = st.one_of(st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False))
_ATOMS = st.one_of(
    _NAMES, _TEXTS.map(repr), _NUMBERS.map(repr), st.sampled_from(["True", "False", "None"])
)
_BINARY = (
    *("+", "-", "*", "/", "%", "**", "//", "&", "|", "^", "<<", ">>"),
    *("and", "or", "==", "!=", "<", "<=", ">", ">="),
)
_ON_LAMBDAS = ("Where", "Select", "SelectMany", "All", "Any", "OrderBy", "OrderByDescending")
_ALONE = ("First", "Last", "Count", "Max", "Min", "Sum", "Zip")


def _grown(inner):
    pair = st.tuples(inner, inner)
    return st.one_of(
        st.tuples(inner, st.sampled_from(_BINARY), inner).map(
            lambda t: f"({t[0]}) {t[1]} ({t[2]})"
        ),
        st.tuples(st.sampled_from(["-", "+", "~", "not "]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(inner, st.sampled_from(["pt", "Muon_pt"])).map(lambda t: f"({t[0]}).{t[1]}"),
        pair.map(lambda t: f"({t[0]})[{t[1]}]"),
        pair.map(lambda t: f"np.hypot({t[0]}, {t[1]})"),
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(_TEXTS, inner, max_size=3).map(
            lambda d: "{" + ", ".join(f"{key!r}: {value}" for key, value in d.items()) + "}"
        ),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]}) if ({t[1]}) else ({t[2]})"),
        st.tuples(inner, inner, inner).map(lambda t: f"({t[0]}) < ({t[1]}) <= ({t[2]})"),
        st.tuples(inner, st.sampled_from(_ON_LAMBDAS), _NAMES, inner).map(
            lambda t: f"({t[0]}).{t[1]}(lambda {t[2]}: {t[3]})"
        ),
        st.tuples(inner, st.sampled_from(_ALONE)).map(lambda t: f"({t[0]}).{t[1]}()"),
        st.tuples(st.sampled_from(["ElementAt", "Contains", "Concat", "Choose"]), inner, inner).map(
            lambda t: f"{t[0]}({t[1]}, {t[2]})"
        ),
        st.tuples(inner, inner, inner).map(
            lambda t: f"({t[0]}).Aggregate({t[1]}, lambda s, i: {t[2]})"
        ),
    )


EXPRESSIONS = st.recursive(_ATOMS, _grown, max_leaves=12)
RANDOM_QUERIES = EXPRESSIONS.map(lambda text: f"EventDataset('f', 't').Select(lambda e: {text})")


def as_qastle(query: str, *, operators_as_nodes: bool = True) -> str:
    """Return `query` as qastle's own library writes it."""
    tree = ast.parse(query)
    if operators_as_nodes:  # as the client sends it; without, as calls
        tree = qastle.insert_linq_nodes(tree)
    return str(qastle.python_ast_to_text_ast(tree))
