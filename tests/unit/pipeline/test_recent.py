"""A request that is asked again is not lowered again, unless anything has changed."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

import sxdask as sx
from sxdask.graph import lower as lowering
from sxdask.pipeline.compile import compile_plan
from sxdask.testing import write_nanoaod


@pytest.fixture
def file(nanoaod, tmp_path):
    return shutil.copy(nanoaod, tmp_path / "own.root")


@pytest.fixture
def lowered(monkeypatch):
    """Return a list that grows with each output that is lowered."""
    seen, lower = [], lowering.lower

    def counting(output, *args, **options):
        seen.append(output)
        return lower(output, *args, **options)

    monkeypatch.setattr(lowering, "lower", counting)
    return seen


def table(query, **settings):
    source = replace(query.source, settings=replace(query.source.settings, **settings))
    (found,) = compile_plan(query.plan, source).tables
    return found


def asked(file, **settings):
    return table(sx.dataset(file).where("MET_pt > 40").select("Jet_pt"), **settings)


def test_the_same_request_is_lowered_once(file, lowered):
    assert asked(file).pieces is asked(file).pieces
    assert len(lowered) == 1


@pytest.mark.parametrize("change", ["partition_bytes", "max_partition_memory", "threads"])
def test_other_settings_are_another_table(file, lowered, change):
    first, second = asked(file), asked(file, **{change: 100_000})
    assert len(lowered) == 2
    assert (len(first.pieces), first.reader.options) != (len(second.pieces), second.reader.options)


def test_constants_that_are_equal_in_python_are_told_apart(file, lowered):
    kinds = [
        str(table(sx.dataset(file).select(x=text)).reader.form) for text in ("run + 1", "run + 1.0")
    ]
    assert len(lowered) == 2
    assert kinds[0] != kinds[1]


def test_what_reading_has_taught_prunes_the_next_time(file):
    query = sx.dataset(file).where("event < 10").select("MET_pt")
    first = table(query, partition_bytes=1_000)
    assert len(query.compute()) == 9  # they count from 1
    again = table(query, partition_bytes=1_000)
    assert (len(first.pieces), len(first.pruned)) == (5, 0)
    assert (len(again.pieces), len(again.pruned)) == (1, 4)


def test_another_file_in_its_place_is_looked_at(file, lowered):
    assert asked(file).num_entries == 20_000
    write_nanoaod(file, 5_000, entries_per_cluster=1_000)
    assert asked(file).num_entries == 5_000
    assert len(lowered) == 2


def test_tables_that_are_too_large_to_keep_are_lowered_again(file, lowered, monkeypatch):
    monkeypatch.setattr("sxdask.pipeline.recent._MOST_COLUMNS", 12)
    small = [asked(file) for _ in range(2)]
    large = [asked(file, partition_bytes=1_000) for _ in range(2)]
    assert small[0].pieces is small[1].pieces
    assert large[0].pieces is not large[1].pieces
    assert len(lowered) == 3
