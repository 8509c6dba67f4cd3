"""What every format promises. A new format adds a subclass with a few facts and no tests."""

from __future__ import annotations

import io
import json
import pickle
from typing import TYPE_CHECKING, ClassVar

import awkward as ak
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import uproot
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sxdask.core.errors import DataError, RequestError
from sxdask.deliver import format as formats
from sxdask.deliver.encode import metadata_of, to_table
from sxdask.deliver.format import FORMATS, Rows, decode, format_text, num_rows, open_format
from sxdask.deliver.formats.arrow import ArrowFormat
from sxdask.deliver.formats.parquet import ParquetFormat
from sxdask.deliver.formats.root_file import RootFileFormat
from sxdask.deliver.formats.root_rntuple import RootRNTupleFormat
from tests.columns import COLUMNS, JAGGED, assert_same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SHARED = {"Muon_pt": "nMuon", "Muon_eta": "nMuon", "nMuon": "nMuon"}
COMMON = {"date", "bytes", "float16", "union"}


def table_of(columns: Mapping[str, ak.Array], output: str = "", **facts: str) -> pa.Table:
    array = ak.zip(dict(columns), depth_limit=1)
    known = {"tree": "Events", "content_key": "7f", **facts}
    return to_table(array, metadata=known | ({"output": output} if output else {}), counters=SHARED)


@st.composite
def columns_of(draw: st.DrawFn, items: st.SearchStrategy[object]) -> dict[str, ak.Array]:
    """Draw a table of numbers, text and lists; of `items` are the rows of one of its columns."""
    rows = draw(st.integers(0, 7))
    builder = ak.ArrayBuilder()
    for item in [draw(items.filter(bool)), *draw(_exactly(items, rows))]:
        builder.append(item)
    numbers = draw(_exactly(st.integers(-(2**63), 2**63 - 1), rows))
    words = draw(_exactly(st.text(st.characters(codec="utf-8", exclude_characters="\0")), rows))
    return {
        "number": ak.Array(np.array(numbers, dtype=np.int64)),
        "word": ak.Array(["", *words])[1:],
        "drawn": builder.snapshot()[1:],
    }


def _exactly(items: st.SearchStrategy[object], count: int) -> st.SearchStrategy[list[object]]:
    return st.lists(items, min_size=count, max_size=count)


FLOATS = st.floats(allow_nan=False)
LISTS = st.lists(FLOATS, min_size=1, max_size=4)


