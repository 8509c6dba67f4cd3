"""The process of a Python function: ``python -m sxdask.service.transforms.sandboxed``.

An order comes as JSON on standard input. Bounds and walls come first, then the
libraries, then the function; what went wrong is said in a file.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sxdask.service.transforms import walls
from sxdask.service.transforms.limits import PythonLimits

_PORTS = {"http": 80, "https": 443, "davs": 443, "root": 1094, "xroot": 1094, "roots": 1094}
_SYSTEM = ("/usr", "/lib", "/lib64", "/bin", "/opt", "/etc", "/cvmfs", "/sys/devices/system/cpu")
_FACTS = ("/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/self", "/dev/urandom")


def main() -> None:
    """Do what standard input says."""
    order = json.load(sys.stdin)
    limits = PythonLimits(**order["work"]["python"])
    folder = Path(order["folder"])
    walls.bound(limits.seconds, limits.memory_bytes, limits.object_bytes)
    if limits.walls:
        try:
            _build(order["path"], folder)
        except OSError as error:
            print(error, file=sys.stderr)  # noqa: T201  the log of this process
            sys.exit(77)
    (folder / "answer.json").write_text(json.dumps(_answer(order, limits, folder)))


def _build(path: str, folder: Path) -> None:
    """Leave what Python needs, the file, and the folder."""
    remote = "://" in path
    places = [*map(Path, (*_SYSTEM, *_FACTS, sys.prefix, sys.base_prefix))]
    places += [Path(item).resolve() for item in sys.path if item]
    places += [] if remote else [Path(path).resolve()]
    ports = []
    if remote:
        url = urlsplit(path)
        ports = [url.port or _PORTS.get(url.scheme, 443)]
    walls.build(places, [folder, Path("/dev/null")], ports)


def _answer(order: Any, limits: PythonLimits, folder: Path) -> dict[str, Any]:
    from sxdask.deliver.attempt import as_sxdask_error
    from sxdask.service.auth.places import Places
    from sxdask.service.transforms.attempts import Attempt
    from sxdask.service.transforms.orders import Work
    from sxdask.service.transforms.writing import STAGING, Destination, write_object

    places = order["work"]["places"]
    if places is not None:
        places = Places(tuple(places["roots"]), tuple(places["hosts"]))
    work = Work(**{**order["work"], "python": limits, "places": places})
    to = Destination(Attempt(""), work, str(folder / "made"), {}, order["object"])
    try:
        made = write_object(work, order["path"], to)
    except BaseException as error:  # noqa: BLE001  all that a user's function may raise
        told = as_sxdask_error(error)
        return {
            "code": told.code,
            "problem": told.problem[:2_000],
            "hint": told.hint,
            "traceback": str(told.context.get("traceback", ""))[-20_000:],
        }
    (staged,) = (item for item in (folder / "made" / STAGING).iterdir() if item.is_file())
    staged.rename(folder / "object")
    return {"rows": made.rows}


if __name__ == "__main__":
    main()
