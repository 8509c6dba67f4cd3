"""Histograms, totals and entry numbers over real files: counted where the rows are."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import awkward as ak
import hist
import numpy as np
import pytest
import uproot
import yaml
from typer.testing import CliRunner

import sxdask as sx
from sxdask.api.queries import Query
from sxdask.cli.main import app
from sxdask.core.errors import RequestError
from sxdask.core.results import Shape, Total
from sxdask.plan.codec import plan_from_json, plan_to_json
from sxdask.plan.expr import Column
from sxdask.plan.nodes import Output, Plan, Project, Scan
from sxdask.testing import write_nanoaod_files
from tests.refusals import error_of

if TYPE_CHECKING:
    from pathlib import Path

MET = {"column": "MET_pt", "bins": 20, "start": 0, "stop": 200}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("histograms")
    paths = write_nanoaod_files(folder, 6000, 3, entries_per_cluster=500)
    return [str(path) for path in paths]


@pytest.fixture(scope="module")
def ds(files: list[str]) -> sx.Dataset:
    return sx.dataset(files)


@pytest.mark.parametrize("scheduler", ["sync", "threads"])
def test_a_filled_histogram_equals_one_of_all_rows(ds: sx.Dataset, scheduler: str) -> None:
    query = ds.where("nMuon >= 2").fill(
        met=MET,
        pt={"axes": [{"column": "Muon_pt", "bins": 9, "start": 0, "stop": 90}, MET]},
    )
    found = query.compute(scheduler=scheduler)
    rows = ds.where("nMuon >= 2").compute()
    met = hist.Hist.new.Reg(20, 0, 200).Double().fill(rows.MET_pt)
    assert found["met"].values(flow=True).tolist() == met.values(flow=True).tolist()
    pt, wide = (ak.flatten(item) for item in ak.broadcast_arrays(rows.Muon_pt, rows.MET_pt))
    both = hist.Hist.new.Reg(9, 0, 90).Reg(20, 0, 200).Double().fill(pt, wide)
    assert found["pt"].values(flow=True).tolist() == both.values(flow=True).tolist()


def test_one_histogram_comes_alone_and_lazily_the_same(ds: sx.Dataset) -> None:
    query = ds.fill(met=MET)
    found = query.compute()
    assert found.sum(flow=True) == ds.num_events
    assert query.dask().compute(scheduler="sync") == found


def test_only_what_is_filled_is_read(ds: sx.Dataset) -> None:
    explained = ds.where("nMuon >= 2").fill(met=MET).explain()
    assert "Fill met (MET_pt: 20 bins from 0 to 200)" in explained
    assert "Scan Events [nMuon, MET_pt]" in explained


def test_files_without_a_passing_event_give_empty_histograms(ds: sx.Dataset) -> None:
    ds.index(stats=True)
    found = ds.where("MET_pt > 1e9").fill(met=MET).compute()
    assert found.sum(flow=True) == 0


def test_rows_and_reductions_do_not_mix(ds: sx.Dataset, tmp_path: Path) -> None:
    query = ds.fill(met=MET)
    for wrong in (
        lambda: next(query.stream()),
        lambda: query.deliver(tmp_path / "out"),
        lambda: query.where("nMuon > 1"),
        lambda: query.fill(met=MET),
    ):
        with pytest.raises(RequestError, match="reduces all rows"):
            wrong()
    assert not (tmp_path / "out").exists()


def test_a_plan_with_histograms_and_shapes_survives_json(ds: sx.Dataset) -> None:
    plan = ds.fill(met=MET, w={**MET, "weight": "nMuon"}).plan
    assert plan_from_json(plan_to_json(plan)) == plan
    other = Plan((Output("", Scan("Events"), shape=Shape(items=True), reduction=Total("sum")),))
    assert plan_from_json(plan_to_json(other)) == other


def test_a_recipe_fills_histograms_from_the_command_line(files: list[str], tmp_path: Path) -> None:
    recipe = tmp_path / "met.yaml"
    content = {"title": "MET", "dataset": {"files": files}, "where": "nMuon >= 2"}
    recipe.write_text(yaml.safe_dump({**content, "hist": {"met": MET}}))
    shown = CliRunner().invoke(app, ["run", str(recipe), "--json"])
    assert shown.exit_code == 0, shown.output
    values = json.loads(shown.stdout)["histograms"]["met"]
    expected = sx.load(recipe).compute()
    assert values["values"] == expected.values().tolist()
    assert values["axes"][0]["edges"] == expected.axes[0].edges.tolist()
    assert CliRunner().invoke(app, ["run", str(recipe), "--quiet"]).exit_code == 0


@pytest.mark.parametrize(
    ("query", "column", "native"),
    [
        ("Select(lambda e: e.Jet_pt)", "", "Jet_pt"),
        ("SelectMany(lambda e: e.Jet_pt)", "", "Jet_pt"),
        ("Select(lambda e: {'pt': e.Jet_pt})", "pt * 2", "Jet_pt * 2"),
        ("Select(lambda e: (e.MET_pt, e.Jet_pt))", 'get("1") / 2', "Jet_pt / 2"),
        ("Select(lambda e: {'pt': e.Jet_pt, 'met': e.MET_pt})", "max(pt)", "max(Jet_pt)"),
    ],
)
def test_results_of_every_shape_can_be_filled_from(
    ds: sx.Dataset, query: str, column: str, native: str
) -> None:
    axis = {"bins": 20, "start": 0, "stop": 200}
    text = f"EventDataset().{query}"
    found = sx.request("func_adl", text, dataset=ds, hist={"h": {**axis, "column": column}})
    expected = ds.fill(h={**axis, "column": native})
    assert found.compute().values(flow=True).tolist() == (
        expected.compute().values(flow=True).tolist()
    )


def total(ds: sx.Dataset, function: str) -> object:
    root = Project(Scan("Events"), (("", Column("MET_pt")),))
    reduction = Total(function)  # type: ignore[arg-type]
    output = Output("", root, shape=Shape(bare=True), reduction=reduction)
    return Query(ds.source, Plan((output,))).compute()


def test_totals_are_those_of_all_rows(ds: sx.Dataset) -> None:
    met = ds.select("MET_pt").compute().MET_pt
    assert total(ds, "count") == len(met)
    assert total(ds, "max") == ak.max(met)
    assert total(ds, "min") == ak.min(met)
    assert total(ds, "sum") == pytest.approx(float(ak.sum(met)), rel=1e-5)


def test_entries_are_counted_in_the_tree_and_over_the_dataset(ds: sx.Dataset) -> None:
    found = ds.where('get("Entry$") % 7 == 3').select("Entry$", "LocalEntry$", "MET_pt").compute()
    whole = ds.select("MET_pt").compute()
    numbers = np.arange(ds.num_events)
    chosen = numbers[numbers % 7 == 3]
    assert found["Entry$"].to_list() == chosen.tolist()
    assert found["LocalEntry$"].to_list() == (chosen % (ds.num_events // 3)).tolist()
    assert found.MET_pt.to_list() == whole.MET_pt[chosen].to_list()


def test_entry_numbers_prune_partitions_without_statistics(ds: sx.Dataset) -> None:
    explained = ds.where('get("Entry$") >= 5990').select("MET_pt").explain()
    assert "1 kept, 2 pruned" in explained


def test_entry_columns_are_in_no_schema_and_in_no_glob(ds: sx.Dataset) -> None:
    assert "Entry$" not in list(ds.schema)
    assert "Entry$" not in list(ds.select("*").schema)


def test_files_with_other_types_of_numbers_fill_one_histogram(tmp_path: Path) -> None:
    kinds = [(np.int32, np.float32), (np.uint8, np.float64), (np.float32, np.int16)]
    for number, (whole, real) in enumerate(kinds):
        with uproot.recreate(tmp_path / f"{number}.root") as file:
            items = ak.values_astype(ak.Array([[1, 2], [], [3]]), real)
            file["Events"] = {"n": np.arange(3, dtype=whole), "x": items}
    data = sx.dataset(f"{tmp_path}/*.root")
    axes = [{"column": "x", "bins": 2, "start": 0, "stop": 4}, {"column": "n", "edges": [0, 1, 9]}]
    found = data.fill(both={"axes": axes}).compute()
    assert found.values().tolist() == [[3, 0], [3, 3]]
    assert "'x' is var * float32" in error_of(data.select("x").compute, "SX304").problem
    bare = sx.request("func_adl", "lambda e: e.x", dataset=data)
    assert "the result is var * float32" in error_of(bare.compute, "SX304").problem
