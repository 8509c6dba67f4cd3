"""Damaged, changed and missing files through the public API: a clear error or uproot's rows."""

from __future__ import annotations

import os
import pickle
import random
import subprocess
import sys
import textwrap
from dataclasses import replace
from typing import Any

import awkward as ak
import numpy as np
import pytest
import uproot

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.settings import load_settings
from sxdask.testing import write_nanoaod
from tests.watchdog import within

COLUMNS = ["event", "Muon_pt", "MET_pt", "HLT_IsoMu24"]
COMPRESSIONS = ["none", "zlib", "lz4", "lzma", "zstd"]
CHECKSUMMED = ["zlib", "lz4", "lzma"]


@pytest.fixture(autouse=True)
def watchdog():
    with within(120):
        yield


@pytest.fixture(scope="module")
def client():
    with LocalBackend(2, threads_per_worker=1) as client:
        yield client


@pytest.fixture(params=["sync", "threads", "cluster"])
def where_to_run(request):
    if request.param == "cluster":
        return {"client": request.getfixturevalue("client")}
    return {"scheduler": request.param}


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    folder = tmp_path_factory.mktemp("originals")
    return {
        name: write_nanoaod(
            folder / f"{name}.root", 1_200, entries_per_cluster=400, compression=name
        )
        for name in COMPRESSIONS
    }


@pytest.fixture
def copy_of(originals, tmp_path):
    """Return a function that gives a file of its own with the bytes of an original."""

    def copy(name="zlib", number=0):
        path = tmp_path / f"{name}{number}.root"
        path.write_bytes(originals[name].read_bytes())
        return path

    return copy


def asked(path):
    return sx.dataset(path, "Events").where("nMuon >= 1").select(*COLUMNS)


def as_uproot_reads(path):
    with uproot.open(path, object_cache=None, array_cache=None) as file:
        raw = file["Events"].arrays([*COLUMNS, "nMuon"])
    return raw[raw.nMuon >= 1][COLUMNS]


def error_of(call, *codes):
    """Return the error of ours that `call` raises; it is readable and travels."""
    with pytest.raises(sx.SxdaskError) as caught:
        call()
    error = caught.value
    assert error.code in codes, str(error)
    first, *rest = error.problem.splitlines()
    assert 10 < len(first) < 400
    assert len(rest) in {0, 2}  # or the text of the selection and a caret
    assert "Traceback" not in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
    return error


def rows_or_error(path, make_query):
    """Return the error, or check that the rows are those that uproot reads."""
    error, found = None, None
    try:
        found = make_query().compute(scheduler="sync")
    except sx.SxdaskError as caught:
        error = caught
    if error is None:
        assert ak.array_equal(found, as_uproot_reads(path), equal_nan=True)
        return None
    assert error.fault in {"data", "user"}, str(error)
    assert str(path) in str(error) or error.context.get("branch")
    return error


def dice():
    return random.Random(5)  # noqa: S311 (places to damage, no secrets)


def overwrite(path, at, data, *, keep_time):
    state = path.stat()
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)
    if keep_time:
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


def baskets_of(path, name):
    with uproot.open(path) as file:
        branch = file["Events"][name]
        count = branch.num_baskets
        places = branch.member("fBasketSeek")[:count], branch.member("fBasketBytes")[:count]
        key_lengths = [branch.basket(n).member("fKeylen") for n in range(count)]
        return list(zip(*(part.tolist() for part in places), key_lengths, strict=True))


# --- truncated ---------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, 1, 50, 99, 300, 0.1, 0.5, 0.9, -1])
def test_a_truncated_file_says_so(copy_of, share):
    path = copy_of()
    size = path.stat().st_size
    os.truncate(path, share % size if isinstance(share, int) else int(share * size))
    error = error_of(lambda: asked(path), "SX203", "SX301")
    assert str(path) in error.problem
    assert "copy the file again" in error.hint or "ROOT has written" in error.hint


@pytest.mark.parametrize("share", [0, 90, 0.3, 0.9])
def test_a_file_truncated_after_indexing_gives_no_rows(copy_of, share, where_to_run):
    path = copy_of()
    query = asked(path)
    query.explain()
    size = path.stat().st_size
    os.truncate(path, share if isinstance(share, int) else int(share * size))
    error = error_of(lambda: query.compute(**where_to_run), "SX303", "SX301")
    assert str(path) in error.problem
    assert error.hint
    error_of(lambda: asked(path), "SX203", "SX301")


