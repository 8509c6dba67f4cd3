"""The events of one partition as an awkward array whose columns are read when touched.

It is an array like any other, of all readable columns, over virtual buffers.
The first touch of a column that the plan expects reads all of those together;
any other column is read alone, through uproot, since the piece has no baskets
of it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import awkward as ak

from sxdask.core.errors import UnreadableBranchError
from sxdask.graph.columns import LazyColumns

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sxdask.core.errors import SxdaskError
    from sxdask.core.events import ReadReport
    from sxdask.rootio.layout import TreeLayout
    from sxdask.rootio.model import ColumnZones, Conjunct, Piece, ReadOptions


class LazyEvents:
    """Rows of `piece` that pass `conjuncts`, read column by column as they are touched.

    Arguments are those of `LazyColumns`; `layout` is that of the whole tree.
    """

    def __init__(
        self,
        piece: Piece,
        layout: TreeLayout,
        expected: tuple[str, ...],
        conjuncts: tuple[Conjunct, ...],
        options: ReadOptions,
    ) -> None:
        self._layout = layout
        self._names = tuple(layout.columns)
        self._buffers: dict[str, Any] = {}
        self._columns = LazyColumns(piece, layout.columns, expected, conjuncts, options)
        self._keep(self._columns.arrays)

    @property
    def failure(self) -> SxdaskError | None:
        """The first error of a read, which awkward may have put into another one."""
        return self._columns.failure

    @property
    def report(self) -> ReadReport:
        """What reading cost so far."""
        return self._columns.report

    @property
    def learned(self) -> dict[str, ColumnZones]:
        """Statistics of the baskets that were decoded whole."""
        return self._columns.learned

    def array(self) -> ak.Array:
        """Return the events, shape ``(num_rows,)``; nothing is read for it."""
        contents = [
            _keyed(json.loads(self._layout.columns[name].form), number)
            for number, name in enumerate(self._names)
        ]
        record = {
            "class": "RecordArray",
            "fields": list(self._names),
            "contents": contents,
            "form_key": "events",
        }
        rows = self._columns.num_rows
        return ak.from_buffers(ak.forms.from_dict(record), rows, _Buffers(self._buffer))

    def finish(self) -> None:
        """Check that the file is the one that was indexed, where nothing was read of it.

        Raises
        ------
        SxdaskError
            If it is not, or if a read failed before.
        """
        self._columns.finish()

    def _buffer(self, key: str) -> Any:
        with self._columns.lock:
            if key not in self._buffers:
                self._keep(self._columns.read(self._names[int(key.partition("-")[0])]))
            return self._buffers[key]

    def _keep(self, arrays: Mapping[str, ak.Array]) -> None:
        for name, array in arrays.items():
            self._keep_one(self._names.index(name), array)

    def _keep_one(self, number: int, array: ak.Array) -> None:
        layout = ak.to_packed(array, highlevel=False)
        form, _, buffers = ak.to_buffers(layout, form_key=f"{number}-{{id}}")
        name = self._names[number]
        expected = ak.forms.from_dict(_keyed(json.loads(self._layout.columns[name].form), number))
        if form != expected:
            error = UnreadableBranchError(
                f"branch {name!r} is {form.type} and its description says {expected.type}"[:380],
                hint="leave it out: events[[...]] with the columns that are needed",
                branch=name,
            )
            self._columns.failure = self._columns.failure or error
            raise error
        self._buffers |= buffers


class _Buffers:
    """Gives for the key of a buffer a function that reads it, as virtual arrays want it."""

    def __init__(self, read: Callable[[str], Any]) -> None:
        self._read = read

    def __getitem__(self, key: str) -> Callable[[], Any]:
        return lambda: self._read(key)


def _keyed(form: Any, number: int) -> dict[str, Any]:
    """Return `form` with the keys that `ak.to_buffers` gives the nodes of column `number`."""
    count = 0

    def visit(node: Any) -> dict[str, Any]:
        nonlocal count
        whole = {"class": "NumpyArray", "primitive": node} if isinstance(node, str) else dict(node)
        whole["form_key"] = f"{number}-{count}"
        count += 1
        if "content" in whole:
            whole["content"] = visit(whole["content"])
        if "contents" in whole:
            whole["contents"] = [visit(item) for item in whole["contents"]]
        return whole

    return visit(form)
