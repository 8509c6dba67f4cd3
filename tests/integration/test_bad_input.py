"""Damaged, changed and missing files through the public API: a clear error or uproot's rows."""

from __future__ import annotations

import os
import random
from dataclasses import replace

import awkward as ak
import numpy as np
import pytest
import uproot

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.settings import load_settings
from sxdask.deliver.lease import HIDDEN
from sxdask.deliver.local import LocalStore
from sxdask.testing import write_nanoaod
from tests.refusals import error_of
from tests.transforms import wait_until
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
    out = tmp_path / "out"
    assert [name for name in LocalStore(out).names("") if not name.startswith(HIDDEN)] == []
    # Dask cannot stop a task that runs: it notices that it is late, and removes what it staged.
    wait_until(lambda: not out.exists())
