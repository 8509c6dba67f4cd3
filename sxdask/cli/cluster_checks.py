"""What ``sxdask doctor --cluster NAME`` looks at: one line for each part of a cluster."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sxdask.cli.checks import Finding, Status
from sxdask.cli.table import count
from sxdask.core.errors import SxdaskError, VersionMismatchError

if TYPE_CHECKING:
    from sxdask.clusters.opening import Cluster

_SUBJECT: Final = "cluster"
# S3 refuses signatures that are a quarter of an hour off (RequestTimeTooSkewed), certificates
# of a fresh proxy are not valid yet before that.
_CLOCK_WARNING_S: Final = 5.0
_CLOCK_FAILURE_S: Final = 300.0
# What libraries on a worker find credentials by: a variable, and whether it names a file.
_CREDENTIALS: Final = {
    "X509_USER_PROXY": True,
    "BEARER_TOKEN_FILE": True,
    "BEARER_TOKEN": False,
    "AWS_SHARED_CREDENTIALS_FILE": True,
    "AWS_WEB_IDENTITY_TOKEN_FILE": True,
    "AWS_ACCESS_KEY_ID": False,
    "AWS_PROFILE": False,
}


def cluster_findings(
    name: str, options: dict[str, Any], *, storage: str | None = None, patience_s: float = 120.0
) -> Iterator[Finding]:
    """Open the cluster `name` with one worker and look at it; it is closed in the end."""
    from sxdask.clusters.names import find_cluster
    from sxdask.clusters.opening import open_cluster

    began = time.perf_counter()
    try:
        entry = find_cluster(name)
        cluster = open_cluster(name, **{"wait_s": patience_s} | _one_worker(entry, options))
        client = cluster.start()
    except SxdaskError as error:
        what = "versions" if isinstance(error, VersionMismatchError) else "reachable"
        yield _finding(what, "failed", error.problem, error.hint or "")
        return
    try:
        seconds = time.perf_counter() - began
        yield _finding("reachable", "ok", f"{client.scheduler.address} after {seconds:.1f} s")
        yield _workers(cluster, client)
        if not client.nthreads():
            return
        yield _versions(client)
        yield _clock(client)
        yield _secrets(client)
        yield _storage(client, storage or entry.storage)
        yield _finding("dashboard", "ok", cluster.dashboard or "none")
    finally:
        cluster.close()


def _one_worker(entry: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Return options that start one worker, where workers are started by us."""
    joins = entry.backend == "address" or "name" in {*entry.options, *options}
    return options if joins or "workers" in options else options | {"workers": 1}


def _finding(what: str, status: Status, detail: str, hint: str = "") -> Finding:
    return Finding(_SUBJECT, what, status, detail, hint)


def _workers(cluster: Cluster, client: Any) -> Finding:
    found = client.scheduler_info()["workers"].values()
    if not found:
        why = cluster.problem() or "none has come yet"
        return _finding("workers", "warning", why, "workers come with the first request, or never")
    threads = sum(item["nthreads"] for item in found)
    limits = [item["memory_limit"] for item in found]
    memory = f"{min(limits) / 1e9:.1f} GB each" if all(limits) else "no limit of memory"
    return _finding("workers", "ok", f"{len(found)} with {count(threads, 'thread')}, {memory}")


def _versions(client: Any) -> Finding:
    from sxdask.clusters.versions import check_versions

    try:
        workers = check_versions(client)
    except VersionMismatchError as error:
        return _finding("versions", "failed", error.problem, error.hint or "")
    there = count(workers, "worker")
    return _finding("versions", "ok", f"the same here, at the scheduler and {there}")


def _clock(client: Any) -> Finding:
    before = time.time()
    there = client.run(time.time)
    after = time.time()
    # A worker whose clock was read between the two moments may be anywhere between them.
    offsets = [max(before - moment, moment - after, 0.0) for moment in there.values()]
    worst = max(offsets)
    detail = f"at most {worst:.1f} s from this machine's"
    if worst > _CLOCK_FAILURE_S:
        return _finding("clock", "failed", detail, "set the clocks of the workers (NTP)")
    status: Status = "warning" if worst > _CLOCK_WARNING_S else "ok"
    return _finding("clock", status, detail, "set the clocks (NTP)" if status != "ok" else "")


def _secrets(client: Any) -> Finding:
    from sxdask.clusters.worker import setup_problems

    wrong = setup_problems(client)
    found = client.run(_credentials)
    unreadable = [text for address in sorted(found) for text in found[address][1]]
    problems = [text for address in sorted(wrong) for text in wrong[address]] + unreadable
    if problems:
        return _finding(
            "secrets", "failed", problems[0], "mount it there, or correct the cluster's options"
        )
    names = sorted({name for here, _ in found.values() for name in here})
    detail = f"found by {', '.join(names)}" if names else "none: public data only"
    return _finding("secrets", "ok", detail)


def _credentials() -> tuple[list[str], list[str]]:
    """Return the names of credentials that this process has, and files that cannot be read."""
    names = [name for name in _CREDENTIALS if os.environ.get(name)]
    wrong = [
        f"{name} names {os.environ[name]!r}, which cannot be read"
        for name in names
        if _CREDENTIALS[name] and not os.access(Path(os.environ[name]).expanduser(), os.R_OK)
    ]
    return names, wrong


def _storage(client: Any, url: str) -> Finding:
    if not url:
        hint = "name a place with --storage or as 'storage' of the cluster"
        return _finding("storage", "ok", "not tried: no place was named", hint)
    place = f"{url.rstrip('/')}/.sxdask-check-{uuid.uuid4().hex}"
    try:
        seconds = client.submit(_write_and_read, place, pure=False).result(timeout=60)
    except SxdaskError as error:
        return _finding("storage", "failed", error.problem, error.hint or "")
    except Exception as error:  # noqa: BLE001 - storages raise anything at all
        text = " ".join(str(error).split())[:200]
        return _finding(
            "storage",
            "failed",
            f"a worker cannot write to {url}: {type(error).__name__}: {text}",
            "see the credentials of the workers and the rights there",
        )
    return _finding("storage", "ok", f"{url}: written, read and removed in {seconds:.2f} s")


def _write_and_read(place: str) -> float:
    """Run by a worker: write a small object, read it back, remove it; return the seconds."""
    from sxdask.datasets.storage import connect

    began = time.perf_counter()
    filesystem, path = connect(place)
    payload = os.urandom(64)
    if "://" not in place:  # object storages have no folders to make
        filesystem.makedirs(os.path.dirname(path), exist_ok=True)  # noqa: PTH120 - text of fsspec
    filesystem.pipe_file(path, payload)
    try:
        if filesystem.cat_file(path) != payload:
            raise OSError("what was read back is not what was written")
    finally:
        filesystem.rm_file(path)
    return time.perf_counter() - began
