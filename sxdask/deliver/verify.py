"""Whether a delivery still is what its manifest says: every object read, several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sxdask.core.errors import DataError
from sxdask.deliver.format import num_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from sxdask.deliver.manifest import Entry, Manifest

AT_ONCE = 8
"""Objects that are read at once; each is in memory as a whole."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with one object."""

    entry: Entry
    problem: str

    def __str__(self) -> str:
        return f"{self.entry.object}: {self.problem}"


def check_objects(
    manifest: Manifest,
    *,
    at_once: int = AT_ONCE,
    on_checked: Callable[[Entry], None] | None = None,
) -> list[Problem]:
    """Read every object of `manifest`; find those whose bytes, checksum or rows differ.

    Parameters
    ----------
    at_once
        Objects that are read at the same time.
    on_checked
        Called with each entry when its object was read, in order.

    Returns
    -------
    list of Problem
        In the order of the manifest; empty if all is well.

    Raises
    ------
    DeliveryError
        If the storage fails, which says nothing about the objects.
    """
    found = []
    with ThreadPoolExecutor(max(1, at_once)) as pool:
        checks = pool.map(lambda entry: _problem(manifest, entry), manifest.partitions)
        for entry, problem in zip(manifest.partitions, checks, strict=True):
            if problem is not None:
                found.append(Problem(entry, problem))
            if on_checked is not None:
                on_checked(entry)
    return found


def _problem(manifest: Manifest, entry: Entry) -> str | None:
    found = manifest.read(entry)
    if found is None:
        return "missing"
    data, digest = found
    if len(data) != entry.bytes:
        return f"{len(data)} bytes, the manifest says {entry.bytes}"
    if digest != entry.checksum:
        return "checksum differs"
    try:
        rows = num_rows(data, manifest.format)
    except DataError as error:
        return error.problem
    return None if rows == entry.rows else f"{rows} rows, the manifest says {entry.rows}"
