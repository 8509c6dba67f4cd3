"""The result cache stays below its limit and keeps what a delivery counts on."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from sxdask.core.settings import Settings
from sxdask.deliver.cache import FULL, ResultCache, cache_of, open_cache, request_name
from sxdask.deliver.cache_upkeep import (
    FACTS,
    USAGE,
    account,
    end_lease,
    leased_requests,
    limit_of,
    objects_of,
    prune,
    read_json,
    requests_of,
    write_json,
    write_lease,
)
from sxdask.deliver.store import open_store

A, B, C = ("a" * 32, "b" * 32, "c" * 32)
HOUR = 3600.0


@pytest.fixture(params=["folder", "memory"])
def cache(request, tmp_path) -> ResultCache:
    """Return an empty cache in a folder, and one in an fsspec storage."""
    url = str(tmp_path / "results")
    if request.param == "memory":
        url = f"memory://cache-{time.time_ns()}"
    return ResultCache(open_store(url), limit=1_000)


def fill(cache: ResultCache, request: str, count: int = 1, *, size: int = 100, age: float = 0.0):
    """Store `count` objects of a request that was last used `age` seconds ago."""
    for number in range(count):
        name = f"{request}/{number:032x}.arrow"
        assert cache.keep(name, bytes(size))
        set_age(cache, name, age)
    facts = {"title": f"request {request[0]}", "fingerprint": request, "used": time.time() - age}
    write_json(cache, f"{request}/{FACTS}", facts)


def set_age(cache: ResultCache, name: str, age: float) -> None:
    root = getattr(cache.store, "root", None)
    if root is not None:
        os.utime(root / name, (time.time() - age, time.time() - age))
        return
    filesystem, place = cache.store.connection  # type: ignore[attr-defined]
    from datetime import UTC, datetime, timedelta

    filesystem.store[f"{place}/{name}"].created = datetime.now(UTC) - timedelta(seconds=age)
    filesystem.store[f"{place}/{name}"].modified = datetime.now(UTC) - timedelta(seconds=age)


def left(cache: ResultCache) -> dict[str, int]:
    found: dict[str, int] = {}
    for item in objects_of(cache):
        found[item.request] = found.get(item.request, 0) + 1
    return found


def test_what_was_not_used_for_longest_is_removed_first(cache):
    fill(cache, A, 3, age=3 * HOUR)
    fill(cache, B, 3, age=1 * HOUR)
    fill(cache, C, 3, age=2 * HOUR)
    removed = prune(cache, max_bytes=600)
    assert (removed.objects, removed.bytes, removed.leased) == (3, 300, 0)
    assert left(cache) == {B: 3, C: 3}


def test_what_a_lease_names_stays(cache):
    fill(cache, A, 2, age=3 * HOUR)
    fill(cache, B, 2)
    write_lease(cache, "delivery", [A], seconds=60)
    assert leased_requests(cache) == {A}
    removed = prune(cache, everything=True)
    assert (removed.objects, removed.leased) == (2, 2)
    assert left(cache) == {A: 2}
    end_lease(cache, "delivery")
    prune(cache, everything=True)
    assert left(cache) == {}


def test_a_lease_that_ran_out_counts_no_more(cache):
    fill(cache, A)
    write_lease(cache, "delivery", [A], seconds=-1)
    assert leased_requests(cache) == set()
    assert read_json(cache, "leases/delivery.json") == {}


def test_pruning_by_age_by_request_and_without_effect(cache):
    fill(cache, A, age=3 * HOUR)
    fill(cache, B)
    assert prune(cache, older_than_s=2 * HOUR, dry_run=True).objects == 1
    assert left(cache) == {A: 1, B: 1}
    assert prune(cache, request="b").objects == 1
    assert left(cache) == {A: 1}
    assert prune(cache, older_than_s=2 * HOUR).objects == 1
    assert left(cache) == {}
    assert read_json(cache, f"{A}/{FACTS}") == {}


def test_additions_beyond_the_limit_push_out_the_oldest(cache):
    fill(cache, A, 6, age=HOUR)
    account(cache, 600)
    fill(cache, B, 6)
    account(cache, 600)
    found = left(cache)
    assert sum(found.values()) * 100 <= limit_of(cache, 1_200)
    assert found[B] == 6
    assert found.get(A, 0) < 6
    assert read_json(cache, USAGE)["bytes"] == 100 * sum(found.values())


def test_a_store_full_of_leased_results_takes_no_more_until_it_has_room(cache):
    fill(cache, A, 11)
    write_lease(cache, "delivery", [A], seconds=60)
    account(cache, 1_100)
    assert left(cache) == {A: 11}
    assert cache.store.size(FULL) is not None
    assert not cache.keep(f"{B}/{0:032x}.arrow", b"more")
    end_lease(cache, "delivery")
    account(cache, 0)
    assert cache.store.size(FULL) is None
    assert sum(left(cache).values()) <= 9


def test_the_store_is_not_listed_for_each_run(cache):
    fill(cache, A, 2)
    account(cache, 200)
    looked = read_json(cache, USAGE)["looked"]
    account(cache, 100)
    assert read_json(cache, USAGE) == {"bytes": 300, "looked": looked}


def test_requests_are_told_with_the_last_used_first(cache):
    fill(cache, A, 2, age=HOUR)
    fill(cache, B, 1)
    write_lease(cache, "delivery", [B], seconds=60)
    found = requests_of(cache)
    assert [(item.title, item.objects, item.bytes, item.leased) for item in found] == [
        ("request b", 1, 100, True),
        ("request a", 2, 200, False),
    ]
    assert found[1].age_s == pytest.approx(HOUR, abs=60)


def test_other_files_in_the_folder_are_never_removed(tmp_path):
    cache = ResultCache(open_store(str(tmp_path)), limit=100)
    mine = tmp_path / A / "notes.txt"
    mine.parent.mkdir()
    mine.write_text("mine")
    (tmp_path / "part-00000.arrow").write_text("a delivery")
    fill(cache, A, 2)
    prune(cache, everything=True)
    assert mine.exists()
    assert (tmp_path / "part-00000.arrow").exists()
    assert left(cache) == {}


def test_what_a_killed_process_left_half_written_goes(tmp_path):
    cache = ResultCache(open_store(str(tmp_path)), limit=100)
    fill(cache, A)
    old, new = (tmp_path / A / f"{digit * 32}.arrow.1-2.new" for digit in "de")
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    prune(cache, max_bytes=1_000)
    assert not old.exists()
    assert new.exists()  # somebody may be writing it


def test_a_used_object_is_young_again(tmp_path):
    cache = ResultCache(open_store(str(tmp_path)), limit=1_000)
    fill(cache, A, 2, age=HOUR)
    cache.load(f"{A}/{0:032x}.arrow")
    prune(cache, max_bytes=100)
    assert [item.name for item in objects_of(cache)] == [f"{A}/{0:032x}.arrow"]


def test_a_folder_takes_at_most_a_tenth_of_the_free_disk(tmp_path):
    import shutil

    cache = ResultCache(open_store(str(tmp_path)), limit=2**62)
    free = shutil.disk_usage(tmp_path).free
    assert limit_of(cache, 0) == pytest.approx(free / 10, rel=0.2)
    assert limit_of(ResultCache(cache.store, limit=10), 0) == 10


def test_an_object_larger_than_the_limit_is_not_kept(cache):
    assert not cache.keep(f"{A}/{0:032x}.arrow", bytes(1_001))
    assert left(cache) == {}


def test_damaged_notes_count_as_none(tmp_path):
    cache = ResultCache(open_store(str(tmp_path)), limit=1_000)
    (tmp_path / USAGE).write_text("{half")
    assert read_json(cache, USAGE) == {}
    (tmp_path / USAGE).write_text(json.dumps([1]))
    assert read_json(cache, USAGE) == {}


def test_the_settings_say_where_and_whether(tmp_path):
    settings = Settings(cache_dir=tmp_path)
    found = open_cache(settings)
    assert found is not None
    assert Path(found.location) == tmp_path / "results"
    off = Settings(cache_dir=tmp_path, result_cache_bytes=0)
    assert open_cache(off) is None
    assert cache_of(off).location == found.location


def test_requests_have_names_of_their_own():
    assert request_name("one") == request_name("one")
    assert len({request_name("one"), request_name("two"), request_name("one", "x")}) == 3
