"""Arrow tables and files bring back the values and the type of the array, whatever it holds."""

from __future__ import annotations

import awkward as ak
import numpy as np
import pyarrow as pa
import pytest
import uproot
from hypothesis import given
from hypothesis import strategies as st

from sxdask._version import __version__
from sxdask.core.errors import DataError, RequestError
from sxdask.deliver.encode import (
    join,
    metadata_of,
    schema_from_text,
    schema_to_text,
    to_table,
)
from sxdask.deliver.format import FORMATS, decode
from sxdask.deliver.formats.arrow import ArrowFormat
from sxdask.deliver.formats.parquet import ParquetFormat
from tests.columns import COLUMNS, JAGGED, assert_same

NOT_IN_PARQUET = {"union"}


def table_of(name: str, rows: int = 3) -> tuple[ak.Array, pa.Table]:
    array = ak.zip({"before": np.arange(3), name: COLUMNS[name]}, depth_limit=1)[:rows]
    return array, to_table(array)


@pytest.mark.parametrize("rows", [3, 0])
@pytest.mark.parametrize("name", COLUMNS)
def test_arrow_brings_back_values_and_type(name, rows):
    array, table = table_of(name, rows)
    assert_same(ak.from_arrow(table), array)
    assert_same(ak.from_arrow(ArrowFormat().decode(ArrowFormat().encode(table))), array)


@pytest.mark.parametrize("rows", [3, 0])
@pytest.mark.parametrize("name", sorted(COLUMNS.keys() - NOT_IN_PARQUET))
def test_parquet_brings_back_values_and_type(name, rows):
    array, table = table_of(name, rows)
    assert_same(ak.from_arrow(ParquetFormat().decode(ParquetFormat().encode(table))), array)


@pytest.mark.parametrize("name", COLUMNS)
def test_an_array_without_fields_is_one_column_without_name(name):
    array = COLUMNS[name]
    record = name in {"record", "option of record"}
    assert to_table(array).column_names == (array.fields if record else [""])
    assert_same(ak.from_arrow(to_table(array)), array)


@pytest.mark.parametrize("name", COLUMNS)
def test_an_empty_partition_has_the_schema_of_a_full_one(name):
    _, full = table_of(name)
    _, empty = table_of(name, rows=0)
    assert empty.num_rows == 0
    if name != "union":  # an empty union has lost none of its types, but their order
        assert full.schema.remove_metadata().equals(empty.schema.remove_metadata())


def test_rows_without_columns_keep_their_number():
    array = ak.Array(ak.contents.RecordArray([], [], length=5))
    table = to_table(array, metadata={"tree": "Events"})
    back = ArrowFormat().decode(ArrowFormat().encode(table))
    assert (table.num_rows, back.num_rows) == (5, 5)
    assert str(ak.from_arrow(back).type) == "5 * {}"
    assert metadata_of(back)["tree"] == "Events"
    with pytest.raises(RequestError, match="rows without columns"):
        ParquetFormat().encode(table)


@pytest.mark.parametrize("name", ["jagged", "jagged 32 bit", "selected", "pairs"])
def test_lists_have_64_bit_offsets_in_every_partition(name):
    _, table = table_of(name)
    kind = table.schema.field(name).type
    assert pa.types.is_large_list(getattr(kind, "storage_type", kind))


@pytest.mark.parametrize("name", ["int64", "fixed", "jagged", "text", "record", "option of list"])
def test_other_tools_see_plain_columns(name):
    _, table = table_of(name)
    assert not isinstance(table.schema.field(name).type, pa.ExtensionType)
    assert table.column(name).to_pylist() == COLUMNS[name].to_list()


def test_columns_that_need_it_alone_are_extended():
    array = ak.zip({"jagged": JAGGED, "pair": COLUMNS["tuple"]}, depth_limit=1)
    kinds = [isinstance(field.type, pa.ExtensionType) for field in to_table(array).schema]
    assert kinds == [False, True]


def test_the_schema_says_what_it_is():
    array = ak.zip({"pt": JAGGED, "name": COLUMNS["text"]}, depth_limit=1)
    table = to_table(array, metadata={"tree": "Events"}, units={"pt": "GeV"})
    assert metadata_of(table) == {"version": __version__, "tree": "Events"}
    assert table.schema.field("pt").metadata == {
        b"sxdask:type": b"var * float64",
        b"sxdask:list_depth": b"1",
        b"sxdask:unit": b"GeV",
    }
    assert table.schema.field("name").metadata == {
        b"sxdask:type": b"string",
        b"sxdask:list_depth": b"0",
    }


