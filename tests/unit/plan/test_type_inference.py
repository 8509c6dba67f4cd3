"""The inferred type of every function and operator is the type that awkward returns."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pytest

from sxdask.core.types import (
    Field,
    FixedList,
    ListOf,
    Option,
    Primitive,
    Schema,
    String,
    Unknown,
)
from sxdask.graph.kernel import compile_program, run
from sxdask.plan.expr import Binary, Column, Constant
from sxdask.plan.functions import FUNCTIONS
from sxdask.plan.nodes import Filter, Project, Scan
from sxdask.plan.promotion import merge, promote_dtypes
from sxdask.plan.selection import parse_expression, parse_predicate
from sxdask.plan.text import expression_text
from sxdask.plan.types import infer, schema_of
from tests.unit.plan.schemas import EVENTS, LIMITS

# Every line is parsed, typed, written as text, parsed again, and evaluated by awkward.
ACCEPTED = """
MET_pt * 2.0
MET_pt + 1
nMuon / 2
nMuon // 2
nMuon % 2
nMuon ** 2
2 ** nMuon
(-2) ** nMuon
-2 ** nMuon
year * 2.5
HLT_A + HLT_B
HLT_A * 2
HLT_A * 2.0
HLT_A / HLT_B
HLT_A // HLT_B
HLT_A % HLT_B
HLT_A ** HLT_B
HLT_A << HLT_B
HLT_A & nMuon
~nMuon
~HLT_A
-Muon_flags
+MET_pt
neg(MET_pt)
event + nMuon
event + 1
event * 1.5
MET_pt + nMuon
MET_pt + year
Muon_pt * MET_pt
Muon_pt * weight
Muon_nStations + Muon_flags
Muon_nStations * MET_pt
Muon_nStations / 2
Muon_pt / 2
Muon_pt / Muon_nStations
Muon_pt * Muon_mass
MET_pt - (weight - nMuon)
Jet_tracks * Jet_pt
Jet_tracks + 1
Jet_tracks * MET_pt
cells * 2
cells + cells
matrix * 2
cells > 1
(Muon_pt > 30) & HLT_A
(1 < MET_pt) | HLT_A
(1 < MET_pt) & (MET_pt < 5) & HLT_A & HLT_B
Muon_flags & 1
(Muon_flags & 1) == 1
Muon_flags >> 1
Muon_flags << 1
Muon_nStations ^ Muon_flags
sqrt(MET_pt)
sqrt(nMuon)
sqrt(Muon_nStations)
sqrt(year)
sqrt(HLT_A)
sqrt(sqrt)
exp(Muon_flags)
hypot(Muon_pt, Muon_eta)
hypot(Muon_nStations, 2)
arctan2(Muon_pt, 1)
arctan2(nMuon, MET_pt)
copysign(Muon_nStations, Muon_pt)
nextafter(MET_pt, weight)
abs(Muon_eta)
abs(HLT_A)
ceil(Muon_nStations)
floor(MET_pt)
trunc(HLT_A)
real(Muon_pt)
imag(nMuon)
conjugate(HLT_A)
conjugate(nMuon)
round(MET_pt)
round(MET_pt, 2)
round(HLT_A)
round(nMuon)
rint(nMuon)
fabs(Muon_eta)
isnan(Muon_pt)
signbit(nMuon)
logical_and(nMuon, MET_pt)
logical_not(nMuon)
logical_xor(HLT_A, Muon_isGood)
fmax(Muon_pt, 0)
fmax(nMuon, 0.5)
maximum(nMuon, event)
minimum(Muon_nStations, 1)
fmin(HLT_A, 1)
erf(MET_pt)
erf(nMuon)
erfc(Muon_nStations)
gamma(MET_pt)
gamma(nMuon)
lgamma(Muon_flags)
factorial(nMuon)
factorial(MET_pt)
factorial(HLT_A)
deg2rad(nMuon)
isclose(MET_pt, 1)
isclose(MET_pt, weight, rtol=0.001)
isclose(Muon_pt, Muon_eta)
where(HLT_A, MET_pt, 0)
where(HLT_A, MET_pt, weight)
where(Muon_isGood, Muon_pt, 0)
where(Muon_isGood, Muon_pt, 0.0)
where(HLT_A, Muon_pt, Muon_eta)
where(HLT_A, 1, 0)
where(nMuon > 0, firsts(Muon_pt), 0)
where(Muon_isGood, MET_pt, Muon_mass)
where(cells > 1, cells, 0)
where(HLT_A, cells, cells)
where(firsts(Muon_isGood), 1, 0)
where(Jet_pt > 1, Jet_tracks, Jet_tracks)
sum(Muon_pt)
sum(Muon_charge)
sum(Muon_flags)
sum(Muon_isGood)
prod(Muon_flags)
any(Muon_isGood)
any(Muon_pt)
all(Muon_pt > 1)
min(Muon_charge)
max(Muon_pt)
max(Muon_pt, initial=0)
max(Muon_pt, mask_identity=False)
max(Muon_pt, keepdims=True)
argmin(Muon_pt)
argmax(Muon_pt, keepdims=True)
nanargmax(Muon_pt)
mean(Muon_pt)
mean(Muon_pt, Muon_mass)
mean(Muon_pt, weight=Muon_mass)
nanmean(Muon_pt)
var(Muon_pt)
var(Muon_pt, ddof=1)
nanvar(Muon_pt)
std(Muon_pt)
nanstd(Muon_pt)
moment(Muon_pt, 2)
moment(Muon_pt, 2, mask_identity=True)
nansum(Muon_pt)
nanprod(Muon_charge)
nanmin(Muon_pt)
nanmax(Muon_pt)
nanargmin(Muon_pt)
count(Muon_pt)
count_nonzero(Muon_pt)
sum(Jet_tracks)
sum(Jet_tracks, axis=2)
sum(Jet_tracks, axis=-1)
max(Jet_tracks)
max(Jet_tracks, axis=2, keepdims=True)
max(Jet_tracks, axis=1, keepdims=True)
sum(cells)
max(cells)
sum(matrix, axis=2)
max(matrix, axis=1)
matrix / max(matrix, axis=2, keepdims=True)
Muon_pt / max(Muon_pt, keepdims=True)
softmax(Muon_pt)
softmax(Muon_charge)
softmax(Jet_tracks, axis=-1)
concatenate([Muon_pt, Jet_pt])
concatenate([Muon_pt, Muon_charge])
concatenate([Muon_isGood, Muon_charge])
concatenate([cells, cells])
concatenate([cells, Muon_pt])
num(Muon_pt)
num(Jet_tracks, 2)
num(cells)
flatten(Jet_tracks)
flatten(matrix)
sort(Muon_pt)
sort(matrix)
sort(Muon_pt, ascending=False)
argsort(Muon_pt, axis=1)
argsort(matrix)
Muon_pt[argsort(Muon_pt, ascending=False)]
Muon_pt[argmax(Muon_pt, keepdims=True)]
cells[argmax(cells, keepdims=True)]
mask(Muon_pt, Muon_isGood)
mask(Muon_pt, HLT_A)
mask(MET_pt, HLT_A, valid_when=False)
mask(cells, cells > 1)
mask(cells, HLT_A)
is_none(firsts(Muon_pt))
is_none(pad_none(Muon_pt, 2), axis=1)
is_none(mask(Muon_pt, Muon_isGood), axis=-1)
is_none(mask(Muon_pt, HLT_A), axis=1)
drop_none(pad_none(Muon_pt, 2))
drop_none(mask(Muon_pt, Muon_isGood), axis=1)
pad_none(Muon_pt, 2)
pad_none(Muon_pt, target=2, axis=1, clip=True)
pad_none(Jet_tracks, 2, axis=2)
pad_none(cells, 5)
pad_none(cells, 2)
pad_none(cells, 2, clip=True)
fill_none(pad_none(Muon_pt, 2), 0)
fill_none(pad_none(Muon_pt, 2, clip=True), 0.5)
fill_none(firsts(Muon_pt), -1)
fill_none(firsts(Muon_charge), -1)
fill_none(firsts(Muon_isGood), 0)
fill_none(firsts(Muon_pt), 0, axis=0)
fill_none(mask(Muon_pt, HLT_A), 0)
fill_none(max(Jet_tracks, axis=2), 0)
fill_none(pad_none(Muon_pt, 2), 0, axis=None)
fill_none(Muon_pt, 0)
firsts(Muon_pt)
firsts(cells)
firsts(Jet_tracks)
firsts(Jet_tracks, axis=2)
singletons(firsts(Muon_pt))
singletons(MET_pt)
cartesian([Muon_pt, Jet_pt])
cartesian({"a": Muon_pt, "b": Jet_pt})
cartesian([Muon_pt, Jet_pt])["0"]
cartesian([Muon_pt, Jet_pt, Muon_charge], nested=True)
argcartesian({"a": Muon_pt, "b": Jet_pt}).a
cartesian([cells, Muon_pt])
combinations(Muon_pt, 2)
combinations(Muon_pt, 2, fields=["a", "b"]).a
combinations(Muon_pt, n=2, replacement=True)
combinations(cells, 2)
combinations(Jet_tracks, 2, axis=2)
argcombinations(Muon_pt, 2, fields=["a", "b"])["a"]
local_index(Muon_pt)
local_index(Jet_tracks)
local_index(Jet_tracks, 2)
follow(Muon_pt, local_index(Jet_pt))
follow(Jet_tracks, mask(local_index(Muon_pt), Muon_pt > 0))
follow(Muon_pt, mask(argmax(Muon_pt), nMuon > 0))
from_regular(cells)
from_regular(matrix, 2)
from_regular(Jet_tracks, 2)
instances(Muon_pt, Muon_pt, Jet_pt)
instances(Jet_pt, Muon_charge, Jet_pt)
instances(Jet_tracks, Jet_tracks, Muon_pt)
instances(matrix, Jet_tracks, matrix)
iteration(Jet_tracks)
uint64(Muon_pt)
uint64(nMuon)
int64(Muon_pt)
int64(firsts(MET_pt[:, None]))
sign(Muon_pt)
reciprocal(MET_pt)
fmod(Muon_pt, 2)
gcd(Muon_charge, nMuon)
lcm(Muon_charge, nMuon)
ldexp(Muon_pt, Muon_charge)
logaddexp(Muon_pt, MET_pt)
logaddexp2(Muon_charge, MET_pt)
float_power(Muon_pt, 2)
heaviside(Muon_pt, 0.5)
zip({"pt": Muon_pt, "met": MET_pt}, depth_limit=2)
zip({"pt": Muon_pt, "met": MET_pt}, depth_limit=1)
zip({"pt": max(Muon_pt), "n": nMuon}, depth_limit=1)
zip([Jet_tracks, Jet_pt], depth_limit=2)
zip([Jet_tracks, Jet_pt], depth_limit=3)
zip([cells, cells], depth_limit=2)
zip([Muon_pt, Muon_pt[:, None]], depth_limit=3)
concatenate([Jet_tracks, Jet_tracks], axis=2)
concatenate([Muon_pt[:, :, None], Muon_charge[:, :, None]], axis=2)
vector_get(momentum4d({"pt": Muon_pt, "eta": Muon_pt, "phi": Muon_pt, "energy": Muon_pt}, depth_limit=2), name="mass")
vector_get(momentum4d({"pt": Muon_pt, "eta": Muon_pt, "phi": Muon_pt, "energy": Muon_pt}, depth_limit=2), name="pt")
vector_get(momentum4d({"px": Muon_pt, "py": Muon_pt, "pz": Muon_pt, "mass": Muon_mass}, depth_limit=2), name="pt")
vector_get(momentum4d({"px": Muon_pt, "py": Muon_pt, "pz": Muon_pt, "mass": Muon_mass}, depth_limit=2), name="eta")
vector_get(momentum4d({"px": Muon_pt, "py": Muon_pt, "pz": Muon_pt, "mass": Muon_mass}, depth_limit=2), name="E")
vector_call(momentum4d({"pt": Muon_pt, "eta": Muon_pt, "phi": Muon_pt, "energy": Muon_pt}, depth_limit=2), momentum4d({"px": Muon_pt, "py": Muon_pt, "pz": Muon_pt, "mass": Muon_mass}, depth_limit=2), name="deltaR")
vector_call(momentum4d({"pt": Muon_pt, "eta": Muon_pt, "phi": Muon_pt, "energy": Muon_pt}, depth_limit=2), name="is_timelike")
vector_get(vector_call(momentum4d({"pt": Muon_pt, "eta": Muon_pt, "phi": Muon_pt, "energy": Muon_pt}, depth_limit=2), momentum4d({"pt": Muon_pt, "eta": Muon_pt, "phi": Muon_pt, "energy": Muon_pt}, depth_limit=2), name="add"), name="pt")
vector_get(vector_call(momentum4d({"pt": Muon_pt, "eta": Muon_pt, "phi": Muon_pt, "energy": Muon_pt}, depth_limit=2), momentum4d({"px": Muon_pt, "py": Muon_pt, "pz": Muon_pt, "mass": Muon_mass}, depth_limit=2), name="add"), name="E")
vector_get(vector_sum(momentum4d({"pt": Muon_pt, "eta": Muon_pt, "phi": Muon_pt, "energy": Muon_pt}, depth_limit=2), axis=1), name="mass")
present(firsts(Muon_pt[:, None]))
present(pad_none(cells, 2, clip=True))
present(fill_none(max(Muon_pt), 0))
float64(Muon_charge)
float64(firsts(Muon_pt))
float64(MET_pt)
Muon_pt * float64(1)
sqrt(2 * combinations(Muon_pt, 2)["0"] * combinations(Muon_pt, 2)["1"])
Muon_pt[:, :1]
Muon_pt[:, ::-1]
Muon_pt[Muon_isGood]
Muon_pt[Muon_pt > 1]
Muon_pt[:]
Muon_pt[:, None]
MET_pt[:, np.newaxis]
max(Muon_pt)[:, None]
max(Muon_pt)[:, None] + Muon_pt
pad_none(Muon_pt, 2)[:, :, None]
max(Jet_tracks, axis=2)[:, :, None] + Jet_tracks
max(Jet_tracks, axis=2)[:, None] + Muon_pt[:, :, None]
cells[:, 0]
cells[..., 0]
cells[:, 1:]
cells[:, ::2]
matrix[:, 0, 1]
matrix[..., 1]
matrix[:, :, 1]
Jet_tracks[Jet_tracks > 1]
Jet_tracks[num(Jet_tracks, axis=2) > 0]
Jet_tracks[:, :, :1]
label == "a"
label != 'b"c'
1 < MET_pt < 5
get("odd name/x") + 1
get("Jets/Jets.fPt")
Jets.fPt * 2
np.pi * MET_pt
-np.inf < MET_pt
np.sqrt(MET_pt)
ak.sum(Muon_pt)
firsts(Muon_pt) + 1
(firsts(Muon_pt) > 1) & HLT_A
max(Muon_pt) - min(Muon_pt)
sum(pad_none(Muon_pt, 3))
sum(mask(Muon_pt, HLT_A))
num(mask(Muon_pt, HLT_A))
""".strip().splitlines()


# text, the place of the caret, and what the message and the hint must say
@pytest.fixture(scope="module")
def rows():
    """Three events with 2, 0 and 1 muons."""
    return {field.name: _array(field.type) for field in EVENTS.fields if field.reason is None}


def _array(kind):
    match kind:
        case Primitive(dtype):
            return ak.Array(np.array([1, 0, 2]).astype(dtype))
        case String():
            return ak.Array(["a", "bb", ""])
        case ListOf(Primitive(dtype)):
            return ak.unflatten(ak.Array(np.array([1, 0, 2]).astype(dtype)), [2, 0, 1])
        case ListOf():
            return ak.values_astype(ak.Array([[[1.0, 2.0], []], [], [[3.0]]]), np.float32)
    shape = []
    while isinstance(kind, FixedList):
        shape.append(kind.size)
        kind = kind.item
    return ak.Array(np.ones((3, *shape), dtype=kind.dtype))


@pytest.mark.parametrize("text", ACCEPTED)
def test_awkward_returns_the_inferred_type(text, rows):
    expr = parse_expression(text, EVENTS, LIMITS)
    (value,) = run(compile_program([expr]), rows)
    assert str(value.type) == f"3 * {infer(expr, EVENTS)}"
    assert parse_expression(expression_text(expr), EVENTS, LIMITS) == expr


def test_every_function_is_typed_above_or_refused():
    used = {name for name in FUNCTIONS if any(f"{name}(" in text for text in ACCEPTED)}
    plain_ufuncs = {item.name for item in FUNCTIONS.values() if item.rule in {"float", "bool"}}
    others = {"broadcast_arrays", "broadcast_fields", "almost_equal", "logical_or"}
    assert set(FUNCTIONS) - used - plain_ufuncs <= others


def test_depths_that_only_the_data_tell_are_accepted():
    assert str(infer(parse_expression("Muon_pt + Jet_pt", EVENTS, LIMITS), EVENTS)) == (
        "var * float32"
    )


def test_a_union_is_unknown_and_not_a_guess():
    expr = parse_expression("where(HLT_A, Muon_pt, 0)", EVENTS, LIMITS)
    assert infer(expr, EVENTS) == Unknown()


def test_unknown_spreads_and_is_never_refused():
    schema = {"x": Field("x", Unknown("AsObjects"))}
    for expr in ("sum(x)", "x + 1", "x[:, 0]", "x.field", "where(x, 1, 2)", "num(x)", "sqrt(x)"):
        kind = infer(parse_expression(expr, Schema((schema["x"],)), LIMITS), schema)
        assert isinstance(kind, Unknown)
    both = Binary("&", Column("x"), Constant(value=True))
    assert infer(both, schema) == Unknown()


def test_a_condition_may_be_missing():
    expr = parse_predicate("max(Muon_pt) > 30", EVENTS, LIMITS)
    assert infer(expr, EVENTS) == Option(Primitive("bool"))


@pytest.mark.parametrize("first", ["bool", "int8", "uint8", "int16", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("second", ["bool", "uint16", "int32", "uint64", "float16", "float32"])
def test_dtypes_promote_as_numpy_promotes(first, second):
    assert promote_dtypes(first, second) == str(np.promote_types(first, second))
    assert promote_dtypes(second, first) == str(np.promote_types(second, first))


def test_merging_keeps_what_both_can_be():
    assert merge(ListOf(Primitive("int8")), FixedList(Primitive("float32"), 2)) == ListOf(
        Primitive("float32")
    )
    assert merge(FixedList(String(), 2), FixedList(String(), 2)) == FixedList(String(), 2)
    assert merge(Option(Primitive("bool")), Primitive("bool")) == Option(Primitive("bool"))
    assert merge(String(), Primitive("bool")) == Unknown()
    assert merge(Option(String()), Primitive("bool")) == Unknown()
    assert merge(ListOf(String()), ListOf(Primitive("bool"))) == Unknown()
    assert merge(FixedList(String(), 2), FixedList(Primitive("bool"), 2)) == Unknown()


def test_the_schema_of_a_node_follows_its_projections():
    node = Project(
        Filter(Scan("Events"), Column("HLT_A")),
        (("pt", Column("Muon_pt")), ("twice", Binary("*", Column("MET_pt"), Constant(2)))),
    )
    schema = schema_of(node, EVENTS)
    assert str(schema) == "pt     var * float32\ntwice  float32"
    assert schema["pt"].typename == "float[]"
    assert list(schema_of(Scan("Events", ("MET_pt",)), EVENTS)) == ["MET_pt"]
    assert schema_of(Scan("Events"), EVENTS) is EVENTS
