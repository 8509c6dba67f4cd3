"""What may come back from a Python function, and how one that fails is told."""

from __future__ import annotations

import shutil
from dataclasses import replace

import awkward as ak
import pyarrow as pa
import pytest
import uproot

import sxdask as sx
from sxdask.core.settings import load_settings
from tests.refusals import error_of

PER_FILE = """\
import uproot

def run_query(path):
    with uproot.open(path) as file:
        return file["Events"].arrays(["event", "Muon_pt"])
"""


def good_muons(events):
    good = events[events.nMuon >= 2]
    return ak.zip({"pt": good.Muon_pt, "eta": good["Muon_eta"]})


def met_and_muons(events):
    return {"met": events[["MET_pt", "MET_phi"]], "muons": events.Muon_pt[events.nMuon > 0]}


def ask(function, data, **options):
    return sx.request("python", function, dataset=data, **options)


@pytest.fixture(scope="module")
def events(nanoaod_files):
    return uproot.concatenate([f"{path}:Events" for path in nanoaod_files])


@pytest.fixture(scope="module")
def data(nanoaod_files):
    small = replace(load_settings(), partition_bytes=20_000)
    return sx.dataset(nanoaod_files, settings=small)


# -- results -------------------------------------------------------------------------------


def test_a_dict_gives_several_outputs_by_name(data, events, tmp_path):
    query = ask(met_and_muons, data)
    wanted = met_and_muons(events)
    found = query.compute()
    assert list(found) == ["met", "muons"]
    assert all(ak.array_equal(found[name], wanted[name]) for name in wanted)
    assert query.summary.rows == sum(map(len, wanted.values()))
    parts = list(query.stream(ordered=True))
    for name, array in wanted.items():
        tables = [ak.from_arrow(part.table) for part in parts if part.output == name]
        assert [part.index for part in parts if part.output == name] == list(range(len(tables)))
        assert ak.array_equal(ak.concatenate(tables), array, check_parameters=False)
    manifest = query.deliver(tmp_path / "out")
    assert {entry.output for entry in manifest.partitions} == {"met", "muons"}
    assert sum(entry.rows for entry in manifest.partitions) == query.summary.rows


def test_each_call_is_made_once_in_a_delivery_of_several_outputs(nanoaod_files, tmp_path):
    calls = tmp_path / "calls"
    text = f"""
def run_query(path):
    with open({str(calls)!r}, "a") as file:
        file.write(path + "\\n")
    return {{"a": [1, 2], "b": [[3.5]], "c": [path]}}
"""
    for number, scheduler in enumerate(("sync", "threads")):
        calls.write_text("")
        manifest = ask(text + f"# {number}", sx.dataset(nanoaod_files)).deliver(
            tmp_path / scheduler, scheduler=scheduler
        )
        assert len(manifest.partitions) == 12
        assert sorted(calls.read_text().split()) == sorted(map(str, nanoaod_files))


def test_a_delivery_is_taken_up_again_and_changes_with_the_function(data, tmp_path):
    text = "def run_query(events): return events.MET_pt * {}"
    first = ask(text.format(2), data).deliver(tmp_path / "out")
    again = ask(text.format(2), data)
    same = again.deliver(tmp_path / "out")
    assert again.summary.report.baskets_read == 0
    assert same.partitions == first.partitions
    error_of(lambda: ask(text.format(3), data).deliver(tmp_path / "out"), "SX100")


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        ("np.arange(2) * 0.5", [0.0, 0.5]),
        ("np.ones((1, 2))", [[1.0, 1.0]]),
        ("np.array(['x', 'yz'])", ["x", "yz"]),
        ("np.array([[1], [2, 3]], dtype=object)", [[1], [2, 3]]),
        ("np.array([(1, 2.5)], dtype=[('a', int), ('b', float)])", [{"a": 1, "b": 2.5}]),
        ("[1, None, 3]", [1, None, 3]),
        ("(1, 2)", [1, 2]),
        ("[]", []),
        ("['{\"a\": 1}']", ['{"a": 1}']),
        ("[{'x': [1]}, {'x': []}]", [{"x": [1]}, {"x": []}]),
        ("ak.Array([{'x': 1}])[0:0]", []),
        ("ak.mask(ak.Array([1, 2]), [True, False])", [1, None]),
    ],
)
def test_everything_with_rows_is_a_result(nanoaod, result, wanted, tmp_path):
    text = f"import awkward as ak\nimport numpy as np\ndef run_query(path): return {result}"
    query = ask(text, sx.dataset(nanoaod))
    assert query.compute(scheduler="sync").to_list() == wanted
    (part,) = query.stream()
    assert isinstance(part.table, pa.Table)
    assert ak.from_arrow(part.table).to_list() == wanted
    manifest = query.deliver(tmp_path / "out")
    assert manifest.partitions[0].rows == len(wanted)


