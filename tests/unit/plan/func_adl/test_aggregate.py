"""`Aggregate` against the fold that it stands for, item by item."""

from __future__ import annotations

from functools import reduce

import pytest

from tests.unit.plan.func_adl.rows import NAMESPACES, ask

# seed and lambda of a fold over the muons' momenta, and the same in Python
FOLDS = {
    ("0.0", "lambda a, v: a + v"): lambda e: reduce(lambda a, v: a + v, e.mu_pt, 0.0),
    ("e.met", "lambda a, v: v * 2 + a - 1"): lambda e: reduce(
        lambda a, v: v * 2 + a - 1, e.mu_pt, e.met
    ),
    ("1.0", "lambda a, v: a * v / 50"): lambda e: reduce(lambda a, v: a * v / 50, e.mu_pt, 1.0),
    ("0", "lambda count, v: count + 1"): lambda e: reduce(lambda a, _: a + 1, e.mu_pt, 0),
    ("7", "lambda a, v: a"): lambda e: reduce(lambda a, _: a, e.mu_pt, 7),
    ("0.0", "lambda a, v: a + (v if v > 30 else 0.0)"): lambda e: reduce(
        lambda a, v: a + (v if v > 30 else 0.0), e.mu_pt, 0.0
    ),
    ("0.0", "lambda a, v: a + v if v > 30 else a"): lambda e: reduce(
        lambda a, v: a + v if v > 30 else a, e.mu_pt, 0.0
    ),
    ("1.0", "lambda a, v: a if v > 30 else a * (v if v > 2 else 2.0)"): lambda e: reduce(
        lambda a, v: a if v > 30 else a * (v if v > 2 else 2.0), e.mu_pt, 1.0
    ),
    ("0.0", "lambda a, v: (a + v if v > 30 else a) if e.good else a"): lambda e: reduce(
        lambda a, v: (a + v if v > 30 else a) if e.good else a, e.mu_pt, 0.0
    ),
    ("50.0", "lambda a, v: max(a, v)"): lambda e: reduce(max, e.mu_pt, 50.0),
    ("e.met", "lambda a, v: np.minimum(v + 1, a)"): lambda e: reduce(
        lambda a, v: min(v + 1, a), e.mu_pt, e.met
    ),
    ("0.0", "lambda a, v: max([a, v, e.met])"): lambda e: reduce(
        lambda a, v: max(a, v, e.met), e.mu_pt, 0.0
    ),
    ("0.0", "lambda a, v: a if a > v else v"): lambda e: reduce(max, e.mu_pt, 0.0),
    ("0.0", "lambda a, v: v if a <= v else a"): lambda e: reduce(max, e.mu_pt, 0.0),
    ("99.0", "lambda a, v: a if v >= a else v"): lambda e: reduce(min, e.mu_pt, 99.0),
    ("99.0", "lambda a, v: v if v < a else a"): lambda e: reduce(min, e.mu_pt, 99.0),
    ("True", "lambda a, v: a and v > 10"): lambda e: reduce(
        lambda a, v: a and v > 10, e.mu_pt, True
    ),
    ("e.good", "lambda a, v: a | (v > 90)"): lambda e: reduce(
        lambda a, v: a or v > 90, e.mu_pt, e.good
    ),
    ("False", "lambda a, v: v > 90 or a or v < 5"): lambda e: reduce(
        lambda a, v: v > 90 or a or v < 5, e.mu_pt, False
    ),
    # what is captured may be a fold of its own
    ("0.0", "lambda a, v: a + e.jet_pt.Aggregate(v, lambda b, j: b + j)"): lambda e: reduce(
        lambda a, v: a + reduce(lambda b, j: b + j, e.jet_pt, v), e.mu_pt, 0.0
    ),
    # the inner lambda's `a` is another one
    ("0.0", "lambda a, v: a + e.jet_pt.Select(lambda a: a * v).Sum()"): lambda e: reduce(
        lambda a, v: a + sum(j * v for j in e.jet_pt), e.mu_pt, 0.0
    ),
}


@pytest.mark.parametrize("fold", FOLDS, ids=str)
def test_a_fold_is_one_reduction(fold):
    seed, function = fold
    found = ask(f"EventDataset().Select(lambda e: e.mu_pt.Aggregate({seed}, {function}))")
    assert found.rows == [pytest.approx(FOLDS[fold](event)) for event in NAMESPACES]


def test_a_fold_may_depend_on_the_lambdas_around_it():
    found = ask(
        "EventDataset().Select(lambda e: e.jet_pt.Select("
        "lambda j: e.mu_pt.Aggregate(j, lambda a, m: max(a, m))))"
    )
    assert found.rows == [[max([j, *e.mu_pt]) for j in e.jet_pt] for e in NAMESPACES]


def test_a_fold_of_fields_of_records():
    found = ask(
        "EventDataset().Select(lambda e: Zip({'p': e.mu_pt, 'q': e.mu_q})"
        ".Aggregate(0.0, lambda a, m: a + m.p * m.q))"
    )
    assert found.rows == [
        pytest.approx(sum(p * q for p, q in zip(e.mu_pt, e.mu_q, strict=True))) for e in NAMESPACES
    ]
