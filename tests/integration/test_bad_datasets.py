"""Names and files that are not what they should be: a clear error at the edge."""

from __future__ import annotations

import shutil
import subprocess
import sys
import textwrap
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

import sxdask as sx
from sxdask.testing import write_nanoaod
from tests.refusals import error_of
from tests.watchdog import within


@pytest.fixture(autouse=True)
def watchdog():
    with within(120):
        yield


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return write_nanoaod(tmp_path_factory.mktemp("original") / "a.root", 1_200)


@pytest.fixture
def copy_of(original, tmp_path):
    """Return a function that gives a file of 1 200 events of its own."""
    return lambda: shutil.copy(original, tmp_path / "zlib0.root")


def asked(path):
    return sx.dataset(path, "Events").where("nMuon >= 1").select("event", "Muon_pt")


def test_what_is_no_root_file_is_named(tmp_path):
    (tmp_path / "empty.root").touch()
    (tmp_path / "text.root").write_text("run,event\n1,2\n" * 100)
    (tmp_path / "short.root").write_bytes(b"root")
    for name, said in [("empty", "is empty"), ("text", "not a ROOT file"), ("short", "not a ROOT")]:
        path = tmp_path / f"{name}.root"
        error = error_of(lambda path=path: asked(path), "SX203")
        assert said in error.problem
        assert str(path) in error.problem
        assert error.hint
    (tmp_path / "folder.root").mkdir()
    assert str(tmp_path / "folder.root") in str(
        error_of(lambda: asked(tmp_path / "folder.root"), "SX202")
    )


def test_a_bad_file_among_good_ones_is_named(copy_of, tmp_path):
    (tmp_path / "text.root").write_text("no events")
    error = error_of(lambda: asked([copy_of(), tmp_path / "text.root"]).compute(), "SX203")
    assert str(tmp_path / "text.root") in error.problem


def test_wrong_and_missing_trees_list_those_that_there_are(tmp_path):
    with uproot.recreate(tmp_path / "histogram.root") as file:
        file["h"] = np.histogram([1.0, 2.0])
    with uproot.recreate(tmp_path / "two.root") as file:
        file["nominal/a"] = {"x": np.arange(3)}
        file["b"] = {"x": np.arange(3)}
    assert "no tree" in error_of(lambda: asked(tmp_path / "histogram.root"), "SX204").problem
    error = error_of(lambda: sx.dataset(tmp_path / "histogram.root").select("x"), "SX204")
    assert error.hint == "leave the file out"
    error = error_of(lambda: sx.dataset(tmp_path / "histogram.root", "h").select("x"), "SX204")
    assert "TH1" in error.problem
    for tree in (None, "a", "B", "nominal"):
        error = error_of(
            lambda tree=tree: sx.dataset(tmp_path / "two.root", tree).select("x"), "SX204"
        )
        assert "'nominal/a', 'b'" in error.hint


def test_a_wrong_branch_has_close_names_and_a_wrong_type_its_place(copy_of, tmp_path):
    error = error_of(lambda: sx.dataset(copy_of(), "Events").select("Muon_ptt"), "SX101")
    assert "'Muon_pt'" in error.hint
    with uproot.recreate(tmp_path / "text.root") as file:
        file["t"] = {"word": ["a", "bb"], "x": np.arange(2)}
    data = sx.dataset(tmp_path / "text.root", "t")
    assert "text" in error_of(lambda: data.where("word > 3"), "SX103").problem
    assert error_of(lambda: data.select(y="word + 1"), "SX103").problem.endswith("^")
    error_of(lambda: data.where("word"), "SX103")
    error_of(lambda: data.where("x"), "SX103")


@pytest.mark.samples
def test_branches_that_cannot_become_arrays_are_refused_by_name(samples):
    data = sx.dataset(samples / "PHYSLITE_example.root", "CollectionTree")
    bad = [field for field in data.schema.fields if field.reason is not None]
    assert bad
    for field in bad[:3]:
        error = error_of(lambda field=field: data.select(field.name), "SX107")
        assert repr(field.name) in error.problem
        error = error_of(lambda field=field: data.where(f"num(get('{field.name}')) > 1"), "SX107")
    good = next(field.name for field in data.schema.fields if field.reason is None)
    assert len(data.select(good).compute()) == data.num_events


