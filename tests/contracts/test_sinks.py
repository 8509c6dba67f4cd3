"""What every sink promises. A new sink adds a subclass with two fixtures and no tests."""

from __future__ import annotations

import pickle
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import awkward as ak
import fsspec
import pytest

from sxdask.core.errors import DeliveryError, RequestError
from sxdask.deliver.encode import to_table
from sxdask.deliver.manifest import Failure, Manifest
from sxdask.deliver.sink import SINKS, Delivery, Receipt, Sink
from sxdask.deliver.sinks.files import FilesSink
from sxdask.deliver.sinks.kafka import KafkaSink
from sxdask.deliver.sinks.memory import MemorySink
from sxdask.deliver.tasks import Labels
from tests.readers import numbers, pieces

if TYPE_CHECKING:
    import pyarrow as pa

    from sxdask.deliver.part import Part

LABELS = Labels("f00d")
PARTS = tuple(LABELS.part(piece) for piece in pieces(3))
DELIVERY = Delivery("f00d", "arrow", PARTS, "numbers")
OTHER = Delivery("beef", "arrow", tuple(Labels("beef").part(piece) for piece in pieces(2)))


def table(part: Part) -> pa.Table:
    return LABELS.table(numbers(part.entry_start, part.entry_stop), part)


def write_all(sink: Sink, delivery: Delivery = DELIVERY) -> list[Receipt]:
    sink.begin(delivery)
    return [sink.write(part, table(part)) for part in delivery.parts]


class SinkContract:
    """Subclasses give a fresh sink on the same destination, and what a reader sees there."""

    def sink(self, *, overwrite: bool = False) -> Sink:
        raise NotImplementedError

    def visible(self) -> list[str]:
        """Names of the objects that a reader sees, without suffix, sorted."""
        raise NotImplementedError

    def stored(self) -> ak.Array:
        """The rows that a reader sees, in order."""
        raise NotImplementedError

    def test_nothing_is_visible_before_commit(self) -> None:
        write_all(self.sink())
        assert self.visible() == []

    def test_commit_shows_all_parts_under_their_names(self) -> None:
        sink = self.sink()
        manifest = sink.commit(write_all(sink))
        assert self.visible() == [part.stem for part in PARTS]
        assert self.stored().to_list() == numbers(0, 30).to_list()
        assert (manifest.status, manifest.rows) == ("complete", 30)

    def test_a_receipt_says_what_was_written(self) -> None:
        receipt = write_all(self.sink())[1]
        assert (receipt.part, receipt.rows) == (PARTS[1], 10)
        assert receipt.checksum.startswith("xxh3:")
        assert receipt.bytes > 0

    def test_a_retried_write_is_stored_once(self) -> None:
        sink = self.sink()
        receipts = write_all(sink)
        again = sink.write(PARTS[0], table(PARTS[0]))
        assert again == receipts[0]
        assert again.attempt != receipts[0].attempt
        sink.commit([again, *receipts[1:]])
        assert self.visible() == [part.stem for part in PARTS]
        assert self.stored().to_list() == numbers(0, 30).to_list()

    def test_a_late_duplicate_changes_nothing(self) -> None:
        sink = self.sink()
        sink.commit(write_all(sink))
        with suppress(DeliveryError):  # a sink may refuse it
            sink.write(PARTS[0], table(PARTS[0]).slice(0, 1))
        assert self.visible() == [part.stem for part in PARTS]
        assert self.stored().to_list() == numbers(0, 30).to_list()

    def test_abort_leaves_nothing_and_may_be_repeated(self) -> None:
        sink = self.sink()
        write_all(sink)
        sink.abort()
        sink.abort()
        assert self.visible() == []

    def test_commit_of_an_object_that_was_never_written_fails(self) -> None:
        sink = self.sink()
        receipts = write_all(sink)
        ghost = Receipt(PARTS[0], receipts[0].object, 10, 1, "xxh3:0", "gone")
        with pytest.raises(DeliveryError, match=r"part-00000"):
            sink.commit([ghost, *receipts[1:]])
        sink.abort()
        assert self.visible() == []

    def test_an_equal_delivery_needs_no_writing(self) -> None:
        first = self.sink()
        before = first.commit(write_all(first))
        second = self.sink()
        stored = second.begin(DELIVERY)
        assert sorted(item.object for item in stored) == [item.object for item in before.partitions]
        assert second.commit(stored) == before

    def test_another_delivery_is_refused_unless_it_may_overwrite(self) -> None:
        first = self.sink()
        first.commit(write_all(first))
        with pytest.raises(RequestError, match="another delivery") as caught:
            self.sink().begin(OTHER)
        assert "overwrite=True" in str(caught.value.hint)
        sink = self.sink(overwrite=True)
        receipts = write_all(sink, OTHER)
        assert self.visible() == [part.stem for part in PARTS]
        sink.commit(receipts)
        assert self.visible() == [part.stem for part in OTHER.parts]

    def test_a_grown_delivery_writes_only_what_is_new(self) -> None:
        first = self.sink()
        small = Delivery("f00d", "arrow", PARTS[:2])
        first.commit(write_all(first, small))
        sink = self.sink()
        stored = sink.begin(DELIVERY)
        assert {item.part for item in stored} == set(PARTS[:2])
        sink.commit([*stored, sink.write(PARTS[2], table(PARTS[2]))])
        assert self.stored().to_list() == numbers(0, 30).to_list()

    def test_a_partial_delivery_is_completed_later(self) -> None:
        first = self.sink()
        receipts = write_all(first)
        failure = Failure.of(PARTS[2], DeliveryError("disk full"))
        partial = first.commit(receipts[:2], [failure])
        assert (partial.status, partial.failed[0].code) == ("partial", "SX402")
        sink = self.sink()
        stored = sink.begin(DELIVERY)
        assert {item.part for item in stored} == set(PARTS[:2])
        done = sink.commit([*stored, sink.write(PARTS[2], table(PARTS[2]))])
        assert done.status == "complete"
        assert self.visible() == [part.stem for part in PARTS]

    def test_what_an_interrupted_run_stored_is_accepted_by_its_receipts(self) -> None:
        first = self.sink()
        receipts = write_all(first)[:2]
        first.suspend()
        sink = self.sink()
        assert sorted(item.object for item in sink.begin(DELIVERY, receipts)) == [
            item.object for item in receipts
        ]
        sink.commit([*receipts, sink.write(PARTS[2], table(PARTS[2]))])
        assert self.stored().to_list() == numbers(0, 30).to_list()


