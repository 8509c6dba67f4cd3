"""Objects that are written to a local file while they are encoded."""

from __future__ import annotations

import resource
import signal
from contextlib import contextmanager
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sxdask.core.errors import DeliveryError
from sxdask.deliver import streaming
from sxdask.deliver.format import Rows, StreamedFormat, open_format
from sxdask.deliver.local import LocalStaging, LocalStore
from sxdask.deliver.manifest import checksum
from sxdask.deliver.staging import FolderStaging, StreamStaging

FORMATS = ["arrow", "arrow:none", "parquet", "parquet:none"]


@pytest.fixture
def staging(tmp_path):
    return LocalStaging(LocalStore(tmp_path), "hidden")


def table(rows=40_000):
    random = np.random.default_rng(7)
    return pa.table({f"c{n}": random.random(rows) for n in range(3)})


def streamed(name):
    made: Any = open_format(name)
    assert isinstance(made, StreamedFormat)
    return made


def files(path):
    return [found for found in path.rglob("*") if found.is_file()]


@contextmanager
def no_file_above(size):
    """Let the kernel refuse what a full disk would refuse."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@pytest.mark.parametrize("block", [100, 1 << 20])
@pytest.mark.parametrize("name", FORMATS)
def test_the_file_is_the_encoded_object(name, block, staging, tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "_BLOCK", block)
    made, rows = streamed(name), table()
    attempt, done = staging.stream(f"x{made.suffix}", lambda file: made.write(rows, file))
    (found,) = files(tmp_path)
    data = made.encode(rows).to_pybytes()
    assert attempt in found.name
    assert found.read_bytes() == data
    assert (done.size, done.checksum) == (len(data), checksum(data))


@pytest.mark.parametrize("name", FORMATS)
def test_tables_that_come_one_by_one_are_joined_and_counted(name, staging, tmp_path):
    made, parts = streamed(name), [table(10), table(20)]
    rows = Rows((parts[0].schema,), iter(parts))
    staging.stream("x", lambda file: made.write(rows, file))
    (found,) = files(tmp_path)
    assert made.decode(found.read_bytes()).equals(pa.concat_tables(parts))
    assert rows.num_rows == 30


def test_attempts_at_one_name_do_not_meet(staging, tmp_path):
    made = streamed("arrow")
    attempts = {
        staging.stream("x.arrow", lambda file: made.write(table(10), file))[0] for _ in range(3)
    }
    assert len(attempts) == len(files(tmp_path)) == 3


@pytest.mark.parametrize("name", FORMATS)
def test_an_error_on_the_way_is_told_as_it_is_and_leaves_nothing(name, staging, tmp_path):
    made, large = streamed(name), table(2_000_000)

    def tables():
        yield large
        assert files(tmp_path)[0].stat().st_size > 1 << 20
        raise ConnectionResetError("the source, not the destination")

    rows = Rows((large.schema,), tables())
    with pytest.raises(ConnectionResetError, match="the source"):
        staging.stream("x", lambda file: made.write(rows, file))
    assert files(tmp_path) == []


@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_that_takes_no_more_is_named_and_nothing_stays(name, staging, tmp_path):
    made, rows = streamed(name), table()
    with no_file_above(100_000), pytest.raises(DeliveryError) as caught:
        staging.stream("x.data", lambda file: made.write(rows, file))
    assert str(tmp_path / "hidden") in caught.value.problem
    assert files(tmp_path) == []


def test_only_what_can_be_streamed_says_so(staging, tmp_path):
    names = ("arrow", "parquet", "root-file", "root-rntuple")
    can = [name for name in names if isinstance(open_format(name), StreamedFormat)]
    assert can == ["arrow", "parquet"]
    assert isinstance(staging, StreamStaging)
    assert not isinstance(FolderStaging(LocalStore(tmp_path), ""), StreamStaging)
