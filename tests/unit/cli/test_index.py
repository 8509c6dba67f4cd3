"""``sxdask index``: build ahead, show, prune."""

from __future__ import annotations

import json
import os
import time

import pytest

import sxdask as sx


@pytest.fixture
def files(tmp_path, nanoaod_files):
    """Return copies of two generated files, which a test may change."""
    copies = []
    for path in nanoaod_files[:2]:
        copy = tmp_path / path.name
        copy.write_bytes(path.read_bytes())
        copies.append(copy)
    return copies


def test_files_are_indexed_ahead(sxdask, cache, files):
    result = sxdask("index", *files, "--json")
    assert result.exit_code == 0
    report = json.loads(result.stdout)
    assert report["files"] == 2
    assert report["failed"] == 0
    assert report["entries"] == 5_000
    assert report["bytes_in_files"] == sum(path.stat().st_size for path in files)
    assert report["index_bytes"] > 0
    shown = json.loads(sxdask("index", "show", "--json").stdout)
    assert {item["url"] for item in shown} == {str(path) for path in files}
    assert all(item["tree"] == "Events" and item["stale"] is False for item in shown)


def test_build_is_the_same_with_and_without_its_name(sxdask, cache, files):
    assert "2 indexed, 0 failed" in sxdask("index", "build", *files).stdout
    assert "2 indexed, 0 failed" in sxdask("index", files[0].parent / "*.root").stdout
    assert sxdask("index", "--quiet", *files).exit_code == 0


def test_refresh_builds_again(sxdask, cache, files):
    def built() -> list[int]:
        return [path.stat().st_mtime_ns for path in sorted(cache.rglob("*.arrow"))]

    sxdask("index", *files)
    before = built()
    sxdask("index", *files)
    assert built() == before
    sxdask("index", *files, "--refresh")
    assert all(new > old for new, old in zip(built(), before, strict=True))


def test_statistics_let_the_first_request_leave_parts_out(sxdask, cache, files):
    sxdask("index", *files, "--stats")
    assert all(item["zone_bytes"] for item in json.loads(sxdask("index", "show", "--json").stdout))
    query = sx.dataset(files, "Events").where("event <= 100").select("event", "MET_pt")
    assert len(query.compute(scheduler="sync")) == 100
    assert query.summary.files == 1  # the other file cannot hold such an event


def test_the_list_is_a_table(sxdask, cache, files):
    assert sxdask("index", "show").stdout.startswith("0 indexes, 0 B, in ")
    sxdask("index", *files)
    lines = sxdask("index", "show").stdout.splitlines()
    assert lines[0].split()[:4] == ["file", "tree", "entries", "branches"]
    assert len(lines) == 5
    assert lines[-1].startswith("2 indexes, ")


def test_those_of_changed_and_removed_files_are_stale(sxdask, cache, files):
    sxdask("index", *files)
    files[0].unlink()
    os.utime(files[1], ns=(1, 1))
    assert sxdask("index", "show").stdout.count("stale") == 2
    assert sxdask("index", "prune", "--stale").stdout.startswith("removed 2 indexes")
    assert sxdask("index", "show").stdout.startswith("0 indexes")


def test_all_can_be_removed(sxdask, cache, files):
    sxdask("index", *files)
    assert sxdask("index", "prune", "--all").stdout.startswith("removed 2 indexes")
    assert not list(cache.rglob("*.arrow"))


def test_old_ones_can_be_removed(sxdask, cache, files):
    sxdask("index", *files)
    old = sorted(cache.rglob("*.arrow"))
    month_ago = time.time() - 40 * 86_400
    for path in old:
        os.utime(path, (month_ago, month_ago))
    sxdask("index", *files[:1], "--refresh")
    assert sxdask("index", "prune", "--older-than", "30d").stdout.startswith("removed 1 index,")
    (left,) = json.loads(sxdask("index", "show", "--json").stdout)
    assert left["url"] == str(files[0])


def test_the_store_can_be_kept_below_a_size(sxdask, cache, files):
    sxdask("index", *files)
    assert sxdask("index", "prune", "--max-bytes", "1 GB").stdout.startswith("removed 0 indexes")
    assert sxdask("index", "prune", "--max-bytes", "1 kB").stdout.startswith("removed 2 indexes")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "--stale"),
        (["--older-than", "30"], "not a duration"),
        (["--max-bytes", "much"], "not a size"),
    ],
)
def test_pruning_needs_to_know_what(sxdask, cache, args, said):
    result = sxdask("index", "prune", *args)
    assert result.exit_code == 2
    assert said in result.stderr


def test_one_bad_file_does_not_stop_the_others(sxdask, cache, files, tmp_path):
    bad = tmp_path / "bad.root"
    bad.write_bytes(b"root" + bytes(100))
    text = tmp_path / "text.root"
    text.write_text("this is text")
    result = sxdask("index", *files, bad, text, "--json")
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert (report["files"], report["failed"]) == (2, 2)
    assert str(bad) in result.stderr
    assert str(text) in result.stderr
