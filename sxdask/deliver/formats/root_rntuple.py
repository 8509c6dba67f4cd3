"""A ROOT file with an RNTuple for each output: lists of lists, records and missing values too."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

import awkward as ak

from sxdask.core.errors import RequestError
from sxdask.deliver.encode import no_rows
from sxdask.deliver.format import Rows, output_of
from sxdask.deliver.root.conform import columns_of, conform, forms_of
from sxdask.deliver.root.copies import copy_objects
from sxdask.deliver.root.file import (
    COMPRESSIONS,
    NUMBERS,
    new_file,
    num_rows,
    require_names,
    require_trees,
    table_of,
    tree_name,
    tree_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

KIND: Final = "ROOT RNTuple"
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_]")  # a dot would be a step into a record


class RootRNTupleFormat:
    """ServiceX's ``root-rntuple``."""

    suffix: ClassVar[str] = ".root"
    compressions: ClassVar[Sequence[str]] = COMPRESSIONS
    copies: ClassVar[bool] = True

    def __init__(self, compression: str | None = None, level: int | None = None) -> None:
        self._compression = compression, level

    def require(self, schemas: Sequence[pa.Schema]) -> None:
        """Refuse dates, unions and other types that an RNTuple has no columns for."""
        require_trees(schemas, KIND)
        for schema in schemas:
            require_names(((name, _field(name)) for name in schema.names), KIND)
            for name, form in forms_of(schema).items():
                if not _fits(form):
                    raise RequestError(
                        f"a {KIND} cannot hold column {name!r} of type {form.type}",
                        hint="use format='arrow' or 'parquet', or select something simpler",
                        column=name,
                    )

    def encode(self, rows: pa.Table | Rows) -> pa.Buffer:
        """Return the file."""
        rows = Rows.of(rows)
        self.require(rows.schemas)
        with new_file(rows.schemas, *self._compression) as file:
            trees = {
                output_of(schema): file.directory.mkrntuple(
                    tree_name(schema), _record(no_rows(schema)).layout.form
                )
                for schema in rows.schemas
            }
            for table in rows.batches():
                trees[output_of(table.schema)].extend(_record(table))
            if rows.copies is not None:
                copy_objects(file.directory, rows.copies)
        return file.data()

    def decode(self, data: bytes, output: str | None = None) -> pa.Table:
        """Return the table that the RNTuple of `output` was made from."""
        tree, schema = tree_of(data, output)
        array = tree.arrays()
        names = list(forms_of(schema))
        found = {name: ak.to_layout(array[_field(name)]) for name in names}
        return table_of(found, schema, len(array))

    def num_rows(self, data: bytes) -> int:
        """Return the entries of all RNTuples."""
        return num_rows(data)


def _record(table: pa.Table) -> ak.Array:
    """Return the columns under the names of fields, in the kinds of layout that uproot writes."""
    forms = forms_of(table.schema)
    parts = [conform(layout, forms[name]) for name, layout in columns_of(table).items()]
    names = list(map(_field, forms))
    return ak.Array(ak.contents.RecordArray(parts, names, length=table.num_rows))


def _field(column: str) -> str:
    return _UNSAFE.sub("_", column) or "branch"


def _fits(form: Any) -> bool:
    if form.is_numpy:
        return form.primitive in NUMBERS and not form.inner_shape
    if form.is_record:
        named = form.is_tuple or not any(map(_UNSAFE.search, form.fields))
        return bool(form.contents) and named and all(map(_fits, form.contents))
    if form.is_list:
        text = form.parameter("__array__")
        return text == "string" or (text is None and _fits(form.content) and _sized(form))
    return bool(form.is_option and _fits(form.content))


def _sized(form: Any) -> bool:
    return not form.is_regular or form.size > 0
