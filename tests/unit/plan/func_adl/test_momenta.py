"""Four-vectors of a query against the vector library, event by event."""

from __future__ import annotations

from functools import reduce
from itertools import combinations
from operator import add

import awkward as ak
import numpy as np
import pytest
import vector

from sxdask.core.types import Field, ListOf, Primitive, Schema
from sxdask.graph.kernel import compile_program, run
from sxdask.plan.broadcast import MismatchError
from sxdask.plan.expr import Call, Column, GetField, Pack
from sxdask.plan.types import infer
from sxdask.plan.vector_types import BETWEEN, COMBINED, PROPERTIES, TESTS, system_of
from tests.unit.plan.func_adl.rows import NAMESPACES, ask

MU = "{'pt': e.mu_pt, 'eta': e.mu_eta, 'phi': e.mu_eta, 'mass': e.mu_pt, 'q': e.mu_q}.Zip()"
JET = "{'px': e.jet_pt, 'py': e.jet_eta, 'pz': e.jet_eta, 'E': e.jet_pt}.Zip()"


def muons(event):
    rows = zip(event.mu_pt, event.mu_eta, strict=True)
    return [vector.obj(pt=pt, eta=eta, phi=eta, mass=pt) for pt, eta in rows]


def jets(event):
    rows = zip(event.jet_pt, event.jet_eta, strict=True)
    return [vector.obj(px=pt, py=eta, pz=eta, E=pt) for pt, eta in rows]


def added(momenta):
    return reduce(add, momenta, vector.obj(px=0.0, py=0.0, pz=0.0, E=0.0))


def numbers(values):
    return [pytest.approx(float(value)) for value in values]


PER_EVENT = {
    "mu.Select(lambda m: m.energy)": lambda e: numbers(m.energy for m in muons(e)),
    "mu.Select(lambda m: m.q * m.px)": lambda e: numbers(
        q * m.px for q, m in zip(e.mu_q, muons(e), strict=True)
    ),
    "mu.pt": lambda e: e.mu_pt,
    "mu['rapidity']": lambda e: numbers(m.rapidity for m in muons(e)),
    "jet.Select(lambda j: j.eta + j.pt)": lambda e: numbers(j.eta + j.pt for j in jets(e)),
    "mu.Choose(2).Select(lambda p: (p.First() + p.Last()).mass)": lambda e: numbers(
        (a + b).mass for a, b in combinations(muons(e), 2)
    ),
    "mu.Choose(2).Select(lambda p: (p.First() - p.Last()).pt)": lambda e: numbers(
        (a - b).pt for a, b in combinations(muons(e), 2)
    ),
    "mu.Choose(2).Where(lambda p: p[4].Sum() == 0).Select(lambda p: p.First().deltaR(p.Last()))": (
        lambda e: numbers(
            a.deltaR(b)
            for (a, q), (b, r) in combinations(zip(muons(e), e.mu_q, strict=True), 2)
            if q + r == 0
        )
    ),
    "mu.Sum().pt": lambda e: pytest.approx(added(muons(e)).pt, abs=1e-9),
    "sum(mu).E": lambda e: pytest.approx(added(muons(e)).E),
    "jet.Select(lambda j: mu.Select(lambda m: j.deltaR(m)))": lambda e: [
        numbers(j.deltaR(m) for m in muons(e)) for j in jets(e)
    ],
    "jet.Where(lambda j: mu.All(lambda m: m.deltaR(j) > 2)).Count()": lambda e: sum(
        all(m.deltaR(j) > 2 for m in muons(e)) for j in jets(e)
    ),
    "jet.Select(lambda j: mu.Select(lambda m: (m + j).mass).Sum())": lambda e: numbers(
        sum((m + j).mass for m in muons(e)) for j in jets(e)
    ),
    "mu.OrderByDescending(lambda m: m.p).Select(lambda m: m.pz)": lambda e: numbers(
        m.pz for m in sorted(muons(e), key=lambda m: -m.p)
    ),
    "mu.Select(lambda m: (2 * m * 3).pt + (m / 2).E - (-m).px)": lambda e: numbers(
        (2 * m * 3).pt + (m / 2).E - (-m).px for m in muons(e)
    ),
    "mu.Concat(mu).Select(lambda m: m.px)": lambda e: numbers(m.px for m in muons(e) * 2),
    "mu.Select(lambda m: m.is_timelike())": lambda e: [bool(m.is_timelike()) for m in muons(e)],
    "mu.Select(lambda m: m.rotateZ(1.5).px)": lambda e: numbers(
        m.rotateZ(1.5).px for m in muons(e)
    ),
    "{'pt': e.met, 'eta': 0.5, 'phi': 1.0, 'energy': e.met * 4}.ToFourMomentum().mass": (
        lambda e: pytest.approx(vector.obj(pt=e.met, eta=0.5, phi=1.0, E=e.met * 4).mass)
    ),
}


@pytest.mark.parametrize("body", PER_EVENT)
def test_four_vectors_are_those_of_the_library(body):
    text = body.replace("mu.", f"{MU}.ToFourMomenta().").replace("(mu)", f"({MU}.ToFourMomenta())")
    text = text.replace("mu[", f"{MU}.ToFourMomenta()[").replace("e.{", "e.mu.{")
    text = text.replace("jet.", f"{JET}.ToFourMomentum().")
    found = ask(f"EventDataset().Select(lambda e: {text})")
    assert found.rows == [PER_EVENT[body](event) for event in NAMESPACES]


