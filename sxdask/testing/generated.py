"""Generated data that recipes and the demonstration share: written once, kept in the cache."""

from __future__ import annotations

import fcntl
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from sxdask.testing.nanoaod import write_nanoaod_files

if TYPE_CHECKING:
    from sxdask.requests.recipe import Generate

# What decides the bytes of a file: with any of these changed, old data is not today's.
_GENERATOR = ("collisions", "detector", "events", "kinematics", "nanoaod")


def generated_files(spec: Generate, cache_dir: Path) -> list[Path]:
    """Return the files that `spec` describes, writing them if they are not there yet.

    The same `spec` gives the same files, byte for byte. Processes that ask at
    once wait for the one that writes; a process that dies leaves no half data.

    Parameters
    ----------
    spec
        What to generate.
    cache_dir
        Where to keep it; the files are in ``generated/`` below it.

    Returns
    -------
    list of Path
        The files, in the order of their events.
    """
    root = cache_dir / "generated"
    folder = root / f"{spec.num_events}-events-{spec.files}-files-{_digest(spec)}"
    if not folder.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        with (root / f"{folder.name}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # ends with the process
            if not folder.is_dir():  # another process may have been faster
                _write(spec, folder)
    return sorted(folder.glob("*.root"))


def _write(spec: Generate, folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix="write-") as scratch:
        options = spec.model_dump(exclude={"num_events", "files"})
        ready = Path(scratch) / "data"
        write_nanoaod_files(ready, spec.num_events, spec.files, **options)
        ready.rename(folder)  # all files or none


def _digest(spec: Generate) -> str:
    mark = hashlib.blake2b(spec.model_dump_json().encode(), digest_size=6)
    for name in _GENERATOR:
        mark.update(Path(__file__).with_name(f"{name}.py").read_bytes())
    return mark.hexdigest()
