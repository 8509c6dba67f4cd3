"""Files of real experiments, from the source distribution of coffea on PyPI.

CMS NanoAOD of several versions, ATLAS PHYSLITE, PFNano, TreeMaker, Delphes,
EDM4hep, ProtoDUNE and more, some of them also as RNTuple: what coffea tests
itself with. They are fetched once with pip and kept in the user's cache.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sxdask.core.errors import FileMissingError, ReadFailedError
from sxdask.core.settings import load_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

SAMPLES_VERSION = "2026.9.0"
# Of coffea-2026.9.0.tar.gz, https://pypi.org/project/coffea/2026.9.0/#files
SAMPLES_SHA256 = "7dfc1b54d9d1533c8a5bd8a5786d13272ea1a170b0817061d4478f721aedae04"
DOWNLOAD_TIMEOUT_S = 600

_MEMBER = re.compile(r"coffea-[^/]+/tests/samples/([\w.-]+\.root)")
_HINT = "connect to PyPI (or a mirror that pip knows), or set SXDASK_SAMPLES to a folder with them"


def sample_files(cache_dir: Path | None = None) -> Path:
    """Return the folder of the real sample files, fetching them if need be.

    The environment variable ``SXDASK_SAMPLES`` names a folder to use instead.
    The first call fetches 30 MB; processes that call at once wait for one of
    them to do so.

    Parameters
    ----------
    cache_dir
        Where to keep them; the cache directory of the settings by default.

    Returns
    -------
    Path
        A folder that holds ``nano_dy.root``, ``PHYSLITE_example.root``, ...

    Raises
    ------
    FileMissingError
        If ``SXDASK_SAMPLES`` names no folder.
    ReadFailedError
        If pip cannot fetch coffea's source distribution.
    """
    chosen = os.environ.get("SXDASK_SAMPLES")
    if chosen:
        folder = Path(chosen).expanduser()
        if not folder.is_dir():
            raise FileMissingError(
                f"SXDASK_SAMPLES is {chosen!r}, and there is no such folder",
                hint="unset SXDASK_SAMPLES to fetch the samples from PyPI",
            )
        return folder
    root = (cache_dir or load_settings().cache_dir) / "samples"
    folder = root / SAMPLES_VERSION
    if folder.is_dir():
        return folder
    root.mkdir(parents=True, exist_ok=True)
    with _lock(root / f"{SAMPLES_VERSION}.lock"):
        if not folder.is_dir():  # another process may have been faster
            with tempfile.TemporaryDirectory(dir=root, prefix="fetch-") as scratch:
                ready = _unpack(_download(Path(scratch)), Path(scratch) / "samples")
                ready.rename(folder)  # all files or none
    return folder


def _download(scratch: Path) -> Path:
    """Let pip fetch the source distribution: it knows the user's proxy and mirrors."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--no-binary", "coffea", "--dest", str(scratch)]
    try:
        done = subprocess.run(  # noqa: S603 - fixed arguments, no shell
            [*command, f"coffea=={SAMPLES_VERSION}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=DOWNLOAD_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        raise ReadFailedError(
            f"pip did not fetch the real sample files within {DOWNLOAD_TIMEOUT_S} s", hint=_HINT
        ) from None
    archives = sorted(scratch.glob("coffea-*.tar.gz"))
    if done.returncode or not archives:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
        reason = reasons[-1] if reasons else done.stderr.strip()[-200:]
        raise ReadFailedError(f"pip cannot fetch the real sample files: {reason}", hint=_HINT)
    found = hashlib.sha256(archives[0].read_bytes()).hexdigest()
    if found != SAMPLES_SHA256:
        raise ReadFailedError(
            f"coffea's source distribution has the digest {found}, not {SAMPLES_SHA256}",
            hint="ask the mirror's operator why its file differs from PyPI's",
        )
    return archives[0]


def _unpack(archive: Path, folder: Path) -> Path:
    """Copy the ROOT files out of `archive`; no path in it is trusted, only base names."""
    folder.mkdir()
    with tarfile.open(archive) as bundle:
        for member in bundle:
            name = _MEMBER.fullmatch(member.name)
            source = bundle.extractfile(member) if name and member.isfile() else None
            if name is None or source is None:
                continue
            with source, (folder / name[1]).open("wb") as target:
                shutil.copyfileobj(source, target)
    return folder


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; it ends with the process, so that no stale one is left."""
    import fcntl  # not on Windows, which fails here and not at import

    with path.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