def test_a_record_becomes_momenta_with_its_other_fields():
    found = ask(f"EventDataset().Select(lambda e: {MU}.ToFourMomenta())")
    assert found.type == (
        "var * Momentum4D[pt: float64, eta: float64, phi: float64, mass: float64, q: int32]"
    )


def test_nothing_is_registered_for_all_of_awkward(monkeypatch):
    monkeypatch.setattr(ak, "behavior", {})  # the code of func_adl_uproot registers vector's
    ask(f"EventDataset().Select(lambda e: {MU}.ToFourMomenta().Sum())")
    assert ak.behavior == {}


# -- types ---------------------------------------------------------------------------------

SYSTEMS = [
    ("pt", "eta", "phi", "mass"),
    ("pt", "phi", "theta", "energy"),
    ("px", "py", "pz", "E"),
    ("x", "y", "eta", "tau"),
    ("rho", "phi", "z", "t"),
]


def momenta(names, dtypes):
    """Return an expression of four-vectors, its schema and its arrays."""
    pairs = list(zip(names, dtypes, strict=True))
    schema = Schema(tuple(Field(name, ListOf(Primitive(dtype))) for name, dtype in pairs))
    values = ak.Array([[3.0, 5.0], [], [2.0]])
    arrays = {
        name: ak.values_astype(values * (0.2 if name in {"eta", "phi", "theta"} else 1), dtype)
        for name, dtype in pairs
    }
    pack = Pack(tuple(Column(name) for name in names), names)
    return Call("momentum4d", (pack,), (("depth_limit", 2),)), schema, arrays


def found_type(expr, arrays):
    (value,) = run(compile_program([expr]), arrays)
    return str(value.type).partition(" * ")[2]


@pytest.mark.parametrize("names", SYSTEMS)
@pytest.mark.parametrize("dtypes", [("float32",) * 4, ("float64",) * 4])
@pytest.mark.parametrize("name", sorted(PROPERTIES))
def test_the_type_of_a_property_is_that_of_the_library(names, dtypes, name):
    expr, schema, arrays = momenta(names, dtypes)
    got = Call("vector_get", (expr,), (("name", name),))
    assert found_type(got, arrays) == str(infer(got, schema))


@pytest.mark.parametrize("names", SYSTEMS)
@pytest.mark.parametrize("name", sorted(BETWEEN | TESTS))
def test_the_type_of_a_number_between_two_is_that_of_the_library(names, name):
    expr, schema, arrays = momenta(names, ("float32",) * 4)
    args = (expr,) if name in TESTS else (expr, expr)
    got = Call("vector_call", args, (("name", name),))
    assert found_type(got, arrays) == str(infer(got, schema))


@pytest.mark.parametrize("first", SYSTEMS)
@pytest.mark.parametrize("second", SYSTEMS)
def test_the_coordinates_of_a_sum_are_those_of_the_library(first, second):
    one, schema, arrays = momenta(first, ("float32",) * 4)
    two, other, more = momenta(second, ("float32",) * 4)
    both = Schema((*schema.fields, *(item for item in other.fields if item.name not in schema)))
    total = Call("vector_call", (one, two), (("name", "add"),))
    kind = infer(total, both)
    (value,) = run(compile_program([total]), {**more, **arrays})
    assert str(kind) == f"var * {{{str(value.type).partition('Momentum4D[')[2][:-1]}}}"


def test_the_sum_of_a_list_has_its_own_coordinates():
    expr, schema, arrays = momenta(SYSTEMS[0], ("float32",) * 4)
    total = Call("vector_sum", (expr,), (("axis", 1),))
    assert str(infer(total, schema)) == "{t: float32, z: float32, x: float32, y: float32}"
    (value,) = run(compile_program([GetField(total, "x")]), arrays)
    assert str(value.type) == "3 * float32"


def test_every_name_is_one_of_the_library():
    one = ak.Array([{"pt": 1.0, "eta": 1.0, "phi": 1.0, "mass": 1.0}])
    value = ak.with_name(one, "Momentum4D", behavior=vector.backends.awkward.behavior)
    for name in PROPERTIES | BETWEEN | TESTS | COMBINED:
        assert hasattr(value, name), name


@pytest.mark.parametrize(
    ("names", "system"),
    [
        (("px", "py", "pz", "mass"), ("x", "y", "z", "tau")),
        (("pt", "phi", "eta"), None),
        (("pt", "phi", "eta", "mass", "energy"), None),
        (("pt", "py", "eta", "mass"), None),
        (("pt", "phi", "eta", "pz"), None),
    ],
)
def test_four_coordinates_make_a_four_vector(names, system):
    assert system_of(names) == system


def test_what_is_no_method_is_refused():
    expr, schema, _ = momenta(SYSTEMS[0], (np.dtype("float32").name,) * 4)
    for function in ("vector_get", "vector_call"):
        with pytest.raises(Exception, match="has no") as caught:
            infer(Call(function, (expr,), (("name", "__class__"),)), schema)
        assert not isinstance(caught.value, MismatchError)
