"""The events of one partition as an awkward array whose columns are read when touched.

It is an array like any other, of all readable columns, over virtual buffers.
The first touch of a column that the plan expects reads all of those together;
any other column is read alone, through uproot, since the piece has no baskets
of it.
"""

from __future__ import annotations

import json
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, Any

import awkward as ak

from sxdask.core.errors import SxdaskError, UnreadableBranchError
from sxdask.core.events import ReadReport
from sxdask.rootio.model import ScanSpec
from sxdask.rootio.scan import scan

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.rootio.layout import TreeLayout
    from sxdask.rootio.model import ColumnZones, Conjunct, Piece, ReadOptions


class LazyEvents:
    """Rows of `piece` that pass `conjuncts`, read column by column as they are touched.

    `expected` are the columns that `piece` has baskets of and that are read
    together. `report` and `learned` grow with what is read; `failure` is the
    first error of a read, which awkward may have put into another one.
    """

    def __init__(
        self,
        piece: Piece,
        layout: TreeLayout,
        expected: tuple[str, ...],
        conjuncts: tuple[Conjunct, ...],
        options: ReadOptions,
    ) -> None:
        self.report = ReadReport()
        self.learned: dict[str, ColumnZones] = {}
        self.failure: SxdaskError | None = None
        self._piece = piece
        self._layout = layout
        self._names = tuple(layout.columns)
        self._expected = expected
        self._conjuncts = conjuncts
        self._options = options
        self._lock = RLock()
        self._buffers: dict[str, Any] = {}
        self._rows = piece.num_entries
        self._scans = 0
        if conjuncts:  # how many rows there are is known after reading alone
            self._scan(expected)

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
        return ak.from_buffers(ak.forms.from_dict(record), self._rows, _Buffers(self._buffer))

    def finish(self) -> None:
        """Check that the file is the one that was indexed, where nothing was read of it.

        Raises
        ------
        SxdaskError
            If it is not, or if a read failed before.
        """
        if self.failure is not None:
            raise self.failure
        if not self._scans:
            self._scan(())

    def _buffer(self, key: str) -> Any:
        with self._lock:
            if key not in self._buffers:
                name = self._names[int(key.partition("-")[0])]
                self._scan(self._expected if name in self._expected else (name,))
            return self._buffers[key]

    def _scan(self, names: tuple[str, ...]) -> None:
        wanted = {*names, *(name for item in self._conjuncts for name in item.columns)}
        layouts = {name: self._layout.columns[name] for name in wanted}
        spec = ScanSpec(names, self._conjuncts)
        try:
            found = scan(self._piece, layouts, spec, self._options)
        except SxdaskError as error:
            self.failure = self.failure or error
            raise
        again = {"entries_in": 0, "entries_out": 0} if self._scans else {}
        self.report += replace(found.report, **again)
        self.learned |= found.learned
        self._rows = found.num_rows
        self._scans += 1
        for name, array in found.arrays.items():
            self._keep(self._names.index(name), array)

    def _keep(self, number: int, array: ak.Array) -> None:
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
            self.failure = self.failure or error
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
