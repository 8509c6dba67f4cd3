"""What ``sxdask doctor`` looks at: one function a subject, each gives findings."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata, version
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

from sxdask.cli.table import count
from sxdask.core.errors import SxdaskError
from sxdask.core.machine import memory_limit, num_cores

if TYPE_CHECKING:
    from pathlib import Path

    from packaging.requirements import Requirement
    from packaging.specifiers import SpecifierSet

Status = Literal["ok", "warning", "failed"]

_LITTLE_MEMORY: Final = 2 * 10**9
_LITTLE_DISK: Final = 10**9
_CONNECT_TIMEOUT_S: Final = 3.0
# Extras that developers install; a user's installation is whole without them.
_DEVELOPMENT: Final = frozenset({"dev", "demo"})

# Environment variable -> port that its address has if it names none.
_SCHEDULER: Final = "DASK_SCHEDULER_ADDRESS"
_SERVICES: Final = {
    _SCHEDULER: 8786,
    "AWS_ENDPOINT_URL_S3": 443,
    "AWS_ENDPOINT_URL": 443,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `hint` is what to do if it is not well."""

    subject: str
    name: str
    status: Status
    detail: str
    hint: str = ""


def all_findings(cache_dir: Path) -> Iterator[Finding]:
    """Look at everything."""
    yield from software()
    yield from machine()
    yield from cache(cache_dir)
    yield from extras()
    yield from services()


def software() -> Iterator[Finding]:
    """Compare Python and the required packages with the ranges that sxdask declares."""
    from packaging.specifiers import SpecifierSet

    wanted = SpecifierSet(metadata("sxdask")["Requires-Python"])
    found = platform.python_version()
    fits = wanted.contains(found, prereleases=True)
    yield Finding(
        "software",
        "python",
        "ok" if fits else "failed",
        f"{found} (wanted {_range(wanted)}), {sys.executable}",
        "" if fits else "make an environment with another Python",
    )
    for requirement in _requirements():
        yield _package(requirement, "software", missing="failed")


def extras() -> Iterator[Finding]:
    """Say which optional packages are there."""
    from packaging.requirements import Requirement

    declared = [Requirement(text) for text in metadata("sxdask").get_all("Requires-Dist") or []]
    for extra in metadata("sxdask").get_all("Provides-Extra") or []:
        if extra in _DEVELOPMENT:
            continue
        wanted = [
            item
            for item in declared
            if item.marker
            and item.marker.evaluate({"extra": extra})
            and item.name != "sxdask"
            and not item.marker.evaluate({"extra": ""})
        ]
        for requirement in wanted:
            yield _package(requirement, f"extra {extra}", missing="ok", extra=extra)


def machine() -> Iterator[Finding]:
    """Say how many cores and how much memory there are."""
    cores = num_cores()
    yield Finding("machine", "cores", "ok", f"{cores:g}")
    limit, owner = memory_limit()
    enough = limit >= _LITTLE_MEMORY
    yield Finding(
        "machine",
        "memory",
        "ok" if enough else "warning",
        f"{limit / 1e9:.1f} GB, limit of the {owner}",
        "" if enough else "set SXDASK_PARTITION_BYTES lower",
    )


def cache(folder: Path) -> Iterator[Finding]:
    """Try to write into the cache directory, and look at the room on its disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as handle:
            handle.write(b"sxdask")
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Finding(
            "cache",
            "directory",
            "failed",
            f"{folder} cannot be written to: {error.strerror}",
            "set SXDASK_CACHE_DIR to a folder of yours",
        )
        return
    yield Finding("cache", "directory", "ok", f"{folder} can be written to")
    roomy = free >= _LITTLE_DISK
    yield Finding(
        "cache",
        "disk",
        "ok" if roomy else "warning",
        f"{free / 1e9:.1f} GB free",
        "" if roomy else "make room, or set SXDASK_CACHE_DIR to another disk",
    )


def services() -> Iterator[Finding]:
    """Knock at the services that the environment names."""
    for variable, port in _SERVICES.items():
        address = os.environ.get(variable)
        if not address:
            continue
        problem = _unreachable(address, port)
        yield Finding(
            "services",
            variable,
            "failed" if problem else "ok",
            f"{_without_password(address)}: {problem or 'answers'}",
            f"start it, or unset {variable}" if problem else "",
        )
        if variable == _SCHEDULER and not problem:
            yield _same_versions(address)


def _same_versions(address: str) -> Finding:
    """Ask the scheduler and its workers for their versions and compare them with ours."""
    from distributed import Client

    from sxdask.clusters.versions import differences, versions_of

    try:
        with Client(address, timeout=_CONNECT_TIMEOUT_S, set_as_default=False) as client:
            found = versions_of(client)
    except (OSError, TimeoutError, ValueError) as error:
        return Finding(
            "services",
            "dask versions",
            "failed",
            f"no Dask scheduler answers: {error}",
            f"correct {_SCHEDULER}",
        )
    different = [str(item) for item in differences(found)]
    return Finding(
        "services",
        "dask versions",
        "failed" if different else "ok",
        "; ".join(different)
        or f"the same here, at the scheduler and {count(len(found['workers']), 'worker')}",
        "install the same versions everywhere" if different else "",
    )


def _requirements() -> list[Requirement]:
    from packaging.requirements import Requirement

    found = [Requirement(text) for text in metadata("sxdask").get_all("Requires-Dist") or []]
    return [item for item in found if item.marker is None or item.marker.evaluate({"extra": ""})]


def _package(
    requirement: Requirement, subject: str, *, missing: Status, extra: str = ""
) -> Finding:
    try:
        found = version(requirement.name)
    except PackageNotFoundError:
        hint = f"pip install 'sxdask[{extra}]'" if extra else "install sxdask again"
        return Finding(subject, requirement.name, missing, "not installed", hint)
    fits = requirement.specifier.contains(found, prereleases=True)
    wanted = f" (wanted {_range(requirement.specifier)})" if requirement.specifier else ""
    return Finding(
        subject,
        requirement.name,
        "ok" if fits else "failed",
        f"{found}{wanted}",
        "" if fits else f"pip install '{requirement.name}{_range(requirement.specifier)}'",
    )


def _range(bounds: SpecifierSet) -> str:
    """Return the bounds as people write them, the lower one first."""
    return ",".join(sorted(map(str, bounds), reverse=True))


def _unreachable(address: str, port: int) -> str:
    """Return why nothing answers at `address`, or nothing."""
    try:
        parts = urlsplit(address if "://" in address else f"tcp://{address}")
        default = 80 if parts.scheme == "http" else port
        place = (parts.hostname or "localhost", parts.port or default)
        with socket.create_connection(place, timeout=_CONNECT_TIMEOUT_S):
            return ""
    except ValueError as error:
        return f"not an address: {error}"
    except OSError as error:
        return f"no answer: {error.strerror or error}"


def _without_password(address: str) -> str:
    head, at, tail = address.rpartition("@")
    return f"{head.partition('://')[0]}://...@{tail}" if at else address


def settings_finding(error: SxdaskError) -> Finding:
    """Return the finding that the settings in the environment are wrong."""
    return Finding("settings", "environment", "failed", error.problem, error.hint or "")