OTHER_KINDS: dict[str, dict[str, Any]] = {
    "no x": {},
    "real": {"x": np.arange(4, dtype=np.float64)},
    "text": {"x": ["a", "b", "c", "d"]},
    "lists": {"x": ak.Array([[1.0], [], [2.0], [3.0]])},
}


@pytest.mark.parametrize("kind", OTHER_KINDS)
def test_files_that_disagree_are_found_before_anything_is_read(tmp_path, kind):
    paths = [tmp_path / "first.root", tmp_path / "second.root"]
    for path, extra in zip(
        paths, ({"x": np.arange(4, dtype=np.float32)}, OTHER_KINDS[kind]), strict=True
    ):
        with uproot.recreate(path) as file:
            file["Events"] = {"y": np.arange(4), **extra}
    data = sx.dataset(paths)
    for query in (data.select("x"), data.select(z="sqrt(x)"), data.where("x > 1").select("y")):
        if kind == "real" and list(query.schema) == ["y"]:
            assert query.compute().y.to_list() == [2, 3, 2, 3]
            continue
        error = error_of(query.explain, "SX304")
        assert str(paths[1]) in error.problem
        assert error.hint
    assert data.select("y").compute().y.to_list() == [0, 1, 2, 3] * 2


def test_datasets_without_files_say_what_to_do(copy_of, tmp_path):
    path = copy_of()
    error_of(lambda: sx.dataset(f"{tmp_path}/nothing*.root"), "SX202")
    error_of(lambda: sx.dataset([]), "SX202")
    error_of(lambda: sx.dataset(tmp_path / "zlib9.root"), "SX201")
    error = error_of(lambda: sx.dataset(f"{path}/*.root"), "SX201")
    assert "is no directory" in error.problem
    for count in ("0", "-1", "many", ""):
        error = error_of(
            lambda count=count: sx.dataset(f"{tmp_path}/*.root?files={count}"), "SX100"
        )
        assert "files=" in error.problem
    with pytest.warns(UserWarning, match="named more than once"):
        data = sx.dataset([path, str(path), f"file://{path}"], "Events")
    assert data.num_events == 1_200


def test_what_may_not_be_read_is_an_error_and_not_fewer_rows(copy_of, tmp_path):
    """In a process that has given up the right of root to read everything."""
    (tmp_path / "open").mkdir()
    copy_of().rename(tmp_path / "open" / "a.root")
    (tmp_path / "locked").mkdir()
    copy_of().rename(tmp_path / "locked" / "b.root")
    copy_of().rename(tmp_path / "secret.root")
    script = textwrap.dedent("""
        import sys
        import sxdask as sx
        folder = sys.argv[1]
        for name in ("open", "locked", "**/*.root", "locked/b.root", "secret.root"):
            try:
                print(name, len(sx.dataset(f"{folder}/{name}", "Events").select("event").compute()))
            except sx.SxdaskError as error:
                print(name, error.code, error.context["file"].removeprefix(folder + "/"))
        """)
    # PR_CAPBSET_DROP of CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH; others than root have neither
    drop = "import ctypes, os, sys; [ctypes.CDLL(None).prctl(24, cap, 0, 0, 0) for cap in (1, 2)];"
    run = f"{drop} os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    try:
        (tmp_path / "locked").chmod(0)
        (tmp_path / "secret.root").chmod(0)
        command = [sys.executable, "-c", run, "-c", script, str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    finally:
        (tmp_path / "locked").chmod(0o700)
    assert done.stdout.splitlines() == [
        "open 1200",
        "locked SX205 locked",
        "**/*.root SX205 locked",
        "locked/b.root SX205 locked/b.root",
        "secret.root SX205 secret.root",
    ]
