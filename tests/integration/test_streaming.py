"""Streams in other hands: coroutines, and tools that take Arrow."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
import time
from dataclasses import replace

import awkward as ak
import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset
import pytest

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.settings import load_settings

# Threads of a stream and of its runner; those that decompress stay for the next read.
OURS = re.compile(r"sxdask-(stream|\d)")


@pytest.fixture
def query(nanoaod_files):
    settings = replace(load_settings(), partition_bytes=1)
    data = sx.dataset(nanoaod_files, "Events", settings=settings)
    return data.where("nMuon > 0").select("event", "MET_pt", "Muon_pt")


@pytest.fixture
def two_outputs(nanoaod_files):
    text = '[{"treename": {"Events": "%s"}, "filter_name": ["%s"]}]'
    parts = ",".join(text[1:-1] % pair for pair in (("met", "MET_pt"), ("jets", "Jet_pt")))
    return sx.request("uproot-raw", f"[{parts}]", dataset=sx.dataset(nanoaod_files))


@pytest.fixture(autouse=True)
def no_thread_is_left():
    yield
    deadline = time.monotonic() + 5
    while left := [item for item in threading.enumerate() if OURS.match(item.name)]:
        assert time.monotonic() < deadline, left
        gc.collect()
        time.sleep(0.02)


def rows_of(query):
    return query.compute(scheduler="sync")


async def collect(stream):
    return [part async for part in stream]


# --- coroutines ---------------------------------------------------------------


@pytest.mark.parametrize("ordered", [False, True])
def test_async_for_gives_every_partition_once(query, ordered):
    parts = asyncio.run(collect(query.stream(ordered=ordered)))
    if ordered:
        assert [part.index for part in parts] == list(range(len(parts)))
    parts.sort(key=lambda part: part.index)
    assert ak.array_equal(ak.concatenate([ak.from_arrow(p.table) for p in parts]), rows_of(query))
    assert len(parts) > 8


def test_the_event_loop_goes_on_while_partitions_are_read(query):
    async def both():
        ticks = 0

        async def tick():
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        parts = await collect(query.stream())
        ticking.cancel()
        return ticks, len(parts)

    ticks, count = asyncio.run(both())
    assert ticks >= count


def test_two_streams_in_one_event_loop(query):
    async def both():
        return await asyncio.gather(collect(query.stream()), collect(query.stream()))

    first, second = asyncio.run(both())
    assert len(first) == len(second) > 8


def test_an_error_reaches_the_coroutine(nanoaod_files):
    query = sx.dataset(nanoaod_files, "Events").select("event", first="Jet_pt[:, 0]")

    async def run():
        async with query.stream() as stream:
            await collect(stream)

    with pytest.raises(sx.SxdaskError):
        asyncio.run(run())


def test_a_cancelled_coroutine_leaves_no_task_on_the_cluster(nanoaod):
    settings = replace(load_settings(), partition_bytes=1)
    query = sx.dataset(nanoaod, "Events", settings=settings).select("Jet_pt")

    async def consume(client, begun):
        async for _ in query.stream(client=client):
            begun.set()
            await asyncio.sleep(0)

    async def cancel(client):
        begun = asyncio.Event()
        task = asyncio.create_task(consume(client, begun))
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(asyncio.all_tasks()) == 1

    def names(dask_scheduler):
        return sorted(map(str, dask_scheduler.tasks))

    with LocalBackend(1, threads_per_worker=1, processes=False) as client:
        asyncio.run(cancel(client))
        deadline = time.monotonic() + 10
        while left := client.run_on_scheduler(names):
            assert time.monotonic() < deadline, left
            gc.collect()
            time.sleep(0.05)


def test_async_with_ends_a_stream_that_was_left_early(query):
    async def run():
        async with query.stream() as stream:
            async for _ in stream:
                break
        return await collect(stream), stream

    rest, stream = asyncio.run(run())
    assert rest == []
    assert 0 < stream.summary.done < stream.summary.partitions


def test_a_stream_that_was_begun_in_a_coroutine_can_be_closed_outside(query):
    async def begin():
        stream = query.stream()
        await anext(stream)
        return stream

    stream = asyncio.run(begin())
    stream.close()
    stream.close()
    assert list(stream) == []


# --- Arrow --------------------------------------------------------------------


def test_the_reader_knows_its_schema_before_anything_is_read(query):
    stream = query.stream(ordered=True)
    reader = stream.reader()
    assert reader.schema.names == ["event", "MET_pt", "Muon_pt"]
    assert stream.summary.done == 0
    table = reader.read_all()
    assert table.schema.equals(reader.schema, check_metadata=True)
    assert ak.array_equal(ak.from_arrow(table), rows_of(query))


def test_a_result_without_rows_has_its_columns(nanoaod):
    query = sx.dataset(nanoaod, "Events").where("MET_pt > 1e9").select("run", "Muon_pt")
    for table in (query.stream().to_table(), query.stream().reader().read_all()):
        assert table.num_rows == 0
        assert str(ak.from_arrow(table).type) == "0 * {run: uint32, Muon_pt: var * float32}"
    assert pl.DataFrame(query.stream()).columns == ["run", "Muon_pt"]


def test_a_table_is_in_the_order_of_the_dataset(query):
    assert ak.array_equal(ak.from_arrow(query.stream().to_table()), rows_of(query))


def test_duckdb_takes_a_stream_by_its_name(query):
    stream = query.stream()
    (found,) = duckdb.sql("select count(*), sum(event), max(len(Muon_pt)) from stream").fetchall()
    rows = rows_of(query)
    assert found == (len(rows), ak.sum(rows.event), ak.max(ak.num(rows.Muon_pt)))
    assert stream.summary.done == stream.summary.partitions


def test_polars_takes_a_stream(query):
    frame = pl.DataFrame(query.stream())
    assert frame["event"].sum() == ak.sum(rows_of(query).event)
    assert frame.schema["Muon_pt"] == pl.List(pl.Float32)


def test_pandas_takes_a_stream(query):
    frame = pd.DataFrame.from_arrow(query.stream(ordered=True))
    assert np.array_equal(frame["MET_pt"].to_numpy(), rows_of(query).MET_pt.to_numpy())


def test_the_dataset_writer_of_pyarrow_takes_a_reader(query, tmp_path):
    stream = query.stream()
    pa.dataset.write_dataset(stream.reader(), tmp_path / "out", format="parquet")
    written = pa.dataset.dataset(tmp_path / "out").to_table()
    assert written.num_rows == stream.summary.rows == len(rows_of(query))


def test_a_reader_that_is_dropped_ends_the_run(query):
    stream = query.stream(memory="1 kB")
    reader = stream.reader()
    reader.read_next_batch()
    del reader
    gc.collect()
    assert list(stream) == []
    assert stream.summary.done < stream.summary.partitions


def test_an_error_reaches_who_reads_batches(nanoaod_files):
    query = sx.dataset(nanoaod_files, "Events").select("event", first="Jet_pt[:, 0]")
    with pytest.raises(sx.SxdaskError):
        query.stream().reader().read_all()


def test_one_output_of_several_is_computed_alone(two_outputs):
    stream = two_outputs.stream()
    assert stream.outputs == ("met", "jets")
    table = stream.reader(output="jets").read_all()
    assert table.column_names == ["Jet_pt"]
    assert stream.summary.partitions == stream.summary.done == 4
    assert two_outputs.stream().to_table("met").column_names == ["MET_pt"]
    assert {part.output for part in two_outputs.stream()} == {"met", "jets"}


@pytest.mark.parametrize(
    ("choose", "problem"),
    [
        (lambda stream: stream.reader(), "several outputs"),
        (lambda stream: stream.reader("muons"), "no output 'muons'"),
        (lambda stream: [next(stream), stream.reader("met")], "begun"),
    ],
)
def test_an_output_that_cannot_be_meant_is_refused(two_outputs, choose, problem):
    with two_outputs.stream() as stream, pytest.raises(sx.SxdaskError, match=problem) as caught:
        choose(stream)
    assert caught.value.code == "SX100"
    assert caught.value.hint


def test_a_function_streams_as_arrow_too(nanoaod_files):
    def run_query(path):
        import uproot

        return uproot.open(path)["Events"].arrays(["MET_pt"])

    query = sx.request("python", run_query, dataset=sx.dataset(nanoaod_files))
    assert query.stream().to_table().num_rows == 10_000


def test_partitions_that_fail_are_left_out_on_request(make_nanoaod):
    paths = [make_nanoaod(200, f"{number}.root", seed=number) for number in range(3)]
    query = sx.dataset(paths, "Events").select("event")
    query.explain()  # indexes all files
    paths[1].unlink()
    stream = query.stream(on_error="skip", cache=False)
    assert sum(part.table.num_rows for part in stream) == 400
    assert (stream.summary.done, stream.summary.failed) == (2, 1)
    with pytest.raises(sx.SxdaskError, match="on_error"):
        query.stream(on_error="ignore")  # type: ignore[arg-type]