def test_an_empty_list_takes_the_type_of_the_other_files(nanoaod_files, tmp_path):
    empty, full = nanoaod_files[:2]
    text = f"""
def run_query(path):
    rows = [] if path == {str(empty)!r} else [[1.5], []]
    return {{"rows": rows, "lists": [[]] if path == {str(empty)!r} else [["x"]]}}
"""
    query = ask(text, sx.dataset([empty, full]))
    assert query.compute()["rows"].to_list() == [[1.5], []]
    manifest = query.deliver(tmp_path / "out")
    tables = {
        (entry.output, entry.file): pa.ipc.open_file(
            (tmp_path / "out" / entry.object).read_bytes()
        ).read_all()
        for entry in manifest.partitions
    }
    for name in ("rows", "lists"):
        one, other = (tables[name, str(path)].schema for path in (empty, full))
        assert one.field(0).type == other.field(0).type


@pytest.mark.parametrize(
    ("of_first", "of_rest"),
    [
        ("[1]", "{'a': [1]}"),
        ("{'a': [1]}", "[1]"),
        ("[{'a': 1}]", "[{'b': 1}]"),
    ],
)
def test_files_that_give_different_things_are_named(nanoaod_files, of_first, of_rest, tmp_path):
    first, other = nanoaod_files[:2]
    text = f"def run_query(path): return {of_first} if path == {str(first)!r} else {of_rest}"
    query = ask(text, sx.dataset([first, other]))
    assert str(other) in error_of(lambda: query.compute(scheduler="sync"), "SX304").problem
    assert str(other) in error_of(lambda: query.deliver(tmp_path / "out"), "SX304").problem


def test_an_output_that_a_file_lacks_has_no_rows_there(nanoaod_files, tmp_path):
    first, other = nanoaod_files[:2]
    text = f"""
def run_query(path):
    return {{"a": [1], "b": [2.5]}} if path == {str(first)!r} else {{"a": [3]}}
"""
    query = ask(text, sx.dataset([first, other]))
    assert {name: rows.to_list() for name, rows in query.compute().items()} == {
        "a": [1, 3],
        "b": [2.5],
    }
    manifest = query.deliver(tmp_path / "out")
    assert [entry.rows for entry in manifest.partitions] == [1, 1, 1, 0]


def test_dask_goes_on_from_what_the_first_partition_gives(data, events):
    lazy = ask(good_muons, data).dask()
    assert lazy.npartitions == ask(good_muons, data)._compiled.tables[0].pieces.__len__()
    found = ak.max(lazy.pt, axis=1).compute(scheduler="sync")
    assert ak.array_equal(found, ak.max(good_muons(events).pt, axis=1))
    several = ask(met_and_muons, data).dask()
    assert list(several) == ["met", "muons"]
    assert len(several["met"].compute(scheduler="sync")) == len(events)


# -- failures ------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["sync", "processes"])
def test_a_function_that_fails_says_where(nanoaod, scheduler):
    text = "def run_query(path):\n    data = {}\n    return data['Muon_pt']\n"
    query = ask(text, sx.dataset(nanoaod))
    error = error_of(lambda: query.compute(scheduler=scheduler), "SX108")
    first, line, caret = error.problem.splitlines()
    assert first == f"run_query(path) fails on line 3 for '{nanoaod}': KeyError: 'Muon_pt'"
    assert line[caret.index("^") :] == "data['Muon_pt']"
    assert error.context["file"] == str(nanoaod)
    assert (
        "data['Muon_pt']" in error.context["traceback"] or "<python" in error.context["traceback"]
    )


