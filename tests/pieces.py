"""Pieces and layouts taken straight from uproot's branches: the reader's tests stand alone."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import awkward as ak
import numpy as np
import uproot

from sxdask.rootio.model import ColumnBaskets, ColumnKind, ColumnLayout, FileStamp, Piece
from sxdask.rootio.streamed import nested_layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

AsDtype = uproot.interpretation.numerical.AsDtype
AsJagged = uproot.interpretation.jagged.AsJagged
AsStrings = uproot.interpretation.strings.AsStrings


def stamp_of(path: Path) -> FileStamp:
    """Return what the index would remember of the file as it is now."""
    state = path.stat()
    with uproot.open(path) as file:
        return FileStamp(state.st_size, str(state.st_mtime_ns), file.file.uuid.hex)


def layout_of(name: str, branch: Any) -> ColumnLayout:
    """Return how the branch is encoded; everything that is not simple goes through uproot."""
    interpretation = branch.interpretation
    form = ak.forms.from_dict(interpretation.awkward_form(branch.file).to_dict()).to_json()
    path = name
    match interpretation:
        case AsStrings(_length_bytes="1-5"):
            return ColumnLayout(
                name, path, "string", form, header_bytes=interpretation.header_bytes
            )
        case AsJagged(content=AsDtype() as content):
            kind: ColumnKind = "jagged"
            header = interpretation.header_bytes
        case AsDtype():
            kind, header, content = "flat", 0, interpretation
        case _:
            nested = nested_layout(name, path, branch, form)
            return nested or ColumnLayout(name, path, "uproot", form)
    if type(content) is not AsDtype or content.from_dtype.fields:
        return ColumnLayout(name, path, "uproot", form)
    item, shape = content.from_dtype.base, content.from_dtype.shape
    dtype = content.to_dtype.base.name
    return ColumnLayout(name, path, kind, form, item.str, dtype, shape, header)


def baskets_of(branch: Any) -> ColumnBaskets | None:
    """Return the baskets, or None if some are embedded in the tree."""
    count = branch.num_baskets
    if branch.embedded_baskets or count == 0:
        return None
    return ColumnBaskets(
        np.array(branch.member("fBasketSeek")[:count], np.int64),
        np.array(branch.member("fBasketBytes")[:count], np.int64),
        np.array(branch.entry_offsets, np.int64),
    )


@dataclass
class Tree:
    """A tree as the index would describe it."""

    path: Path
    name: str
    num_entries: int
    layouts: dict[str, ColumnLayout]
    baskets: dict[str, ColumnBaskets]
    stamp: FileStamp
    clusters: list[int]

    def piece(
        self,
        start: int = 0,
        stop: int | None = None,
        names: Sequence[str] | None = None,
        zones: Mapping[str, Any] | None = None,
        url: str | None = None,
    ) -> Piece:
        """Return the entry range as the index would hand it out."""
        stop = self.num_entries if stop is None else stop
        chosen: dict[str, ColumnBaskets] = {}
        for name in self.layouts if names is None else names:
            if name in self.baskets:
                all_of = self.baskets[name]
                first = int(np.searchsorted(all_of.entry_starts, start, side="right")) - 1
                last = int(np.searchsorted(all_of.entry_starts, stop, side="left"))
                chosen[name] = ColumnBaskets(
                    all_of.seek[first:last],
                    all_of.num_bytes[first:last],
                    all_of.entry_starts[first : last + 1],
                )
        inner = [edge for edge in self.clusters if start < edge < stop]
        return Piece(
            index=0,
            url=url or str(self.path),
            tree=self.name,
            kind="ttree",
            stamp=self.stamp,
            entry_start=start,
            entry_stop=stop,
            cluster_starts=np.array([start, *inner, stop], np.int64),
            baskets=chosen,
            zones=dict(zones or {}),
        )


def describe(path: Path, name: str) -> Tree:
    """Return the tree's columns; those that uproot cannot read are left out."""
    layouts: dict[str, ColumnLayout] = {}
    baskets: dict[str, ColumnBaskets] = {}
    with uproot.open(path) as file:
        tree = file[name]
        clusters = list(dict.fromkeys([*tree.common_entry_offsets(), tree.num_entries]))
        for key, branch in tree.iteritems(recursive=True):
            with contextlib.suppress(Exception):
                layouts[key] = layout_of(key, branch)
                found = baskets_of(branch)
                if found is not None and layouts[key].kind != "uproot":
                    baskets[key] = found
        entries = tree.num_entries
    return Tree(path, name, entries, layouts, baskets, stamp_of(path), clusters)


def assert_same(ours: ak.Array, theirs: ak.Array, what: str = "") -> None:
    """Check values, type and form; NaN equals NaN."""
    assert ours.layout.form == theirs.layout.form, (what, ours.layout.form, theirs.layout.form)
    assert len(ours) == len(theirs), what
    assert ak.array_equal(ours, theirs, equal_nan=True, dtype_exact=True), what
