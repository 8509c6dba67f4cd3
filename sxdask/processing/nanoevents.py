"""coffea's events over the columns of a chunk, as its factory makes them from an opened file.

This module imports coffea. The form of a schema is made once for each kind of
file in a process; for a chunk it gets that chunk's metadata and buffers.
"""

from __future__ import annotations

import weakref
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

import awkward as ak
from awkward.forms import RecordForm
from coffea.nanoevents import NanoEventsFactory
from coffea.nanoevents.factory import _key_formatter
from coffea.nanoevents.mapping import PreloadedSourceMapping
from coffea.nanoevents.schemas.base import BaseSchema
from coffea.nanoevents.util import key_to_tuple, tuple_to_key

from sxdask.core.errors import RequestError
from sxdask.processing.columns import Group
from sxdask.processing.layouts import lazy_layout, with_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.processing.columns import ChunkColumns

Column: TypeAlias = "ak.Array | Group | None"


class Template:
    """A schema over one kind of file: everything of its events but the buffers."""

    def __init__(self, base: Mapping[str, Any], schema: Any, metadata: Mapping[str, Any]) -> None:
        parameters = {**base["parameters"], "metadata": dict(metadata)}
        made = schema({**base, "parameters": parameters})
        if not isinstance(made, BaseSchema):
            raise RequestError(
                f"schema {_name(schema)} gives a {type(made).__name__} and no schema",
                hint="pass a subclass of coffea.nanoevents.BaseSchema, such as NanoAODSchema",
            )
        self.schema = made
        self.form: RecordForm = ak.forms.from_dict(made.form)
        self.behavior = made.behavior()
        # Schemas add to the metadata (NanoAODSchema its version); what they add is kept.
        self._added = {
            key: value
            for key, value in self.form.parameters.get("metadata", {}).items()
            if key not in metadata
        }

    def form_with(self, metadata: Mapping[str, Any]) -> RecordForm:
        """Return the form with the metadata of a chunk; its contents are shared."""
        parameters = {**self.form.parameters, "metadata": {**self._added, **metadata}}
        return RecordForm(
            self.form.contents,
            None if self.form.is_tuple else self.form.fields,
            parameters=parameters,
            form_key=self.form.form_key,
        )


def _name(schema: Any) -> str:
    return str(getattr(schema, "__qualname__", schema))


class ColumnMapping(PreloadedSourceMapping):  # type: ignore[misc]
    """Gives coffea the buffers of a chunk from its columns; nothing is opened."""

    def __init__(self, columns: ChunkColumns, num_rows: int) -> None:
        super().__init__(columns, 0, num_rows, access_log=[])
        self.columns = columns
        self._virtual = True

    def _column_source(self, uuid: str, path_in_source: str) -> Any:  # noqa: ARG002
        return self.columns

    def extract_column(
        self,
        columnhandle: Column,
        start: int,
        stop: int,
        allow_missing: bool,  # noqa: FBT001 - coffea's protocol
        **kwargs: Any,
    ) -> Any:
        """Return the array of a branch; it has the rows of the chunk and no others."""
        if columnhandle is None or isinstance(columnhandle, Group):
            column = columnhandle
        else:
            layout = columnhandle.layout
            if isinstance(layout, ak.contents.ListOffsetArray) and layout.offsets[0] != 0:
                # what uproot cuts out of a basket may begin anywhere in its buffers
                columnhandle = ak.Array(layout.to_ListOffsetArray64(start_at_zero=True))
            column = columnhandle
        if not allow_missing or isinstance(column, Group):
            return column
        return super().extract_column(column, start, stop, allow_missing, **kwargs)


class ChunkFactory(NanoEventsFactory):  # type: ignore[misc]
    """Makes the events of one chunk; cross-references find the whole of them here."""

    def __init__(
        self,
        template: Template,
        columns: ChunkColumns,
        num_rows: int,
        metadata: Mapping[str, Any],
    ) -> None:
        key = (metadata["fileuuid"], metadata["treename"], f"0-{num_rows}")
        mapping = ColumnMapping(columns, num_rows)
        super().__init__(template.schema, mapping, tuple_to_key(key), mode="virtual")
        self._form = template.form_with(metadata)
        self._behavior = template.behavior
        self._num_rows = num_rows
        self._events: Any = lambda: None

    def __len__(self) -> int:
        return self._num_rows

    def events(self) -> ak.Array:
        """Return the events, shape ``(num_rows,)``; nothing is read for it."""
        events = self._events()
        if events is None:
            buffer_key = partial(_key_formatter, self._partition_key)
            layout = lazy_layout(self._form, self._num_rows, self._mapping, buffer_key)
            columns = self._mapping.columns
            events = ak.Array(
                with_fields(layout, columns.computed, columns.compute),
                behavior=self._behavior,
                attrs={
                    "@events_factory": self,
                    "@form": {**self._schema.form, "parameters": self._form.parameters},
                    "@buffer_key": buffer_key,
                },
            )
            self._events = weakref.ref(events)
        return events

    @property
    def touched(self) -> set[str]:
        """Branches and the part of each that was asked for, as coffea's metrics spell them."""
        return {f"{item.branch}-{key_to_tuple(item.buffer_key)[3]}" for item in self.access_log}
