"""A ROOT file with a TTree for each output, as NanoAOD and its tools have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import awkward as ak

from sxdask.core.errors import DataError
from sxdask.deliver.format import Rows, output_of
from sxdask.deliver.root.branches import branches_of, require
from sxdask.deliver.root.conform import columns_of, forms_of, lists_of
from sxdask.deliver.root.copies import copy_objects
from sxdask.deliver.root.file import COMPRESSIONS, new_file, num_rows, table_of, tree_name, tree_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from sxdask.deliver.root.branches import Branch


class RootFileFormat:
    """ServiceX's ``root-file``."""

    suffix: ClassVar[str] = ".root"
    compressions: ClassVar[Sequence[str]] = COMPRESSIONS
    copies: ClassVar[bool] = True

    def __init__(self, compression: str | None = None, level: int | None = None) -> None:
        self._compression = compression, level

    def require(self, schemas: Sequence[pa.Schema]) -> None:
        """Refuse what is not numbers, text, and lists of numbers."""
        require(schemas)

    def encode(self, rows: pa.Table | Rows) -> pa.Buffer:
        """Return the file."""
        rows = Rows.of(rows)
        require(rows.schemas)
        with new_file(rows.schemas, *self._compression) as file:
            trees = {}
            for schema in rows.schemas:
                branches = branches_of(schema)
                counters = {item.name: item.counter for item in branches}
                tree = file.directory.mktree(
                    tree_name(schema),
                    {item.name: item.type for item in branches},
                    counter_name=lambda name, counters=counters: counters.get(name, f"n{name}"),
                )
                trees[output_of(schema)] = tree, branches
            for table in rows.batches():
                tree, branches = trees[output_of(table.schema)]
                _extend(tree, branches, table)
            if rows.copies is not None:
                copy_objects(file.directory, rows.copies)
        return file.data()

    def decode(self, data: bytes, output: str | None = None) -> pa.Table:
        """Return the table that the tree of `output` was made from."""
        tree, schema = tree_of(data, output)
        branches = branches_of(schema)
        arrays = {item.name: ak.to_layout(tree[item.name].array()) for item in branches}
        length = int(tree.num_entries)
        found = {}
        for column, form in forms_of(schema).items():
            own = [item for item in branches if item.column == column]
            if own[0].field is None:
                found[column] = arrays[own[0].name]
            else:
                found[column] = _record([arrays[item.name] for item in own], form, length)
        return table_of(found, schema, length)

    def num_rows(self, data: bytes) -> int:
        """Return the entries of all trees."""
        return num_rows(data)


def _extend(tree: Any, branches: Sequence[Branch], table: pa.Table) -> None:
    columns = columns_of(table)
    try:
        tree.extend({item.name: _values(_part(columns, item)) for item in branches})
    except ValueError as error:
        if "disagree" not in str(error):
            raise
        shared = [item.column for item in branches if item.counter]
        raise DataError(
            "columns that share a counter by their names have lists of different lengths: "
            f"{str(error).splitlines()[0]}",
            hint="give one of the columns another name in the request, or use 'root-rntuple'",
            columns=shared,
        ) from error


def _values(layout: Any) -> Any:
    return layout.data if layout.is_numpy else ak.Array(layout)


def _part(columns: Mapping[str, Any], branch: Branch) -> Any:
    layout = columns[branch.column]
    if branch.field is None:
        return layout
    if layout.is_record:
        return layout.content(branch.field)
    lists = lists_of(layout)
    return ak.contents.ListOffsetArray(lists.offsets, lists.content.content(branch.field))


def _record(parts: Sequence[Any], form: Any, length: int) -> Any:
    """Return the column whose fields are `parts`: records, or lists of them."""
    record = form if form.is_record else form.content
    if form.is_record:
        return ak.contents.RecordArray(list(parts), record._fields, length=length)
    lists = list(map(lists_of, parts))
    contents = [item.content for item in lists]
    return ak.contents.ListOffsetArray(
        lists[0].offsets, ak.contents.RecordArray(contents, record._fields)
    )
