"""Write ROOT files that look like CMS NanoAOD: names, types, counters, spectra."""

from __future__ import annotations

import hashlib
import threading
import uuid
from contextlib import contextmanager
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import awkward as ak
import numpy as np
import uproot
import uproot.writing._cascade
import uproot.writing._cascadetree
import uproot.writing.writable

from sxdask.testing.events import event_range

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from sxdask.testing.events import EventBlock

TREE = "Events"
MAX_EXTRA_BRANCHES = 2_000

# Threads that write at the same time would put back each other's clock.
_CLOCK = threading.RLock()

# Low levels: a test waits for the compressor, and no test is about the ratio.
COMPRESSIONS = {
    "zstd": uproot.ZSTD(1),
    "lz4": uproot.LZ4(1),
    "zlib": uproot.ZLIB(1),
    "lzma": uproot.LZMA(1),
    "none": None,
}


def write_nanoaod(
    path: str | os.PathLike[str],
    num_events: int,
    *,
    seed: int = 0,
    first_event: int = 0,
    extra_branches: int = 0,
    compression: str = "zstd",
    entries_per_cluster: int = 100_000,
) -> Path:
    """Write a file of simulated collisions in the layout of CMS NanoAOD.

    The tree is ``Events``. Collections (``Muon``, ``Electron``, ``Jet``,
    ``GenPart``) are jagged branches that share one counter (``nMuon``);
    ``event`` and ``luminosityBlock`` grow along the file. A quarter of the
    events hold a Z boson that decays to muons or electrons, an eighth a pair
    of top quarks.

    Parameters
    ----------
    path
        File to write; an existing one is replaced.
    num_events
        Number of events, from none upwards.
    seed
        Name of the sample. The same seed gives the same events, whatever the
        other arguments are.
    first_event
        Where in the sample the file begins; `event` of its first entry is one more.
    extra_branches
        How many branches to add (at most 2 000) to make the file as wide as
        a real one: trigger bits, numbers, columns of the collections. uproot
        takes time quadratic in them to write a tree: 1 s for 500, 11 s for 2 000.
    compression
        ``"zstd"``, ``"lz4"``, ``"zlib"``, ``"lzma"`` or ``"none"``.
    entries_per_cluster
        Entries of a cluster; each branch has one basket a cluster.

    Returns
    -------
    Path
        The file. For the same arguments it is the same, byte for byte.

    Raises
    ------
    ValueError
        If a number is out of range or `compression` is not in the list.

    Examples
    --------
    >>> import tempfile, uproot
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = write_nanoaod(f"{folder.name}/small.root", 100)
    >>> uproot.open(path)["Events"].num_entries
    100
    >>> folder.cleanup()
    """
    _check(num_events, first_event, extra_branches, entries_per_cluster)
    if compression not in COMPRESSIONS:
        raise ValueError(f"compression {compression!r} is not one of {', '.join(COMPRESSIONS)}")
    target = Path(path)
    text = repr((num_events, seed, first_event, extra_branches, compression, entries_per_cluster))
    identity = uuid.UUID(bytes=hashlib.blake2b(text.encode(), digest_size=16).digest())
    stop = first_event + num_events
    edges = [*range(first_event, stop, entries_per_cluster), stop]
    with (
        _fixed_clock(),
        uproot.recreate(
            target, compression=COMPRESSIONS[compression], uuid_function=lambda: identity
        ) as file,
    ):
        first = _arrays(
            event_range(first_event, first_event, seed=seed, extra_branches=extra_branches)
        )
        tree = file.mktree(
            TREE,
            {name: values.type.content for name, values in first.items()},
            counter_name=_counter_name,
            field_name=_field_name,
            # Room for all baskets, or uproot writes the whole tree again each time it runs out.
            initial_basket_capacity=len(edges) + 1,
        )
        for start, end in pairwise(edges):
            tree.extend(_arrays(event_range(start, end, seed=seed, extra_branches=extra_branches)))
    return target


def write_nanoaod_files(
    folder: str | os.PathLike[str], num_events: int, files: int, **options: Any
) -> list[Path]:
    """Write one sample as several files of (almost) the same number of events.

    Parameters
    ----------
    folder
        Directory of the files ``nano_0000.root``, ...; made if it is missing.
    num_events
        Number of events in all files together.
    files
        Number of files.
    options
        As for `write_nanoaod`; ``first_event`` is where the first file begins.

    Returns
    -------
    list of Path
        The files, in the order of their events.
    """
    if files < 1:
        raise ValueError(f"files is {files}, must be at least 1")
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    begin = options.pop("first_event", 0)
    edges = [begin + num_events * number // files for number in range(files + 1)]
    return [
        write_nanoaod(place / f"nano_{number:04d}.root", stop - start, first_event=start, **options)
        for number, (start, stop) in enumerate(pairwise(edges))
    ]


def expected_arrays(
    num_events: int, *, seed: int = 0, first_event: int = 0, extra_branches: int = 0
) -> dict[str, ak.Array]:
    """Return what a file of these arguments holds, by branch, without writing it."""
    _check(num_events, first_event, extra_branches, 1)
    block = event_range(
        first_event, first_event + num_events, seed=seed, extra_branches=extra_branches
    )
    expected: dict[str, ak.Array] = {}
    for name, values in _arrays(block).items():
        if not values.fields:
            expected[name] = values
            continue
        expected[_counter_name(name)] = ak.values_astype(ak.num(values), np.int32)
        expected |= {_field_name(name, key): values[key] for key in values.fields}
    return expected


def _check(num_events: int, first_event: int, extra_branches: int, entries: int) -> None:
    if num_events < 0 or first_event < 0:
        raise ValueError("num_events and first_event must not be negative")
    if not 0 <= extra_branches <= MAX_EXTRA_BRANCHES:
        raise ValueError(
            f"extra_branches is {extra_branches}, must be from 0 to {MAX_EXTRA_BRANCHES}"
        )
    if entries < 1:
        raise ValueError(f"entries_per_cluster is {entries}, must be at least 1")


def _counter_name(collection: str) -> str:
    return f"n{collection}"


def _field_name(collection: str, field: str) -> str:
    return f"{collection}_{field}"


def _arrays(block: EventBlock) -> dict[str, ak.Array]:
    """Return flat columns and, for each collection, one jagged array of records."""
    arrays = {name: ak.Array(values) for name, values in block.flat.items()}
    for name, found in block.collections.items():
        offsets = np.zeros(found.counts.size + 1, dtype=np.int64)
        np.cumsum(found.counts, out=offsets[1:])
        records = ak.contents.RecordArray(
            [ak.contents.NumpyArray(values) for values in found.columns.values()],
            list(found.columns),
            length=int(offsets[-1]),
        )
        arrays[name] = ak.Array(ak.contents.ListOffsetArray(ak.index.Index64(offsets), records))
    return arrays


@contextmanager
def _fixed_clock() -> Iterator[None]:
    """Make uproot write one fixed time into every key, so that files can be compared.

    uproot 5.7 takes the time of day in three modules and offers no argument for it.
    """

    class Fixed(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Fixed:
            return cls(2025, 1, 1, tzinfo=tz)

    clock = SimpleNamespace(datetime=Fixed)
    with (
        _CLOCK,
        patch.object(uproot.writing._cascade, "datetime", clock),  # noqa: SLF001
        patch.object(uproot.writing._cascadetree, "datetime", clock),  # noqa: SLF001
        patch.object(uproot.writing.writable, "datetime", clock),
    ):
        yield
