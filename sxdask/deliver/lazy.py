"""The objects of a delivery as a dataset of pyarrow, which reads what is asked for, when it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.dataset as pads
from pyarrow.fs import FSSpecHandler, PyFileSystem

from sxdask.datasets.storage import connect
from sxdask.deliver.encode import no_rows, schema_from_text
from sxdask.deliver.treename import TREENAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sxdask.deliver.manifest import Entry, Manifest

_LAZY = {"arrow", "parquet"}


def objects_dataset(manifest: Manifest, entries: Sequence[Entry], output: str) -> pads.Dataset:
    """Return `entries`, the objects of `output`, as a dataset; see `Manifest.dataset`.

    Of messages in a topic, which are no files, the rows are in memory as well.
    """
    if not entries:
        return pads.dataset(no_rows(schema_from_text(manifest.schemas[output])))
    if manifest.format not in _LAZY or manifest.location.startswith("kafka://"):
        return pads.dataset(manifest.to_table(output))
    filesystem, root = None, manifest.location
    if "://" in root:
        connection, root = connect(root, dict(manifest.storage_options))
        filesystem = PyFileSystem(FSSpecHandler(connection))
    paths = [f"{root.rstrip('/')}/{entry.object}" for entry in entries]
    found = pads.dataset(paths, format=manifest.format, filesystem=filesystem)
    if any(len(entry.outputs) > 1 for entry in entries):
        return found.filter(pads.field(TREENAME) == output)
    return found
