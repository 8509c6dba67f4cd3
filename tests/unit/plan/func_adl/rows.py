"""A small event tree in memory, queries over it, and its events as plain Python values."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np

from sxdask.core.results import Total
from sxdask.core.types import Field, FixedList, ListOf, Primitive, Record, Schema, String
from sxdask.graph.kernel import MaskProgram, compile_program, run
from sxdask.plan.bounds import is_fallible
from sxdask.plan.frontends.func_adl import FuncAdlFrontend
from sxdask.plan.optimize import optimize
from tests.unit.plan.schemas import LIMITS, jagged, number

if TYPE_CHECKING:
    from sxdask.plan.nodes import Plan

NUM_EVENTS = 60

POINT = Record((("x", Primitive("float64")), ("n", Primitive("int32"))))

SCHEMA = Schema(
    (
        Field("met", number("float64")),
        Field("nmu", number("int32")),
        Field("good", number("bool")),
        Field("name", String()),
        Field("tags", ListOf(String())),
        Field("mu_pt", jagged("float64")),
        Field("mu_eta", jagged("float64")),
        Field("mu_q", jagged("int32")),
        Field("mu_tight", jagged("bool")),
        Field("jet_pt", jagged("float64")),
        Field("jet_eta", jagged("float64")),
        Field("jet_hits", ListOf(jagged("float64"))),
        Field("cov", FixedList(Primitive("float64"), 3)),
        Field("vertex", POINT),
        Field("points", ListOf(POINT)),
        Field("Trk.pt", jagged("float64")),
        Field("Trk.q", jagged("int32")),
        Field("odd name", number("float64")),
        Field("nmu.half", number("float64")),
        Field("broken", number("float64"), reason="AsObjects of TRef"),
    ),
    tree="t",
)


class Source:
    """The one tree, as a frontend sees it."""

    trees: tuple[str, ...] = ("t",)
    default_tree: str | None = "t"

    def cycles(self, tree: str) -> tuple[int, ...]:
        """Return the cycles of `tree`."""
        return (1,) if tree == "t" else ()

    def schema(self, tree: str) -> Schema:
        """Return the schema of the tree."""
        assert tree == "t"
        return SCHEMA


def _events() -> list[dict[str, Any]]:
    rng = np.random.default_rng(20_240_611)

    def numbers(count: int, low: float = 0, high: float = 100) -> list[float]:
        return [round(float(item), 3) for item in rng.uniform(low, high, count)]

    def point() -> dict[str, Any]:
        return {"x": numbers(1)[0], "n": int(rng.integers(0, 9))}

    found = []
    for index in range(NUM_EVENTS):
        muons, jets, tracks = (int(item) for item in rng.integers(0, 5, 3))
        found.append(
            {
                "met": numbers(1)[0],
                "nmu": muons,
                "good": bool(rng.integers(0, 2)),
                "name": ["a", "bb", ""][index % 3],
                "tags": [["x", "yy", ""][item] for item in rng.integers(0, 3, jets)],
                "mu_pt": numbers(muons),
                "mu_eta": numbers(muons, -3, 3),
                "mu_q": [int(item) for item in rng.choice([-1, 1], muons)],
                "mu_tight": [bool(item) for item in rng.integers(0, 2, muons)],
                "jet_pt": numbers(jets),
                "jet_eta": numbers(jets, -3, 3),
                "jet_hits": [numbers(int(rng.integers(0, 4))) for _ in range(jets)],
                "cov": numbers(3),
                "vertex": point(),
                "points": [point() for _ in range(jets)],
                "Trk.pt": numbers(tracks),
                "Trk.q": [int(item) for item in rng.choice([-1, 1], tracks)],
                "odd name": numbers(1)[0],
                "nmu.half": muons / 2,
            }
        )
    return found


EVENTS = _events()
NAMESPACES = [SimpleNamespace(**event) for event in EVENTS]


def _array(field: Field) -> ak.Array:
    values: Any = ak.Array([event[field.name] for event in EVENTS])
    match field.type:
        case String() | ListOf(String()):
            return values
        case FixedList():
            return ak.to_regular(values, axis=1)
        case _:
            leaf: Any = field.type
            while isinstance(leaf, ListOf):
                leaf = leaf.item
            if leaf == POINT:
                return ak.with_field(values, ak.values_astype(values.n, "int32"), "n")
            return ak.values_astype(values, leaf.dtype)


ARRAYS = {field.name: _array(field) for field in SCHEMA.fields if field.reason is None}


def plan_of(query: str) -> Plan:
    """Return the plan of `query`, as it was written."""
    return FuncAdlFrontend(LIMITS).parse(query, Source())


def optimized(query: str) -> Any:
    """Return the root of the optimised plan of `query`."""
    plan, _ = optimize(plan_of(query), {"t": SCHEMA})
    return plan.outputs[0].root


@dataclass(frozen=True)
class Result:
    """The rows of a query as plain values, and their type."""

    rows: Any
    type: str


def ask(query: str) -> Result:
    """Return what `query` gives on the rows in memory, by the optimised plan."""
    plan, _ = optimize(plan_of(query), {"t": SCHEMA})
    (output,) = plan.outputs
    root: Any = output.root
    arrays = ARRAYS
    for condition in sorted(root.source.predicate, key=is_fallible):
        mask = MaskProgram(compile_program([condition]))(arrays)
        arrays = {name: array[mask] for name, array in arrays.items()}
    names = [name for name, _ in root.outputs]
    values = run(compile_program([expr for _, expr in root.outputs]), arrays)
    num_rows = len(arrays["met"])
    columns = [
        item if isinstance(item, ak.Array) else ak.Array(np.full(num_rows, item)) for item in values
    ]
    if output.shape.items:
        columns = [ak.flatten(item, axis=1) for item in columns]
    if output.shape.bare:
        (rows,) = columns
    else:
        keys = None if output.shape.is_tuple else names
        rows = ak.Array(ak.contents.RecordArray([item.layout for item in columns], keys))
    if isinstance(output.reduction, Total):
        return Result(_total(output.reduction.function, rows), "one value")
    kind = str(rows.type).partition(" * ")[2]
    return Result(rows.to_list(), kind)


def _total(function: str, rows: ak.Array) -> Any:
    if function == "count":
        return len(rows)
    return getattr(ak, function)(rows, axis=0)


def columns_read(query: str) -> list[str]:
    """Return the branches that the optimised plan of `query` reads, conditions included."""
    return list(optimized(query).source.columns)
