"""What a process imports as it starts, so that the first files of a service do not wait for it."""

from __future__ import annotations

import importlib
from contextlib import suppress
from functools import cache
from threading import Thread
from typing import TYPE_CHECKING, Any, ClassVar, Final

from distributed.diagnostics.plugin import WorkerPlugin

from sxdask.core.errors import SxdaskError

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDED: Final = (
    "sxdask.service.transforms.writing",
    "sxdask.rootio.likeness",
    "pyarrow.parquet",
    "s3fs",
)


class Imports(WorkerPlugin):  # type: ignore[misc]  # distributed has no types
    """Lets a worker import what nearly every transform needs, while it has nothing else to do."""

    name: ClassVar[str] = "sxdask-imports"
    idempotent: ClassVar[bool] = True

    def setup(self, worker: Any) -> None:  # noqa: ARG002  the signature is Dask's
        """Begin; the worker is ready for tasks meanwhile."""
        begin_imports()


def make_ready(target: str, options: Mapping[str, Any]) -> None:
    """Return when all is imported, and a connection to the folder or bucket `target` was made."""
    from sxdask.deliver.store import open_store

    finish_imports()
    with suppress(SxdaskError):  # that it is not there, which is no matter
        open_store(target, dict(options)).size("none")


def finish_imports() -> None:
    """Return when all is imported: two threads must not begin packages that import one another."""
    begin_imports().join()


@cache
def begin_imports() -> Thread:
    """Begin, once in a process; returns the thread that does it."""
    thread = Thread(target=_import, name="sxdask-imports")  # a process ends after its imports
    thread.start()
    return thread


def _import() -> None:
    for name in NEEDED:
        with suppress(ImportError):  # what cannot do without it says so
            importlib.import_module(name)
