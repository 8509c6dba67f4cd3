"""Objects that join partitions: one a file, or up to a size; as exact as single partitions."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import awkward as ak
import hist
import numpy as np
import pytest
import uproot

import sxdask as sx
from sxdask.clusters.backends.local import LocalBackend
from sxdask.core.errors import DataError, RequestError
from sxdask.core.events import Event, PartitionDone, ReadReport
from sxdask.deliver.delivery import Options, deliver
from sxdask.deliver.layout import Layout
from sxdask.deliver.manifest import Manifest
from sxdask.deliver.runners.threads import ThreadRunner
from sxdask.deliver.sinks.files import FilesSink
from sxdask.deliver.sinks.memory import MemorySink
from sxdask.deliver.tasks import Labels
from sxdask.deliver.work import Source
from sxdask.testing import write_nanoaod
from tests.readers import NumberReader, expected, numbers, piece, pieces

LABELS = Labels("f00d", metadata={"languages": "native"})
ALL = pieces(12)  # four of ten entries in each of three files
FILES = tuple({item.url: (item.url, item.stamp) for item in ALL}.items())
BY_FILE = Layout("file", tuple(found for _, found in FILES))
BY_SIZE = Layout(50, BY_FILE.files)


@dataclass(frozen=True)
class BrokenReader(NumberReader):
    """Fails on the pieces of one file after the first, as often as there is a file to count it."""

    bad: str = ""

    def read(self, piece):
        if piece.url == self.bad and piece.entry_start:
            raise DataError("this basket is broken")
        return super().read(piece)


def source(found=ALL, *, log=None, pruned=(), bad=""):
    return Source(BrokenReader(log, bad), found, LABELS, pruned, entry_bytes=1.0)


def run(target, layout, sources, **options):
    events: list[Event] = []
    manifest = deliver(
        sources,
        target,
        Options(runner=ThreadRunner(2), on_event=events.append, retries=0, **options),
        layout=layout,
    )
    return manifest, events


def reads(log):
    return len(list(log.iterdir()))


@pytest.mark.parametrize("format_name", ["arrow", "parquet", "root-file", "root-rntuple"])
@pytest.mark.parametrize(("layout", "objects"), [(BY_FILE, 3), (BY_SIZE, 3), (Layout(), 12)])
def test_every_layout_has_the_same_rows_in_every_format(tmp_path, format_name, layout, objects):
    labels = Labels("f00d", format_name)
    sink = FilesSink(str(tmp_path), format_name=format_name)
    found = Source(NumberReader(), ALL, labels, entry_bytes=1.0)
    manifest, events = run(sink, layout, [found])
    assert len(manifest.partitions) == len(manifest.files) == objects
    assert manifest.verify() == []
    assert manifest.to_awkward().to_list() == expected(ALL).to_list()
    assert manifest.dataset().count_rows() == manifest.rows == 120
    assert Manifest.load(str(tmp_path)) == manifest
    done = [event for event in events if isinstance(event, PartitionDone)]
    assert sum(event.rows for event in done) == 120
    assert sum(event.last_of_file for event in done) == 3
    assert sum((event.report for event in done), ReadReport()).entries_in == 120


def test_an_object_says_which_entries_it_covers(tmp_path):
    manifest, _ = run(FilesSink(str(tmp_path / "file")), BY_FILE, [source()])
    first = manifest.partitions[0]
    assert (first.file, first.entry_start, first.entry_stop, first.rows) == (
        "/data/0.root",
        0,
        40,
        40,
    )
    assert first.object.startswith("part-00000-0-")
    assert [(item.file, item.rows) for item in first.members] == [("/data/0.root", 40)]
    manifest, _ = run(FilesSink(str(tmp_path / "size")), BY_SIZE, [source()])
    spans = [
        [(item.file[-6:], item.entry_start, item.entry_stop, item.rows) for item in entry.members]
        for entry in manifest.partitions
    ]
    assert spans[0] == [("0.root", 0, 40, 40), ("1.root", 0, 10, 10)]
    assert spans[1] == [("1.root", 10, 40, 30), ("2.root", 0, 20, 20)]
    assert (manifest.partitions[0].file, manifest.partitions[0].entry_stop) == ("", 50)


@pytest.mark.parametrize("layout", [BY_FILE, BY_SIZE])
def test_a_second_delivery_computes_nothing(tmp_path, layout):
    log = tmp_path / "log"
    log.mkdir()
    first, _ = run(FilesSink(str(tmp_path / "out")), layout, [source(log=log)])
    again, events = run(FilesSink(str(tmp_path / "out")), layout, [source(log=log)])
    assert again == first
    assert [item.rows for item in again.partitions[0].members] == [
        item.rows for item in first.partitions[0].members
    ]
    assert reads(log) == 12
    assert sum(event.rows for event in events if isinstance(event, PartitionDone)) == 120


@pytest.mark.parametrize(("merge", "read_again"), [("file", 4), (50, 7)])
def test_a_dataset_that_grows_computes_the_objects_that_changed(tmp_path, merge, read_again):
    log = tmp_path / "log"
    log.mkdir()
    small = Layout(merge, BY_FILE.files[:2])
    run(FilesSink(str(tmp_path / "out")), small, [source(ALL[:8], log=log)])
    assert reads(log) == 8
    large = Layout(merge, BY_FILE.files)
    manifest, _ = run(FilesSink(str(tmp_path / "out")), large, [source(log=log)])
    assert reads(log) - 8 == read_again
    assert manifest.to_awkward().to_list() == expected(ALL).to_list()
    names = {path.name for path in (tmp_path / "out").iterdir()} - {"manifest.json"}
    assert names == {entry.object for entry in manifest.partitions}
    assert manifest.verify() == []


def test_another_layout_of_the_same_rows_is_another_delivery(tmp_path):
    run(FilesSink(str(tmp_path)), BY_FILE, [source()])
    for layout in (Layout(), BY_SIZE):
        with pytest.raises(RequestError, match="another delivery"):
            run(FilesSink(str(tmp_path)), layout, [source()])
    manifest, _ = run(FilesSink(str(tmp_path), overwrite=True), Layout(), [source()])
    assert len(list(tmp_path.glob("*.arrow"))) == len(manifest.partitions) == 12


def test_what_is_known_of_the_files_changes_no_object(tmp_path):
    first, _ = run(FilesSink(str(tmp_path / "a")), BY_FILE, [source()])
    kept, pruned = [item for item in ALL if item.entry_start], [p for p in ALL if not p.entry_start]
    for layout in (BY_FILE, BY_SIZE):
        whole, _ = run(FilesSink(str(tmp_path / f"b{layout.merge}")), layout, [source()])
        less, _ = run(
            FilesSink(str(tmp_path / f"c{layout.merge}")), layout, [source(kept, pruned=pruned)]
        )
        assert [item.object for item in less.partitions] == [
            item.object for item in whole.partitions
        ]
        assert less.rows == 90
    assert first.rows == 120


def test_partitions_keep_their_names_when_some_prove_to_be_empty(tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    run(FilesSink(str(tmp_path / "out")), Layout(), [source(log=log)])
    kept = [replace(item, index=n) for n, item in enumerate(ALL[2:6])]
    pruned = [replace(item, index=0) for item in ALL[:2]]
    pruned += [replace(item, index=4) for item in ALL[6:]]
    manifest, _ = run(
        FilesSink(str(tmp_path / "out")), Layout(), [source(kept, log=log, pruned=pruned)]
    )
    assert reads(log) == 12
    assert [entry.index for entry in manifest.partitions] == [2, 3, 4, 5]
    assert manifest.to_awkward().to_list() == expected(ALL[2:6]).to_list()
    assert len(list((tmp_path / "out").glob("*.arrow"))) == 4


@pytest.mark.parametrize("merge", [None, "file"])
def test_a_request_whose_statistics_are_known_by_now_is_the_same_delivery(
    tmp_path, monkeypatch, merge
):
    monkeypatch.setenv("SXDASK_PARTITION_BYTES", "20000")
    path = write_nanoaod(tmp_path / "a.root", 3_000, entries_per_cluster=300)

    def again():
        data = sx.dataset([str(path)])
        query = data.where("event <= 700").select("event", "MET_pt")
        return query.deliver(tmp_path / "out", merge=merge, scheduler="threads"), query.summary

    first, _ = again()
    second, cost = again()
    assert (first.rows, second.rows, cost.report.bytes_read) == (700, 700, 0)
    assert {entry.object for entry in second.partitions} <= {e.object for e in first.partitions}
    assert second.to_awkward().event.to_list() == list(range(1, 701))
    assert second.verify() == []


@pytest.mark.parametrize("format_name", ["root-file", "parquet"])
def test_a_cluster_joins_partitions_too(two_trees, tmp_path, format_name):
    query = trees(two_trees)
    with LocalBackend(2, threads_per_worker=1) as client:
        manifest = query.deliver(tmp_path / "out", format_name, merge="file", client=client)
    assert (len(manifest.partitions), manifest.rows, manifest.verify()) == (3, 190, [])


def test_a_file_that_nothing_is_read_of_has_an_object_too(tmp_path):
    found = source(ALL[4:8], pruned=ALL[:4])
    manifest, _ = run(FilesSink(str(tmp_path)), BY_FILE, [found])
    assert [entry.rows for entry in manifest.partitions] == [0, 40, 0]
    assert manifest.partitions[0].entry_stop == 40
    assert manifest.to_awkward().to_list() == expected(ALL[4:8]).to_list()


def test_a_broken_file_is_left_out_as_a_whole_and_completed_later(tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    bad = source(log=log, bad="/data/1.root")
    partial, _ = run(FilesSink(str(tmp_path / "out")), BY_FILE, [bad], on_error="skip")
    assert (partial.status, len(partial.partitions), partial.failed[0].file) == (
        "partial",
        2,
        "/data/1.root",
    )
    before = reads(log)
    done, _ = run(FilesSink(str(tmp_path / "out")), BY_FILE, [source(log=log)])
    assert (done.status, reads(log) - before) == ("complete", 4)
    assert done.to_awkward().to_list() == expected(ALL).to_list()


def test_an_interrupted_delivery_goes_on_where_it_was(tmp_path):
    log = tmp_path / "log"
    log.mkdir()
    options = {"ledger_dir": tmp_path / "cache", "keep": True}
    with pytest.raises(DataError):
        run(
            FilesSink(str(tmp_path / "out")),
            BY_FILE,
            [source(log=log, bad="/data/2.root")],
            **options,
        )
    before = reads(log)
    manifest, _ = run(FilesSink(str(tmp_path / "out")), BY_FILE, [source(log=log)], **options)
    assert reads(log) - before < 12
    assert manifest.to_awkward().to_list() == expected(ALL).to_list()
    assert [item.rows for entry in manifest.partitions for item in entry.members] == [40, 40, 40]


def test_sources_of_one_output_follow_each_other_in_memory_too():
    sources = [source(ALL[:4]), source(ALL[4:8])]
    sink = MemorySink()
    manifest, _ = run(sink, Layout(1000, BY_FILE.files), sources)
    (table,) = sink.tables.values()
    assert ak.from_arrow(table).n.to_list() == numbers(0, 40).n.to_list() * 2
    assert [len(entry.members) for entry in manifest.partitions] == [2]


def test_a_piece_of_unknown_size_counts_as_its_file(tmp_path):
    found = Source(NumberReader(), [piece(0, 0, 10), piece(1, 10, 20)], LABELS)
    layout = Layout(1000, ((ALL[0].url, ALL[0].stamp),))
    manifest, _ = run(FilesSink(str(tmp_path)), layout, [found])
    assert len(manifest.partitions) == 2


# --- requests over real files -----------------------------------------------


@pytest.fixture(scope="module")
def two_trees(tmp_path_factory):
    """Three files with a tree A, histograms and a note; the second one has no tree B."""
    folder = tmp_path_factory.mktemp("trees")
    files = []
    for number in range(3):
        dice = np.random.default_rng(number)
        path = folder / f"run {number}.root"
        with uproot.recreate(path) as file:
            for tree, rows in (("A", 50), ("dir/B", 20)):
                if (tree, number) == ("dir/B", 1):
                    continue
                lists = ak.unflatten(dice.random(2 * rows).astype(np.float32), np.full(rows, 2))
                made = file.mktree(tree, {"x": "float64", "l": "var * float32"})
                made.extend({"x": dice.random(rows), "l": lists})
            weights = hist.Hist.new.Reg(10, 0, 1, name="x").Weight()
            file["cuts/h"] = weights.fill(dice.random(100), weight=dice.random(100))
            file["h2"] = hist.Hist.new.Reg(4, 0, 1).Reg(3, 0, 1).Double().fill([0.1], [number])
            file[f"note {number}"] = "hello"
        files.append(str(path))
    return files


def trees(files, *queries):
    both = {"treename": {"A": "a", "dir/B": "b"}, "filter_name": ["x", "l"]}
    text = json.dumps([both, *queries])
    return sx.request("uproot-raw", text, dataset=sx.dataset(files))


@pytest.mark.parametrize("format_name", ["arrow", "parquet", "root-file", "root-rntuple"])
def test_all_trees_of_a_file_are_in_its_object(two_trees, tmp_path, format_name):
    query = trees(two_trees)
    truth = query.compute(scheduler="threads")
    manifest = query.deliver(tmp_path / "out", format_name, merge="file", scheduler="threads")
    assert [entry.rows for entry in manifest.partitions] == [70, 50, 70]
    assert (manifest.outputs, manifest.verify()) == (("a", "b"), [])
    for name, array in truth.items():
        assert ak.array_equal(manifest.to_awkward(name), array)
        assert manifest.dataset(name).count_rows() == len(array)
    assert [item.object.split("-")[2] for item in manifest.partitions] == [
        "run_0",
        "run_1",
        "run_2",
    ]
    assert all(item.object.count(".") == 1 for item in manifest.partitions)


def test_histograms_are_copied_from_each_file_or_added(two_trees, tmp_path):
    query = trees(two_trees, {"copy_histograms": ["cuts/h", "h2", "note*"]})
    own = [uproot.open(path) for path in two_trees]
    manifest = query.deliver(tmp_path / "each", "root-file", scheduler="threads")
    for path, source_file in zip(manifest.files, own, strict=True):
        with uproot.open(path) as file:
            assert file["cuts/h"].to_hist() == source_file["cuts/h"].to_hist()
            assert sum(name.startswith("note") for name in file.keys(cycle=False)) == 1
    one = query.deliver(tmp_path / "one", "root-rntuple", merge="1GB", scheduler="threads")
    with uproot.open(one.files[0]) as file:
        total = file["cuts/h"]
        assert total.to_hist() == sum(found["cuts/h"].to_hist() for found in own)
        assert total.member("fEntries") == sum(found["cuts/h"].member("fEntries") for found in own)
        assert file["h2"].values(flow=True).sum() == 3
        assert sum(name.startswith("note") for name in file.keys(cycle=False)) == 3
    for file in own:
        file.close()


def test_copies_need_root_and_no_tree(two_trees, tmp_path):
    text = json.dumps([{"copy_histograms": "h2"}])
    query = sx.request("uproot-raw", text, dataset=sx.dataset(two_trees))
    with pytest.raises(RequestError, match="parquet objects cannot hold copies of h2"):
        query.deliver(tmp_path / "out", "parquet", merge="file")
    manifest = query.deliver(tmp_path / "out", "root-file", scheduler="sync")
    assert (len(manifest.partitions), manifest.rows, manifest.verify()) == (3, 0, [])
    with uproot.open(manifest.files[1]) as file:
        assert file["h2"].values(flow=True).sum() == 1


def test_what_cannot_be_joined_or_held_is_one_clear_sentence(two_trees, tmp_path):
    query = trees(two_trees)
    with pytest.raises(RequestError, match="merge is 'files'") as caught:
        query.deliver(tmp_path / "out", merge="files")
    assert "256 MB" in str(caught.value.hint)
    with pytest.raises(RequestError, match="no compression 'gzip'"):
        query.deliver(tmp_path / "out", "root-file", compression="gzip")
    assert not (tmp_path / "out").exists()
