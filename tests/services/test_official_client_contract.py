"""What the official client meets besides what goes well: each sample here is one promise.

All of them are delivered at once, so that the client's polling, every five
seconds, is waited for a few times only.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import pyarrow.parquet as pq
import pytest
import uproot

from tests.services.official_client import OfficialClient, served

if TYPE_CHECKING:
    from pathlib import Path

SAMPLES = """
def run_query(path):
    # Größe: non-ASCII text arrives as it is
    import awkward as ak
    return ak.Array([{"größe": len(path), "wer": "Ünïcode"}])

def files(*names):
    return dataset.FileList([VALUES["inputs"][name] for name in names])

def raw(**query):
    return UPROOT_RAW([query])

one = {"treename": "Events", "filter_name": ["event"]}
two = [{"treename": {"Events": "both"}, "filter_name": ["event"], "cut": "event < 500"},
       {"treename": {"Events": "both"}, "filter_name": ["event"], "cut": "event >= 500"}]
jagged = FUNC_ADL().FromTree("Events").Select(lambda e: {"pt": e.pt})
nulls = {**one, "cut": None, "expressions": None, "aliases": None, "fail_on_missing_trees": None}

def sample(name, selection, *names, **options):
    return Sample(Name=name, Dataset=files(*(names or ("good",))), Query=selection, **options)

async def main():
    cache = VALUES["home"] + "/cache-"
    parquet = {"OutputFormat": "parquet"}
    calls = [
        get([
            sample("one of two fails", raw(**one), "good", "bad"),
            sample("given twice", raw(**one), "good", "good"),
            sample("two queries, one tree", UPROOT_RAW(two)),
            sample("no such tree", raw(**one | {"treename": "Nope"})),
            sample("no such tree, strict",
                   raw(**one | {"treename": "Nope", "fail_on_missing_trees": True})),
            sample("long name", raw(**one), "long"),
            sample("all fail", raw(treename="Events", cut="nope > 1"), "good"),
            Sample(Name="nowhere", Dataset=dataset.XRootD(VALUES["nowhere"]), Query=raw(**one)),
        ], cache + "1"),
        get([
            sample("function", python(run_query)),
            sample("one jagged column", jagged),
            sample("histogram", UPROOT_RAW([{"copy_histograms": "h"}])),
        ], cache + "2", general=parquet),
        get([sample("lenient", raw(**one), "bad", "good")], cache + "3", fail_if_incomplete=False),
        get([sample("unknown", raw(**one), Codegen="nobody")], cache + "4"),
    ]
    told = {}
    for found in await asyncio.gather(*calls):
        told |= found
    sx = ServiceXClient()
    every = await sx.get_transforms_async()
    (number,) = [item.did_id for item in every if item.title == "nowhere"]
    told["lookup of nowhere"] = (await sx.servicex.get_dataset(number)).lookup_status
    tell(told)

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    found = {name: folder / f"{name}.root" for name in ("good", "bad")}
    with uproot.recreate(found["good"]) as file:
        pt = ak.Array([[float(number), 2.0] if number % 2 else [] for number in range(1000)])
        file["Events"] = {"event": np.arange(1000), "pt": pt}
        file["h"] = np.histogram([1.0, 2.0, 2.0], bins=3)
    found["bad"].write_bytes(found["good"].read_bytes()[:3000])
    deep = folder.joinpath(*("x" * 90 for _ in range(3)))
    deep.mkdir(parents=True)
    found["long"] = deep / "good.root"
    found["long"].write_bytes(found["good"].read_bytes())
    return found


@pytest.fixture(scope="module")
def told(
    inputs: dict[str, Path],
    servicex_python: Path,
    xrootd_server: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Any]:
    """Return what the client hands back for each sample: paths, or why there are none."""
    folder = tmp_path_factory.mktemp("service")
    config = folder / "service.yaml"
    config.write_text(json.dumps({"hosts": [f"127.0.0.1:{xrootd_server.port}"]}))
    root = str(inputs["good"].parent)
    arguments = ("--port", "0", "--workers", "1", "--root", root, "--allow-python")
    client = OfficialClient(servicex_python, tmp_path_factory.mktemp("home"))
    with served(folder / "data", "--config", str(config), *arguments) as service:
        client.configure(service.client_file)
        found = client.run(
            SAMPLES,
            home=client.home,
            nowhere=f"root://127.0.0.1:{xrootd_server.port}//data/none/*.root",
            inputs=inputs,
        )
    assert isinstance(found, dict)
    return found


def events(path: str, tree: str = "Events") -> list[int]:
    with uproot.open(path) as file:
        return sorted(file[tree]["event"].array().to_list())


@pytest.mark.parametrize("name", ["one of two fails", "lenient"])
def test_what_went_well_of_a_transform_that_failed_in_part_is_delivered(told, name):
    (path,) = told[name]
    assert events(path) == list(range(1000))


def test_a_file_that_is_given_twice_is_delivered_once(told):
    assert len(told["given twice"]) == 1


def test_two_queries_fill_one_tree(told):
    (path,) = told["two queries, one tree"]
    assert events(path, "both") == list(range(1000))


def test_a_tree_that_is_not_there_is_left_out_or_fails_the_file(told):
    (path,) = told["no such tree"]
    with uproot.open(path) as file:
        assert "TTree" not in file.classnames().values()
    assert told["no such tree, strict"] == []


def test_a_long_path_gives_a_name_that_can_be_stored(told):
    (path,) = told["long name"]
    assert len(path.rpartition("/")[2]) <= 255
    assert events(path) == list(range(1000))


def test_a_mistake_in_a_selection_ends_and_delivers_nothing(told):
    assert told["all fail"] == []


def test_a_pattern_that_matches_nothing_is_said(told):
    assert told["lookup of nowhere"] == "does_not_exist"
    # The client asks for the reason, and may take the end for an empty result meanwhile.
    assert told["nowhere"] == [] or "Dataset does not exist" in told["nowhere"]


def test_a_function_may_be_written_in_any_language_of_people(told):
    (path,) = told["function"]
    (row,) = pq.read_table(path).to_pylist()
    assert row["wer"] == "Ünïcode"
    assert set(row) == {"größe", "wer"}


def test_a_single_jagged_column_comes_as_parquet_with_a_record_of_each_item(told):
    (path,) = told["one jagged column"]
    table = pq.read_table(path)
    assert table.column_names == [""]
    assert table[""].to_pylist()[:2] == [[], [{"pt": 1.0}, {"pt": 2.0}]]


def test_a_histogram_does_not_go_into_parquet(told):
    assert told["histogram"] == []


def test_a_codegen_that_nobody_has_is_named_by_the_client(told):
    assert "NameError" in told["unknown"]
    assert "uproot-raw" in told["unknown"]