def test_a_file_that_was_never_filled_to_its_end_is_damaged(copy_of):
    """As after a copy that reserved the space and was cut off: right size, zeros at the end."""
    path = copy_of()
    size = path.stat().st_size
    overwrite(path, size // 2, bytes(size - size // 2), keep_time=False)
    error = error_of(lambda: asked(path).compute(), "SX302")
    assert "basket of entries" in error.problem


# --- flipped -----------------------------------------------------------------------------


@pytest.mark.parametrize("compression", CHECKSUMMED)
def test_a_flipped_bit_under_a_checksum_names_file_tree_branch_and_entries(
    copy_of, compression, where_to_run
):
    path = copy_of(compression)
    query = asked(path)
    good = query.compute(scheduler="sync")
    seek, size, key = baskets_of(path, "event")[1]
    at = seek + (key + 9 + size) // 2 + 20
    overwrite(path, at, bytes([path.read_bytes()[at] ^ 4]), keep_time=True)
    error = error_of(lambda: query.compute(**where_to_run), "SX302")
    for part in (str(path), "'Events'", "'event'", "entries 400 to 800"):
        assert part in error.problem
    assert error.context["branch"] == "event"
    assert "copy the file again" in error.hint
    rest = sx.dataset(path, "Events").where("nMuon >= 1")
    assert ak.array_equal(rest.select("MET_pt").compute().MET_pt, good.MET_pt)


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_flipped_bytes_in_baskets_give_an_error_or_what_uproot_reads(copy_of, compression):
    """Where there is no checksum, a changed value is the value that the file has."""
    path = copy_of(compression)
    data = path.read_bytes()
    query = asked(path)
    query.explain()
    places = [place for name in COLUMNS for place in baskets_of(path, name)]
    errors, rng = [], dice()
    for number in range(40):
        seek, size, key = rng.choice(places)
        at = seek + rng.randrange(size if number % 2 else key + 12)
        flipped = data[at] ^ (1 << rng.randrange(8))
        overwrite(path, at, bytes([flipped]), keep_time=True)
        errors.append(rows_or_error(path, lambda: query))
        overwrite(path, at, data[at : at + 1], keep_time=True)
    assert {error.code for error in errors if error} == {"SX302"}
    assert rows_or_error(path, lambda: query) is None


def test_flipped_bytes_in_header_and_tree_give_an_error_or_what_uproot_reads(copy_of):
    path = copy_of()
    data = path.read_bytes()
    with uproot.open(path) as file:
        key = file.key("Events")
        tree = range(key.fSeekKey, key.fSeekKey + key.fNbytes)
    found, rng = set(), dice()
    # 158: a directory whose list of keys seems to lie before the file
    for number, at in enumerate([158, *rng.sample(range(300), 30), *rng.sample(tree, 40)]):
        damaged = path.with_name(f"damaged{number}.root")
        damaged.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
        error = rows_or_error(damaged, lambda damaged=damaged: asked(damaged))
        found.add(error.code if error else "")
    assert {"", "SX203", "SX301"} <= found


# --- changed and removed -----------------------------------------------------------------


def flat_file(path, factor, count=3_000):
    """Write a file whose size depends on `count` alone."""
    with uproot.recreate(path, compression=None) as file:
        tree = file.mktree("Events", {"x": "float32", "n": "int32"})
        for start in range(0, count, 1_000):
            x = factor * np.arange(start, start + 1_000, dtype=np.float32)
            tree.extend({"x": x, "n": np.full(1_000, factor, np.int32)})
    return path


@pytest.mark.parametrize("keep_time", [False, True], ids=["new time", "time kept"])
@pytest.mark.parametrize("count", [3_000, 5_000])
def test_a_replaced_file_never_gives_rows_of_both(tmp_path, count, keep_time, where_to_run):
    path, other = flat_file(tmp_path / "a.root", 1), flat_file(tmp_path / "b.root", 2, count)
    assert (other.stat().st_size == path.stat().st_size) == (count == 3_000)
    query = sx.dataset(path, "Events").where("x >= 0").select("x", "n")
    assert set(query.compute(scheduler="sync").n.to_list()) == {1}
    state = path.stat()
    other.replace(path)
    if keep_time:
        os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    error = error_of(lambda: query.compute(**where_to_run), "SX303")
    assert str(path) in error.problem
    assert "run again" in error.hint
    wanted = uproot.open(path)["Events"].arrays(["x", "n"])
    assert set(wanted.n.to_list()) == {2}
    assert ak.array_equal(query.compute(**where_to_run), wanted)
    anew = sx.dataset(path, "Events").where("x >= 0").select("x", "n")
    assert ak.array_equal(anew.compute(**where_to_run), wanted)


@pytest.mark.parametrize("way", ["stream", "deliver"])
def test_every_way_to_run_renews_the_index_of_a_replaced_file(tmp_path, way):
    path, other = flat_file(tmp_path / "a.root", 1), flat_file(tmp_path / "b.root", 2)
    query = sx.dataset(path, "Events").select("n")
    query.explain()
    state = path.stat()
    other.replace(path)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    run = (
        (lambda: list(query.stream())) if way == "stream" else lambda: query.deliver(tmp_path / "o")
    )
    error_of(run, "SX303")
    run()
    assert set(query.compute().n.to_list()) == {2}


def test_a_file_that_was_only_touched_reads_as_before(copy_of, where_to_run):
    path = copy_of()
    query = asked(path)
    query.compute(scheduler="sync")
    os.utime(path)
    error_of(lambda: query.compute(**where_to_run), "SX303")
    assert ak.array_equal(asked(path).compute(**where_to_run), as_uproot_reads(path))


def test_a_file_that_is_removed_during_the_run_is_named(copy_of, where_to_run):
    paths = [copy_of("zlib", number) for number in range(8)]
    small = replace(load_settings(), partition_bytes=1)
    query = sx.dataset(paths, "Events", settings=small).select("event", "MET_pt")
    stream = query.stream(ordered=True, **where_to_run)
    first = next(stream)
    paths[-1].unlink()
    wanted = uproot.open(paths[0])["Events"].arrays(["event", "MET_pt"], entry_stop=400)
    assert ak.array_equal(ak.from_arrow(first.table), wanted)
    error = error_of(lambda: list(stream), "SX201")
    assert str(paths[-1]) in error.problem
    assert error.hint


def test_a_delivery_that_meets_damage_publishes_nothing(copy_of, tmp_path, where_to_run):
    paths = [copy_of("zlib", number) for number in range(3)]
    query = asked(paths)
    query.explain()
    seek, size, _ = baskets_of(paths[1], "Muon_pt")[2]
    overwrite(paths[1], seek + size // 2, bytes(8), keep_time=True)
    error = error_of(lambda: query.deliver(tmp_path / "out", **where_to_run), "SX302", "SX403")
    assert str(paths[1]) in str(error)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []


# --- not what it should be ---------------------------------------------------------------


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
