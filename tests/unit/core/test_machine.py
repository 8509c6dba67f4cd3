"""Cores and memory within the limits of a container."""

from __future__ import annotations

import os

import pytest

from sxdask.core.machine import memory_limit, num_cores


def write(root, files):
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "files",
    [
        {"cpu.max": "50000 100000\n"},
        {"cpu/cpu.cfs_quota_us": "50000\n", "cpu/cpu.cfs_period_us": "100000\n"},
    ],
    ids=["version 2", "version 1"],
)
def test_the_quota_of_a_control_group_limits_the_cores(tmp_path, files):
    assert num_cores(write(tmp_path, files)) == 0.5


@pytest.mark.parametrize(
    "files",
    [{}, {"cpu.max": "max 100000\n"}, {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "1"}],
)
def test_without_a_quota_the_affinity_counts(tmp_path, files):
    assert num_cores(write(tmp_path, files)) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("name", ["memory.max", "memory/memory.limit_in_bytes"])
def test_the_memory_of_a_control_group_is_the_limit(tmp_path, name):
    assert memory_limit(write(tmp_path, {name: "1000000\n"})) == (1_000_000, "control group")


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n"])
def test_without_a_limit_the_machine_counts(tmp_path, text):
    limit, owner = memory_limit(write(tmp_path, {"memory.max": text}))
    assert owner == "machine"
    assert limit == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