class FormatContract:
    """Subclasses say which format, what it cannot hold, and which lists it can."""

    name: ClassVar[str]
    refused: ClassVar[Sequence[str]] = ()
    items: ClassVar[st.SearchStrategy[object]]

    @property
    def format(self) -> formats.Format:
        return open_format(self.name)

    def back(self, table: pa.Table | Rows, output: str | None = None) -> pa.Table:
        return self.format.decode(self.format.encode(table).to_pybytes(), output)

    @pytest.mark.parametrize("kind", COLUMNS)
    def test_a_column_comes_back_with_its_type_or_is_refused_before_it_is_computed(
        self, kind: str
    ) -> None:
        columns = {"before": COLUMNS["int64"], "col": COLUMNS[kind]}
        table = table_of(columns)
        if kind in self.refused:
            with pytest.raises(RequestError, match="'col'") as caught:
                self.format.require([table.schema])
            assert "arrow" in str(caught.value.hint)
            return
        self.format.require([table.schema])
        for start, stop in ((0, 3), (1, 3), (0, 0)):
            part = table_of({name: array[start:stop] for name, array in columns.items()})
            back = self.back(part)
            assert_same(ak.from_arrow(back), ak.from_arrow(part))
            assert back.schema.equals(part.schema, check_metadata=self.name != "parquet")

    def test_any_table_comes_back(self) -> None:
        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
        @given(columns_of(self.items))
        def check(columns: dict[str, ak.Array]) -> None:
            table = table_of(columns)
            assert self.back(table).equals(table)

        check()

    def test_it_says_what_it_is(self) -> None:
        table = table_of({"x": JAGGED}, title="Z to mumu", fingerprint="f00d")
        back = self.back(table)
        assert metadata_of(back) == metadata_of(table)

    def test_it_counts_rows_and_travels(self) -> None:
        made = pickle.loads(pickle.dumps(self.format))
        data = made.encode(table_of({"x": JAGGED})).to_pybytes()
        assert made.num_rows(data) == num_rows(data, self.name) == 3

    def test_bytes_that_are_no_object_are_bad_data(self) -> None:
        for read in (decode, num_rows):
            with pytest.raises(DataError, match=self.name):
                read(b"this is a web page", self.name)

    def test_a_cut_object_is_bad_data(self) -> None:
        data = self.format.encode(table_of({"x": JAGGED})).to_pybytes()
        with pytest.raises(DataError, match=self.name):
            decode(data[: len(data) // 3], self.name)

    def test_every_compression_gives_the_same_table(self) -> None:
        table = table_of({"x": ak.Array(np.arange(20_000))})
        sizes = {}
        for codec in self.format.compressions:
            text = format_text(self.name, codec)
            data = open_format(text).encode(table).to_pybytes()
            assert decode(data, text).equals(table)
            sizes[codec] = len(data)
        assert sizes.pop("none") > 1.2 * max(sizes.values())

    def test_an_unknown_compression_is_refused(self) -> None:
        with pytest.raises(RequestError, match="no compression 'zsdt'") as caught:
            format_text(self.name, "zsdt")
        assert "'zstd'" in str(caught.value.hint)
        with pytest.raises(RequestError, match="level"):
            format_text(self.name, "zstd:fast")

    def test_many_small_tables_are_joined_and_a_large_one_is_cut(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(formats, "BATCH_BYTES", 4000)
        small = [table_of({"x": ak.Array(np.arange(n, n + 10))}) for n in range(0, 1000, 10)]
        large = table_of({"x": ak.Array(np.arange(1000, 3000))})
        rows = Rows((large.schema,), [*small, large])
        sizes = [table.num_rows for table in Rows(rows.schemas, [*small, large]).batches()]
        assert max(sizes) <= 500
        assert len(sizes) < 10
        assert self.back(rows).column("x").to_pylist() == list(range(3000))
        assert rows.num_rows == 3000

    def test_several_outputs_share_an_object_also_those_without_rows(self) -> None:
        one, two = (table_of({"x": JAGGED, "y": COLUMNS["int64"]}, name) for name in ("a", "b"))
        none = table_of({"x": JAGGED[:0], "y": COLUMNS["int64"][:0]}, "none")
        rows = Rows((one.schema, two.schema, none.schema), [two, one, two])
        self.format.require(rows.schemas)
        data = self.format.encode(rows).to_pybytes()
        assert self.format.num_rows(data) == rows.num_rows == 9
        assert self.format.decode(data, "a").equals(one)
        assert self.format.decode(data, "b").equals(pa.concat_tables([two, two]))
        assert self.format.decode(data, "none").num_rows == 0
        assert metadata_of(self.format.decode(data, "b"))["output"] == "b"


class TabularContract(FormatContract):
    """One table an object: outputs are told apart by a column."""

    def test_a_column_tells_outputs_apart(self) -> None:
        tables = [table_of({"x": JAGGED}, name) for name in ("a", "b")]
        data = self.format.encode(Rows([table.schema for table in tables], tables)).to_pybytes()
        whole = self.format.decode(data)
        assert whole.column("treename").to_pylist() == ["a", "a", "a", "b", "b", "b"]
        assert ak.from_arrow(whole).treename.to_list()[0] == "a"

    def test_outputs_with_different_columns_are_refused(self) -> None:
        schemas = [table_of({name: JAGGED}, name).schema for name in ("a", "b")]
        with pytest.raises(RequestError, match="'a' and 'b' have different columns") as caught:
            self.format.require(schemas)
        assert "root-file" in str(caught.value.hint)

    def test_a_column_of_that_name_is_refused_there(self) -> None:
        schemas = [table_of({"treename": JAGGED}, name).schema for name in ("a", "b")]
        with pytest.raises(RequestError, match="'treename'"):
            self.format.require(schemas)
        self.format.require(schemas[:1])

    def test_the_same_table_gives_the_same_bytes(self) -> None:
        table = table_of({"x": JAGGED})
        assert self.format.encode(table).equals(self.format.encode(table))


class TestArrow(TabularContract):
    name = "arrow"
    items = st.one_of(st.none(), st.lists(st.one_of(st.none(), LISTS), min_size=1))

    def test_it_is_an_ipc_file_with_a_batch_for_each_table(self) -> None:
        data = self.format.encode(table_of({"x": JAGGED}))
        assert pa.ipc.open_file(data).num_record_batches == 1


class TestParquet(TabularContract):
    name = "parquet"
    refused = ("union",)
    items = st.one_of(st.none(), st.lists(st.one_of(st.none(), LISTS), min_size=1))

    def test_a_row_group_is_as_large_as_a_batch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(formats, "BATCH_BYTES", 80_000)
        data = self.format.encode(table_of({"x": ak.Array(np.arange(50_000))}))
        assert pq.read_metadata(pa.BufferReader(data)).num_row_groups == 5

    def test_rows_without_columns_are_refused(self) -> None:
        nothing = to_table(ak.Array(ak.contents.RecordArray([], [], length=5)))
        with pytest.raises(RequestError, match="without columns"):
            self.format.require([nothing.schema])


class RootContract(FormatContract):
    """A tree for each output, under its name."""

    kind: ClassVar[str]

    def opened(self, rows: pa.Table | Rows) -> uproot.ReadOnlyDirectory:
        return uproot.open(io.BytesIO(self.format.encode(rows).to_pybytes()))

    def test_trees_are_called_like_outputs_or_like_the_tree_that_was_read(self) -> None:
        tables = [table_of({"x": JAGGED}, name) for name in ("muons", "dir/jets", "dir/taus")]
        with self.opened(Rows([table.schema for table in tables], tables)) as file:
            assert file.classnames()["dir/jets;1"] == self.kind
            assert [file[name].num_entries for name in ("muons", "dir/taus")] == [3, 3]
        with self.opened(table_of({"x": JAGGED}, tree="dir/Events;1")) as file:
            assert file["dir/Events"].num_entries == 3
        with self.opened(to_table(ak.zip({"x": JAGGED}, depth_limit=1))) as file:
            assert file["servicex"].num_entries == 3

    def test_two_trees_of_one_name_are_refused(self) -> None:
        schemas = [table_of({"x": JAGGED}, name).schema for name in ("a;1", "a")]
        with pytest.raises(RequestError, match="tree called 'a'"):
            self.format.require(schemas)

    def test_the_note_is_json_that_any_reader_may_use(self) -> None:
        with self.opened(table_of({"x": JAGGED}, title="Z", fingerprint="f00d")) as file:
            note = json.loads(str(file["sxdask"]))
        assert (note["title"], note["fingerprint"]) == ("Z", "f00d")
        assert note["trees"][0]["tree"] == "Events"

    def test_equal_content_is_one_file_by_its_uuid(self) -> None:
        first, again, other = (
            self.opened(table_of({"x": JAGGED}, content_key=key)).file.uuid for key in "aab"
        )
        assert first == again != other

    def test_uproot_reads_what_went_in(self) -> None:
        columns = {name: COLUMNS[name] for name in ("int64", "bool", "jagged", "text", "fixed")}
        with self.opened(table_of(columns)) as file:
            arrays = file["Events"].arrays(list(columns))
        for name, array in columns.items():
            assert arrays[name].to_list() == array.to_list()

    def test_a_column_without_a_name_is_called_branch(self) -> None:
        table = to_table(JAGGED)
        with self.opened(table) as file:
            assert file["servicex"].arrays()["branch"].to_list() == JAGGED.to_list()
        assert_same(ak.from_arrow(self.back(table)), JAGGED)

    def test_columns_that_would_be_one_branch_are_refused(self) -> None:
        table = table_of({"a/b": JAGGED, "a_b": JAGGED})
        with pytest.raises(RequestError, match="'a/b' and 'a_b'"):
            self.format.require([table.schema])

    def test_names_of_expressions_come_back(self) -> None:
        table = table_of({"Muon_pt[:, 0] * 2": COLUMNS["int64"], "Jet.PT": JAGGED, "x/y": JAGGED})
        assert self.back(table).equals(table)

    def test_rows_without_columns_are_refused(self) -> None:
        nothing = to_table(ak.Array(ak.contents.RecordArray([], [], length=5)))
        with pytest.raises(RequestError, match="without columns"):
            self.format.require([nothing.schema])


class TestRootFile(RootContract):
    name = "root-file"
    kind = "TTree"
    refused = (
        *COMMON,
        *("jagged twice", "jagged fixed", "lists of text", "option", "option of list"),
        *("list of option", "option of record", "option of fixed", "masked"),
    )
    items = LISTS

    def test_columns_of_a_collection_share_its_counter(self) -> None:
        columns = {"Muon_pt": JAGGED, "Muon_eta": JAGGED, "nMuon": ak.num(JAGGED), "other": JAGGED}
        table = table_of(columns)
        with self.opened(table) as file:
            tree = file["Events"]
            assert sorted(tree.keys()) == ["Muon_eta", "Muon_pt", "nMuon", "nother", "other"]
            assert tree["nMuon"].array().to_list() == [2, 0, 1]
        assert self.back(table).equals(table)

    def test_a_counter_never_takes_the_name_of_another_column(self) -> None:
        columns = {"pt": JAGGED, "npt": COLUMNS["int64"], "npt_": JAGGED}
        table = table_of(columns)
        with self.opened(table) as file:
            assert set(file["Events"].keys()) == {"npt", "npt_", "npt__", "nnpt_", "pt"}
        assert self.back(table).equals(table)

    def test_lists_that_differ_cannot_share_a_counter(self) -> None:
        table = table_of({"Muon_pt": JAGGED, "Muon_eta": JAGGED[::-1]})
        with pytest.raises(DataError, match="lists of different lengths") as caught:
            self.format.encode(table)
        assert "another name" in str(caught.value.hint)

    def test_fields_of_records_become_branches(self) -> None:
        table = table_of({"mu": COLUMNS["named record"], "pair": COLUMNS["tuple"]})
        with self.opened(table) as file:
            assert sorted(file["Events"].keys()) == ["mu_eta", "mu_pt", "nmu", "pair_0", "pair_1"]


class TestRootRNTuple(RootContract):
    name = "root-rntuple"
    kind = "ROOT::RNTuple"
    refused = tuple(COMMON)
    items = st.one_of(st.none(), st.lists(LISTS, min_size=1))


def test_every_registered_format_keeps_the_contract() -> None:
    known = {made.name for made in (TestArrow, TestParquet, TestRootFile, TestRootRNTuple)}
    assert known == set(FORMATS.names())
    assert [FORMATS.load(name) for name in FORMATS.names()] == [
        ArrowFormat,
        ParquetFormat,
        RootFileFormat,
        RootRNTupleFormat,
    ]