def test_a_callable_that_fails_says_where_in_its_own_text(nanoaod):
    wrong = "MET_ptt"

    def run_query(events):
        names = [wrong]
        return events[names]

    error = error_of(lambda: ask(run_query, sx.dataset(nanoaod)).compute(), "SX108")
    assert "fails on line 3" in error.problem
    assert error.problem.splitlines()[1].strip() == "return events[names]"
    assert (error.context["entry_start"], error.context["tree"]) == (0, "Events")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("return None", "returns nothing (None)"),
        ("return 3", "returns an int"),
        ("return 'text'", "returns a str"),
        ("return {}", "a dict without any array"),
        ("return {1: [2]}", "the key 1"),
        ("return {'a': [1], 'b': None}", "nothing (None) as 'b'"),
        ("return [object()]", "a list that is no array"),
        ("import numpy as np; return np.float32(3)", "returns a float32"),
        ("import awkward as ak; return ak.Array([{'a': 1}])[0]", "returns a Record"),
        ("import dask; return dask.delayed(1)", "returns a Delayed"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("return run_query(path)", "RecursionError"),
        ("import nosuchmodule", "ModuleNotFoundError"),
        ("open('/no/such/file')", "FileNotFoundError"),
        ("raise ValueError('x' * 100_000)", "ValueError: xxx"),
        ("raise ValueError('one\\ntwo')", "ValueError: one\n"),
        ("return undefined", "NameError"),
    ],
)
def test_what_cannot_be_a_result_is_the_users_fault(nanoaod, body, says):
    query = ask(f"def run_query(path):\n    {body}", sx.dataset(nanoaod))
    error = error_of(lambda: query.compute(scheduler="sync"), "SX108")
    assert says in error.problem
    assert error.fault == "user"


def test_text_that_fails_outside_the_function_says_where(nanoaod):
    text = "import math\nlimit = math.sqrt(-1)\ndef run_query(path): return [limit]\n"
    error = error_of(lambda: ask(text, sx.dataset(nanoaod)).compute(), "SX108")
    assert "fails on line 2" in error.problem


def test_a_branch_that_is_not_there_is_the_functions_own_failure(nanoaod):
    text = "def run_query(events):\n    return events.MET_ptt"
    error = error_of(lambda: ask(text, sx.dataset(nanoaod)).compute(), "SX108")
    assert "MET_ptt" in error.problem


def test_a_network_failure_in_the_function_is_tried_again(nanoaod, tmp_path):
    mark = tmp_path / "tries"
    text = f"""
def run_query(path):
    with open({str(mark)!r}, "a+") as file:
        file.write("x")
        file.seek(0)
        tries = len(file.read())
    if tries < 3:
        raise ConnectionResetError("gone")
    return [1]
"""
    assert ask(text, sx.dataset(nanoaod)).compute(scheduler="sync").to_list() == [1]


def test_damage_in_the_file_is_not_the_functions_fault(nanoaod, tmp_path):
    path = tmp_path / "copy.root"
    shutil.copy(nanoaod, path)
    query = ask("def run_query(events): return events.MET_pt", sx.dataset(path))
    (table,) = query._compiled.tables
    seek = int(table.pieces[0].baskets["MET_pt"].seek[0])
    with path.open("r+b") as file:
        file.seek(seek + 120)
        file.write(b"\xff" * 200)
    error = error_of(lambda: query.compute(scheduler="sync"), "SX302", "SX303")
    assert error.fault == "data"


def test_a_changed_file_is_noticed_even_if_no_column_is_read(make_nanoaod):
    path = make_nanoaod(100)
    query = ask("def run_query(events): return [len(events)]", sx.dataset(path))
    assert query.compute(scheduler="sync").to_list() == [100]
    make_nanoaod(200, seed=5)
    error_of(lambda: query.compute(scheduler="sync"), "SX303")
    assert query.compute(scheduler="sync").to_list() == [200]


def test_a_function_result_cannot_be_selected_from(data):
    query = ask(good_muons, data)
    for call in (
        lambda: query.where("nMuon > 1"),
        lambda: query.select("pt"),
        lambda: query.schema,
        lambda: query.fill(x={"column": "pt", "bins": 1, "start": 0, "stop": 1}),
    ):
        assert "Python function" in error_of(call, "SX100").problem


def test_switched_off_it_is_refused_also_for_plans_from_elsewhere(nanoaod):
    query = ask(PER_FILE, sx.dataset(nanoaod))
    off = sx.dataset(nanoaod, settings=replace(load_settings(), allow_python=False))
    error_of(lambda: ask(PER_FILE, off), "SX100")
    assert "switched off" in error_of(lambda: query.over(off).compute(), "SX100").problem


def test_what_a_function_prints_changes_nothing(nanoaod, capfd):
    text = "def run_query(path):\n    print('a line')\n    return [1]"
    assert ask(text, sx.dataset(nanoaod)).compute(scheduler="sync").to_list() == [1]
    assert capfd.readouterr().out == "a line\n"