@pytest.mark.parametrize("name", FORMATS.names())
def test_metadata_survives_every_format(name):
    made = FORMATS.load(name)()
    array = ak.zip({"pt": JAGGED}, depth_limit=1)
    table = to_table(array, metadata={"tree": "Events"}, units={"pt": "GeV"})
    back = made.decode(made.encode(table))
    assert metadata_of(back) == metadata_of(table)
    assert back.schema.field("pt").metadata[b"sxdask:unit"] == b"GeV"


@pytest.mark.parametrize("name", ["arrow", "parquet"])
def test_the_same_table_gives_the_same_bytes(name):
    _, table = table_of("jagged")
    made = FORMATS.load(name)()
    assert made.encode(table).equals(made.encode(table))


@pytest.mark.parametrize("value", [[1.5], [[1]], "text", [["a"]]])
def test_values_that_are_all_missing_need_no_content(value):
    content = ak.to_layout(ak.Array([value])[:0]).to_packed()
    missing = ak.contents.IndexedOptionArray(ak.index.Index64(np.array([-1, -1])), content)
    table = to_table(ak.Array(ak.contents.RecordArray([missing], ["c"])))
    assert table.column("c").to_pylist() == [None, None]
    present = to_table(ak.zip({"c": ak.Array([value, None])}, depth_limit=1))
    assert table.schema.field("c").type == present.schema.field("c").type


def test_joined_partitions_drop_what_is_true_of_one_alone():
    array = ak.zip({"pt": JAGGED}, depth_limit=1)
    tables = [to_table(array, metadata={"tree": "T", "file": f"{n}.root"}) for n in range(2)]
    joined = join(tables)
    assert joined.num_rows == 6
    assert "file" not in metadata_of(joined)
    assert metadata_of(tables[0])["file"] == "0.root"


def test_a_schema_as_text_is_the_schema():
    _, table = table_of("pairs")
    assert schema_from_text(schema_to_text(table.schema)).equals(table.schema, check_metadata=True)


def test_complex_numbers_are_refused_by_name():
    with pytest.raises(RequestError, match=r"complex128 \('z'\)") as caught:
        to_table(ak.Array({"z": np.array([1j])}))
    assert "real" in str(caught.value.hint)


def test_parquet_refuses_what_it_cannot_hold():
    _, table = table_of("union")
    with pytest.raises(RequestError, match="Parquet cannot hold"):
        ParquetFormat().encode(table)


@pytest.mark.parametrize("name", FORMATS.names())
def test_bytes_that_are_no_object_are_bad_data(name):
    with pytest.raises(DataError, match=name):
        decode(b"this is a web page", name)


LISTS = st.lists(st.lists(st.one_of(st.none(), st.floats(width=32)), max_size=4), max_size=8)


@given(LISTS, st.integers(0, 8), st.integers(0, 8))
def test_any_slice_of_any_lists_comes_back(lists, start, stop):
    builder = ak.ArrayBuilder()
    for items in [[None, 1.0], *lists]:
        builder.append(items)
    array = ak.zip({"x": builder.snapshot()[1:][start:stop]}, depth_limit=1)
    assert_same(ak.from_arrow(ArrowFormat().decode(ArrowFormat().encode(to_table(array)))), array)


@pytest.mark.samples
@pytest.mark.parametrize(
    "name",
    ["nano_dy.root", "PHYSLITE_example.root", "delphes.root", "pfnano.root", "treemaker.root"],
)
def test_every_readable_branch_of_the_samples_comes_back(samples, name):
    with uproot.open(samples / name) as file:
        trees = [key for key, kind in file.classnames().items() if kind == "TTree"]
        tree = max((file[key] for key in trees), key=lambda item: len(item.branches))
        done = 0
        for branch in tree.itervalues(recursive=True):
            try:
                array = ak.zip({"b": branch.array(entry_stop=5)}, depth_limit=1)
            except Exception:  # noqa: BLE001, S112 - what uproot cannot read is not ours to encode
                continue
            back = ak.from_arrow(ArrowFormat().decode(ArrowFormat().encode(to_table(array))))
            if "unknown" in str(array.type):  # an empty list of nothing has no type in Arrow
                continue
            assert_same(back, array)
            done += 1
    assert done > 50
