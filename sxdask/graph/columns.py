"""Columns of one partition that are read when they are asked for, and each only once.

The columns that a plan expects are read together, in one batch of requests;
any other one is read alone. Rows that a condition removes are gone from all of
them, and the condition is evaluated once.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from threading import RLock
from typing import TYPE_CHECKING, Final

import awkward as ak
import numpy as np

from sxdask.core.errors import SxdaskError
from sxdask.core.events import ReadReport
from sxdask.core.types import ENTRY_COLUMNS, LOCAL_ENTRY
from sxdask.rootio.model import BoolArray, ColumnLayout, Conjunct, Int64Array, ScanSpec
from sxdask.rootio.scan import scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.rootio.model import ColumnZones, Piece, ReadOptions

_COUNTED: Final = {
    name: ColumnLayout(name, "", "entry", ak.forms.NumpyForm("int64").to_json())
    for name in ENTRY_COLUMNS
}


class LazyColumns:
    """Rows of `piece` that pass `conjuncts`, read column by column as they are touched.

    `expected` are the columns that `piece` has baskets of and that are read
    together. `arrays` has what was read. `report` and `learned` grow with it;
    `failure` is the first error of a read, which awkward may have put into
    another one.
    """

    def __init__(
        self,
        piece: Piece,
        layouts: Mapping[str, ColumnLayout],
        expected: tuple[str, ...],
        conjuncts: tuple[Conjunct, ...],
        options: ReadOptions,
    ) -> None:
        self.report = ReadReport()
        self.learned: dict[str, ColumnZones] = {}
        self.failure: SxdaskError | None = None
        self.arrays: dict[str, ak.Array] = {}
        self.lock = RLock()
        self._piece = piece
        self._layouts = layouts
        self._expected = expected
        self._conjuncts = conjuncts
        self._options = options
        self._scans = 0
        self.num_rows = piece.num_entries
        if conjuncts:  # how many rows there are is known after reading alone
            self._scan(expected)

    def read(self, name: str) -> dict[str, ak.Array]:
        """Read column `name` and all that are expected with it; return what is new by that.

        Raises
        ------
        SxdaskError
            If it cannot be read; then `failure` has it as well.
        """
        with self.lock:
            if name in self.arrays:
                return {}
            return self._scan(self._expected if name in self._expected else (name,))

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

    def _scan(self, names: tuple[str, ...]) -> dict[str, ak.Array]:
        wanted = {*names, *(name for item in self._conjuncts for name in item.columns)}
        layouts = {name: self._layouts[name] for name in wanted if name not in ENTRY_COLUMNS}
        counted = (LOCAL_ENTRY,) if self._conjuncts and not self._scans else ()
        if counted:  # what the conditions read is had already
            names = (*dict.fromkeys((*names, *layouts)),)
        spec = ScanSpec((*names, *counted), self._conjuncts)
        try:
            found = scan(self._piece, {**layouts, **_COUNTED}, spec, self._options)
        except SxdaskError as error:
            self.failure = self.failure or error
            raise
        again = {"entries_in": 0, "entries_out": 0} if self._scans else {}
        self.report += replace(found.report, **again)
        self.learned |= found.learned
        self._scans += 1
        if counted:
            self.num_rows = found.num_rows
            rows = ak.to_numpy(found.arrays[LOCAL_ENTRY])
            # from here on the rows are known, and no column of a condition is read again
            self._conjuncts = (Conjunct((LOCAL_ENTRY,), _RowsAmong(rows), "rows that pass"),)
        new = {name: found.arrays[name] for name in names}
        self.arrays |= new
        return new


@dataclass(frozen=True, slots=True)
class _RowsAmong:
    """Says of each entry whether it is one of `rows`, which rise."""

    rows: Int64Array

    def __call__(self, columns: Mapping[str, ak.Array]) -> BoolArray:
        entries = ak.to_numpy(columns[LOCAL_ENTRY])
        found: BoolArray = np.isin(entries, self.rows, assume_unique=True)
        return found
