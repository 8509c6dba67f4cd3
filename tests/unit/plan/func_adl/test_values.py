"""Every operator against a loop in Python over the events."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import cos, pi, sqrt

import pytest

from tests.refusals import error_of
from tests.unit.plan.func_adl.rows import NAMESPACES, ask

# what stands for EventDataset().Select(lambda e: ...), and the same for one event
PER_EVENT = {
    # -- arithmetic and functions
    "e.met": lambda e: e.met,
    "e['odd name'] + 1": lambda e: vars(e)["odd name"] + 1,
    "e.Trk.pt.Count() + e['Trk.q'].Count()": lambda e: 2 * len(vars(e)["Trk.pt"]),
    "e.nmu.half + e.nmu": lambda e: 1.5 * e.nmu,  # branches `nmu` and `nmu.half`
    "-e.met * 2 + e.nmu / 4 - e.nmu // 2 + e.nmu % 3 + e.nmu ** 2": lambda e: (
        -e.met * 2 + e.nmu / 4 - e.nmu // 2 + e.nmu % 3 + e.nmu**2
    ),
    "10 < e.met <= 60": lambda e: 10 < e.met <= 60,
    "not e.good or e.met > 50 and e.nmu != 2": lambda e: not e.good or (e.met > 50 and e.nmu != 2),
    "e.nmu and e.good": lambda e: bool(e.nmu) and e.good,
    "not e.nmu": lambda e: not e.nmu,
    "e.nmu in [1, 3]": lambda e: e.nmu in [1, 3],
    "e.nmu not in (1, 3)": lambda e: e.nmu not in (1, 3),
    "e.name == 'bb'": lambda e: e.name == "bb",
    "np.sqrt(e.met) + math.cos(e.met) * np.pi": lambda e: sqrt(e.met) + cos(e.met) * pi,
    "max(e.met, 50) + min([e.met, 20.0, e.nmu])": lambda e: max(e.met, 50) + min(e.met, 20, e.nmu),
    "abs(e.met - 50) + np.clip(e.met, 20, 30)": lambda e: abs(e.met - 50) + min(max(e.met, 20), 30),
    "float(e.nmu) + int(e.met) + len(e.mu_pt)": lambda e: e.nmu + int(e.met) + len(e.mu_pt),
    "bool(e.nmu)": lambda e: bool(e.nmu),
    "np.where(e.good, e.met, 0.0)": lambda e: e.met if e.good else 0.0,
    "e.met if e.good else e.nmu": lambda e: e.met if e.good else e.nmu,
    "(lambda x, y: x - y)(e.met, e.nmu)": lambda e: e.met - e.nmu,
    "sum(e.mu_pt) + sum([e.met, 1.0])": lambda e: sum(e.mu_pt) + e.met + 1,
    # -- lists
    "e.mu_pt.Count()": lambda e: len(e.mu_pt),
    "e.mu_pt.Sum()": lambda e: sum(e.mu_pt),
    "e.mu_pt.Max()": lambda e: max(e.mu_pt, default=None),
    "e.mu_pt.Min()": lambda e: min(e.mu_pt, default=None),
    "e.mu_pt.Select(lambda p: p * 2)": lambda e: [p * 2 for p in e.mu_pt],
    "e.mu_pt.Select(lambda p: 1)": lambda e: [1 for _ in e.mu_pt],
    "e.mu_pt.Select(lambda p: e.met)": lambda e: [e.met for _ in e.mu_pt],
    "e.mu_pt.Select(lambda p: e.jet_pt)": lambda e: [e.jet_pt for _ in e.mu_pt],
    "e.mu_pt.Where(lambda p: p > 30)": lambda e: [p for p in e.mu_pt if p > 30],
    "e.mu_pt.Where(lambda p: e.good)": lambda e: e.mu_pt if e.good else [],
    "e.mu_pt.Where(lambda p: p > e.mu_pt.Max() / 2)": lambda e: [
        p for p in e.mu_pt if p > max(e.mu_pt) / 2
    ],
    "e.mu_pt.Any(lambda p: p > 80)": lambda e: any(p > 80 for p in e.mu_pt),
    "e.mu_pt.All(lambda p: p > 20)": lambda e: all(p > 20 for p in e.mu_pt),
    "e.mu_pt.OrderBy(lambda p: p)": lambda e: sorted(e.mu_pt),
    "e.mu_pt.OrderByDescending(lambda p: abs(p - 50))": lambda e: sorted(
        e.mu_pt, key=lambda p: abs(p - 50), reverse=True
    ),
    "e.mu_pt.Concat(e.jet_pt)": lambda e: e.mu_pt + e.jet_pt,
    "e.mu_pt.Contains(e.mu_pt.Max())": lambda e: bool(e.mu_pt),
    "e.mu_q.Contains(1)": lambda e: 1 in e.mu_q,
    "e.mu_q.Select(lambda q: q in [1])": lambda e: [q == 1 for q in e.mu_q],
    "e.mu_pt[e.mu_q > 0]": lambda e: [p for p, q in zip(e.mu_pt, e.mu_q, strict=True) if q > 0],
    "e.mu_pt[1:3]": lambda e: e.mu_pt[1:3],
    "e.mu_pt[::-1]": lambda e: e.mu_pt[::-1],
    "e.cov.First() + e.cov[1] + e.cov.Last()": lambda e: e.cov[0] + e.cov[1] + e.cov[2],
    "e.cov.Where(lambda c: c > 50)": lambda e: [c for c in e.cov if c > 50],
    "e.cov[e.cov > 50]": lambda e: [c for c in e.cov if c > 50],
    "e.cov.OrderBy(lambda c: -c)": lambda e: sorted(e.cov, reverse=True),
    "e.cov.Concat(e.mu_pt)": lambda e: e.cov + e.mu_pt,
    "e.cov.Select(lambda c: c + e.met)": lambda e: [c + e.met for c in e.cov],
    "e.cov * e.met": lambda e: [c * e.met for c in e.cov],
    "e.mu_pt.Select(lambda p: p + e.cov.Sum())": lambda e: [p + sum(e.cov) for p in e.mu_pt],
    "e.cov.Choose(2).Select(lambda p: p.Sum())": lambda e: [
        a + b for a, b in combinations(e.cov, 2)
    ],
    "e.mu_pt.Choose(2)": lambda e: [list(pair) for pair in combinations(e.mu_pt, 2)],
    "e.mu_pt.Choose(3).Select(lambda t: t.First() - t.Last())": lambda e: [
        a - c for a, _, c in combinations(e.mu_pt, 3)
    ],
    "e.mu_pt.Choose(2).Where(lambda p: p.Sum() > 90).Count()": lambda e: sum(
        a + b > 90 for a, b in combinations(e.mu_pt, 2)
    ),
    "e.mu_pt.Choose(2).Select(lambda p: p.Where(lambda x: x > 30).Count())": lambda e: [
        (a > 30) + (b > 30) for a, b in combinations(e.mu_pt, 2)
    ],
    "e.mu_pt.Choose(2).Select(lambda p: p[1] * p.Select(lambda x: x + e.met)[0])": lambda e: [
        b * (a + e.met) for a, b in combinations(e.mu_pt, 2)
    ],
    # -- lists in lists
    "e.jet_hits.Select(lambda h: h.Count())": lambda e: [len(h) for h in e.jet_hits],
    "e.jet_hits.SelectMany(lambda h: h)": lambda e: [x for h in e.jet_hits for x in h],
    "e.jet_hits.Where(lambda h: h.Count() > 1).Select(lambda h: h.First())": lambda e: [
        h[0] for h in e.jet_hits if len(h) > 1
    ],
    "e.jet_hits.Select(lambda h: h.Where(lambda x: x > h.Min()))": lambda e: [
        [x for x in h if x > min(h)] for h in e.jet_hits
    ],
    "e.jet_hits.Select(lambda h: h.Choose(2).Count())": lambda e: [
        len(h) * (len(h) - 1) // 2 for h in e.jet_hits
    ],
    "e.jet_hits.Select(lambda h: h.Concat(e.mu_pt).Sum())": lambda e: [
        pytest.approx(sum(h + e.mu_pt)) for h in e.jet_hits
    ],
    "e.jet_hits.Select(lambda h: h.OrderBy(lambda x: -x))": lambda e: [
        sorted(h, reverse=True) for h in e.jet_hits
    ],
}

# what counts only where a condition holds
LAZY = {
    "e.mu_pt.First() if e.mu_pt.Count() > 0 else -1.0": lambda e: e.mu_pt[0] if e.mu_pt else -1.0,
    "0.0 if e.nmu < 2 else e.mu_pt.ElementAt(1) * 2": lambda e: (
        0.0 if e.nmu < 2 else e.mu_pt[1] * 2
    ),
    "e.mu_q.Select(lambda q: e.jet_pt[q] if e.jet_pt.Count() > 1 else 0.0)": lambda e: [
        e.jet_pt[q] if len(e.jet_pt) > 1 else 0.0 for q in e.mu_q
    ],
    "e.mu_q.Where(lambda q: 0 <= q < e.jet_pt.Count() and e.jet_pt[q] > 50).Count()": lambda e: len(
        [q for q in e.mu_q if 0 <= q < len(e.jet_pt) and e.jet_pt[q] > 50]
    ),
    "e.mu_pt[-2] if e.nmu >= 2 else e.met": lambda e: e.mu_pt[-2] if e.nmu >= 2 else e.met,
    "e.nmu > 0 and e.mu_pt.First() > 50": lambda e: e.nmu > 0 and e.mu_pt[0] > 50,
    "not e.nmu or e.mu_pt.Last() > 50 or e.good": lambda e: not e.nmu or e.mu_pt[-1] > 50 or e.good,
    "e.nmu and e.good and e.mu_q.First()": lambda e: bool(e.nmu and e.good and e.mu_q[0]),
    "'none' == e.name or e.nmu > 1 and e.mu_pt[1] > 20": lambda e: e.nmu > 1 and e.mu_pt[1] > 20,
    "(e.mu_pt[0] if e.nmu > 0 else e.jet_pt.First()) if e.nmu + e.jet_pt.Count() > 0 else 0.": (
        lambda e: [*e.mu_pt, *e.jet_pt, 0.0][0]
    ),
    "e.jet_hits.Select(lambda h: h.First() if h.Count() > 0 else e.met)": lambda e: [
        h[0] if h else e.met for h in e.jet_hits
    ],
    "e.jet_hits.Where(lambda h: h.Count() > 1 and h.ElementAt(1) > 50).Count()": lambda e: sum(
        len(h) > 1 and h[1] > 50 for h in e.jet_hits
    ),
    "e.jet_pt.Select(lambda j: e.mu_pt.Where(lambda m: m > j).First()"
    " if e.mu_pt.Any(lambda m: m > j) else j)": lambda e: [
        next((m for m in e.mu_pt if m > j), j) for j in e.jet_pt
    ],
    "e.jet_hits.First().Count() if e.jet_hits.Count() > 0 else 0": lambda e: (
        len(e.jet_hits[0]) if e.jet_hits else 0
    ),
    "(Zip({'p': e.mu_pt, 'q': e.mu_q}).First() if e.nmu > 0 else {'p': 0.0, 'q': 0}).p": lambda e: (
        e.mu_pt[0] if e.mu_pt else 0.0
    ),
}

# captured variables: two and three lambdas deep
CAPTURED = {
    "e.jet_pt.Select(lambda j: e.mu_pt.Select(lambda m: j - m))": lambda e: [
        [j - m for m in e.mu_pt] for j in e.jet_pt
    ],
    "e.jet_pt.Select(lambda j: e.mu_pt.Select(lambda m: m))": lambda e: [e.mu_pt for _ in e.jet_pt],
    "e.jet_pt.Select(lambda j: e.mu_pt.Select(lambda m: j))": lambda e: [
        [j for _ in e.mu_pt] for j in e.jet_pt
    ],
    "e.jet_pt.Where(lambda j: e.mu_pt.All(lambda m: abs(j - m) > 10))": lambda e: [
        j for j in e.jet_pt if all(abs(j - m) > 10 for m in e.mu_pt)
    ],
    "e.jet_pt.Select(lambda j: e.mu_pt.Where(lambda m: m > j).Count())": lambda e: [
        sum(m > j for m in e.mu_pt) for j in e.jet_pt
    ],
    "e.jet_pt.Select(lambda j: e.mu_pt.OrderBy(lambda m: abs(m - j)))": lambda e: [
        sorted(e.mu_pt, key=lambda m: abs(m - j)) for j in e.jet_pt
    ],
    "e.jet_pt.Select(lambda j: e.mu_pt.Where(lambda m: j > 50))": lambda e: [
        e.mu_pt if j > 50 else [] for j in e.jet_pt
    ],
    "e.jet_pt.Select(lambda j: j if e.mu_pt.Any(lambda m: m > j) else e.met)": lambda e: [
        j if any(m > j for m in e.mu_pt) else e.met for j in e.jet_pt
    ],
    "e.jet_pt.Select(lambda j: e.mu_pt if e.good else e.jet_pt)": lambda e: [
        e.mu_pt if e.good else e.jet_pt for _ in e.jet_pt
    ],
    "e.jet_pt.SelectMany(lambda j: e.mu_pt.Select(lambda m: j + m))": lambda e: [
        j + m for j in e.jet_pt for m in e.mu_pt
    ],
    "e.jet_pt.Select(lambda j: e.cov.Select(lambda c: j * c))": lambda e: [
        [j * c for c in e.cov] for j in e.jet_pt
    ],
    "e.jet_hits.Select(lambda h: h.Select(lambda x: e.mu_pt.Where(lambda m: m > x)))": lambda e: [
        [[m for m in e.mu_pt if m > x] for x in h] for h in e.jet_hits
    ],
    "e.jet_pt.Select(lambda j: e.mu_pt.Select(lambda m: e.cov.Where(lambda c: c > j + m - e.met)"
    ".Sum()))": lambda e: [
        [pytest.approx(sum(c for c in e.cov if c > j + m - e.met)) for m in e.mu_pt]
        for j in e.jet_pt
    ],
    "e.jet_pt.Select(lambda j: e.mu_pt.Select(lambda m: e.jet_hits.Select(lambda h: "
    "h.Where(lambda x: x > j).Count() + m)))": lambda e: [
        [[sum(x > j for x in h) + m for h in e.jet_hits] for m in e.mu_pt] for j in e.jet_pt
    ],
    "e.jet_pt.Select(lambda j: e.mu_pt.Choose(2).Where(lambda p: p.Sum() > j).Count())": lambda e: [
        sum(a + b > j for a, b in combinations(e.mu_pt, 2)) for j in e.jet_pt
    ],
    # one name for two variables: the inner one hides the outer one
    "e.jet_pt.Select(lambda x: e.mu_pt.Select(lambda x: x).Sum() + x)": lambda e: [
        pytest.approx(sum(e.mu_pt) + x) for x in e.jet_pt
    ],
    "e.mu_eta in e.jet_eta": lambda e: [eta in e.jet_eta for eta in e.mu_eta],
}


def approximately(value):
    """Return `value` with numbers that may differ in the last bits."""
    if isinstance(value, list):
        return [approximately(item) for item in value]
    return pytest.approx(value) if isinstance(value, float) else value


@pytest.mark.parametrize("query", [*PER_EVENT, *LAZY, *CAPTURED])
def test_an_operator_gives_what_a_loop_over_events_gives(query):
    expected = {**PER_EVENT, **LAZY, **CAPTURED}[query]
    found = ask(f"EventDataset().Select(lambda e: {query})")
    assert found.rows == [approximately(expected(event)) for event in NAMESPACES]


def test_rows_that_pass_and_the_order_of_steps():
    query = (
        "EventDataset().Where(lambda e: e.met > 30).Select(lambda e: {'m': e.met, 'n': e.nmu})"
        ".Where(lambda r: r.n > 1).Select(lambda r: r.m + r.n)"
    )
    assert ask(query).rows == [e.met + e.nmu for e in NAMESPACES if e.met > 30 and e.nmu > 1]


def test_a_first_item_is_safe_behind_a_condition_on_the_count():
    query = "EventDataset().Where(lambda e: e.mu_pt.Count() > 0).Select(lambda e: e.mu_pt.First())"
    assert ask(query).rows == [e.mu_pt[0] for e in NAMESPACES if e.mu_pt]


def test_an_item_that_a_condition_asks_for_and_is_not_there_is_an_error():
    body = "e.mu_pt.First() if e.met > 0 else 0.0"
    error = error_of(lambda: ask(f"EventDataset().Select(lambda e: {body})"), "SX100")
    assert "an event does not have" in error.problem
    first = "EventDataset().Where(lambda e: (e.mu_pt.First() > 1 if e.met > 0 else True))"
    rows = ask(f"{first}.Where(lambda e: e.nmu > 0).Select(lambda e: e.nmu)").rows
    assert rows == [e.nmu for e in NAMESPACES if e.nmu > 0 and e.mu_pt[0] > 1]


def test_items_of_all_events_are_rows_after_select_many():
    many = "EventDataset().SelectMany(lambda e: e.jet_pt.Zip2)".replace(
        "e.jet_pt.Zip2", "Zip({'pt': e.jet_pt, 'hits': e.jet_hits, 'met': e.met})"
    )
    jets = [
        (pt, hits, e.met) for e in NAMESPACES for pt, hits in zip(e.jet_pt, e.jet_hits, strict=True)
    ]
    assert ask(f"{many}.Where(lambda j: j.pt > 40).Select(lambda j: j.pt + j.met)").rows == [
        pt + met for pt, _, met in jets if pt > 40
    ]
    assert ask(f"{many}.SelectMany(lambda j: j.hits.Where(lambda h: h > j.pt))").rows == [
        hit for pt, hits, _ in jets for hit in hits if hit > pt
    ]
    assert ask(f"{many}.Select(lambda j: {{'pt': j.pt, 'n': j.hits.Count()}})").rows == [
        {"pt": pt, "n": len(hits)} for pt, hits, _ in jets
    ]
    assert ask(f"{many}.Select(lambda j: (j.pt, j.met))").rows == [(pt, met) for pt, _, met in jets]
    assert ask(f"{many}.Select(lambda j: 7)").rows == [7] * len(jets)


TOTALS = {
    "EventDataset().Count()": len(NAMESPACES),
    "EventDataset().Where(lambda e: e.good).Count()": sum(e.good for e in NAMESPACES),
    "EventDataset().Select(lambda e: e.met).Sum()": sum(e.met for e in NAMESPACES),
    "EventDataset().Select(lambda e: e.mu_pt.Count()).Max()": max(e.nmu for e in NAMESPACES),
    "EventDataset().Select(lambda e: e.met).Min()": min(e.met for e in NAMESPACES),
    "EventDataset().Any(lambda e: e.met > 99.9)": any(e.met > 99.9 for e in NAMESPACES),
    "EventDataset().All(lambda e: e.met >= 0)": True,
    "EventDataset().Select(lambda e: e.nmu).Contains(4)": any(e.nmu == 4 for e in NAMESPACES),
    "EventDataset().SelectMany(lambda e: e.mu_pt).Count()": sum(e.nmu for e in NAMESPACES),
    "EventDataset().SelectMany(lambda e: e.mu_pt).Where(lambda p: p > 30).Sum()": sum(
        p for e in NAMESPACES for p in e.mu_pt if p > 30
    ),
    "EventDataset().SelectMany(lambda e: e.mu_q).Contains(3)": False,
    "EventDataset().SelectMany(lambda e: e.mu_pt).All(lambda p: p > 1e-9)": True,
}


@pytest.mark.parametrize(("query", "expected"), TOTALS.items())
def test_all_events_together_become_one_value(query, expected):
    assert ask(query).rows == pytest.approx(expected)


def test_events_hold_what_the_tests_need():
    sizes = {e.nmu for e in NAMESPACES}
    assert sizes == {0, 1, 2, 3, 4}
    assert any(not e.jet_pt and e.mu_pt for e in NAMESPACES)
    assert any(e.jet_hits and not all(e.jet_hits) for e in NAMESPACES)
    assert all(low != high for low, high in pairwise(sorted(e.met for e in NAMESPACES)))