class TestMemorySink(SinkContract):
    @pytest.fixture(autouse=True)
    def _destination(self) -> None:
        self.kept = MemorySink()

    def sink(self, *, overwrite: bool = False) -> Sink:
        self.kept.overwrite = overwrite
        return self.kept

    def visible(self) -> list[str]:
        return sorted(self.kept.tables)

    def stored(self) -> ak.Array:
        return ak.concatenate([ak.from_arrow(item) for item in self.kept.tables.values()])

    def test_it_does_not_travel_to_another_process(self) -> None:
        with pytest.raises(RequestError, match="another process"):
            pickle.dumps(self.kept)


class FilesContract(SinkContract):
    """A files sink; `url` is set by a fixture."""

    url: str

    def sink(self, *, overwrite: bool = False) -> Sink:
        return FilesSink(self.url, overwrite=overwrite)

    def visible(self) -> list[str]:
        return sorted(
            name.removesuffix(".arrow") for name in self.names() if name.endswith(".arrow")
        )

    def names(self) -> list[str]:
        """Everything below the destination, relative to it, without what is hidden."""
        return sorted(name for name in self.everything() if not name.startswith(".sxdask"))

    def everything(self) -> list[str]:
        filesystem, root = fsspec.core.url_to_fs(self.url)
        if not filesystem.exists(root):
            return []
        return [
            name.removeprefix(root).lstrip("/") for name in filesystem.find(root, withdirs=False)
        ]

    def stored(self) -> ak.Array:
        return Manifest.load(self.url).to_awkward()

    def put(self, name: str, data: bytes) -> None:
        filesystem, root = fsspec.core.url_to_fs(self.url)
        filesystem.makedirs(root, exist_ok=True)
        filesystem.pipe_file(f"{root}/{name}", data)

    def test_nothing_hidden_is_left_behind(self) -> None:
        sink = self.sink()
        sink.commit(write_all(sink))
        assert self.everything() == self.names()
        assert len(self.names()) == 4
        assert "manifest.json" in self.names()

    def test_abort_leaves_no_file_at_all(self) -> None:
        sink = self.sink()
        write_all(sink)
        assert self.everything() != []
        sink.abort()
        assert self.everything() == []

    def test_foreign_files_are_never_touched(self) -> None:
        self.put("notes.txt", b"mine")
        sink = self.sink()
        write_all(sink)
        sink.abort()
        assert self.everything() == ["notes.txt"]
        sink = self.sink(overwrite=True)
        sink.commit(write_all(sink))
        sink = self.sink(overwrite=True)
        sink.commit(write_all(sink, OTHER))
        assert "notes.txt" in self.names()
        assert len(self.names()) == 4

    def test_a_foreign_manifest_is_refused_and_kept(self) -> None:
        self.put("manifest.json", b'{"name": "a web page"}')
        with pytest.raises(RequestError, match=r"manifest\.json"):
            self.sink(overwrite=True).begin(DELIVERY)
        assert self.everything() == ["manifest.json"]

    def test_a_cut_object_of_a_published_delivery_is_written_again(self) -> None:
        sink = self.sink()
        manifest = sink.commit(write_all(sink))
        self.put(manifest.partitions[1].object, b"cut")
        cut = manifest.partitions[1]
        assert manifest.verify() == [f"{cut.object}: 3 bytes, the manifest says {cut.bytes}"]
        sink = self.sink()
        stored = sink.begin(DELIVERY)
        assert {item.part for item in stored} == {PARTS[0], PARTS[2]}
        manifest = sink.commit([*stored, sink.write(PARTS[1], table(PARTS[1]))])
        assert manifest.verify() == []

    def test_a_worker_writes_with_an_unpickled_copy(self) -> None:
        sink = self.sink()
        sink.begin(DELIVERY)
        copy = pickle.loads(pickle.dumps(sink))
        sink.commit([copy.write(part, table(part)) for part in PARTS])
        assert self.stored().to_list() == numbers(0, 30).to_list()

    def test_outputs_lie_in_folders_of_their_own(self) -> None:
        parts = tuple(
            Labels("f00d", output=name).part(piece) for name in ("a", "b/c") for piece in pieces(1)
        )
        sink = self.sink()
        sink.begin(Delivery("f00d", "arrow", parts))
        manifest = sink.commit([sink.write(part, table(part)) for part in parts])
        assert self.names()[0].startswith("a/part-00000-")
        assert self.names()[1].startswith("b_c-")
        assert manifest.to_awkward("b/c").to_list() == numbers(0, 10).to_list()


class TestLocalDirectory(FilesContract):
    @pytest.fixture(autouse=True)
    def _destination(self, tmp_path: Path) -> None:
        self.url = str(tmp_path / "out")

    def test_a_target_that_is_a_file_is_a_clear_error(self) -> None:
        Path(self.url).write_text("a file")
        sink = self.sink()
        with pytest.raises((RequestError, DeliveryError), match="out"):
            write_all(sink)
        assert Path(self.url).read_text() == "a file"


class TestFileUrl(FilesContract):
    @pytest.fixture(autouse=True)
    def _destination(self, tmp_path: Path) -> None:
        self.url = f"file://{tmp_path}/out [1]"


class TestMemoryFileSystem(FilesContract):
    @pytest.fixture(autouse=True)
    def _destination(self, tmp_path: Path) -> Any:
        self.url = f"memory://{tmp_path.name}/out"
        yield
        filesystem = fsspec.filesystem("memory")
        if filesystem.exists(f"/{tmp_path.name}"):
            filesystem.rm(f"/{tmp_path.name}", recursive=True)


def test_every_registered_sink_can_be_loaded() -> None:
    assert [SINKS.load(name) for name in SINKS.names()] == [FilesSink, KafkaSink, MemorySink]


def test_a_table_without_columns_keeps_its_rows_in_a_directory(tmp_path: Path) -> None:
    sink = FilesSink(str(tmp_path))
    sink.begin(DELIVERY)
    nothing = to_table(ak.Array([{}, {}]))
    manifest = sink.commit([sink.write(part, nothing) for part in PARTS])
    assert manifest.rows == 6
