"""What travels between the engine and workers: an order for one file, and the report on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sxdask.service.transforms.codegens import codegen_of

if TYPE_CHECKING:
    from sxdask.service.auth.places import Places
    from sxdask.service.transforms.limits import EngineLimits, PythonLimits
    from sxdask.service.transforms.ports import ResultFormat, Transform

PREFIX = "transform_file"
"""What keys of tasks begin with, before the id of the attempt."""

TOPIC = "sxdask-transform-files"
"""Dask's topic of what workers tell while they work."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is asked of each file of a transform: equal for all of them, and hashable.

    With `places` a file is opened only where users may have files read.
    """

    language: str
    selection: str
    result_format: ResultFormat
    tree: str | None = None
    python: PythonLimits | None = None
    places: Places | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """One try at one file.

    `attempt` is unique, and so is what is written for it until the engine
    gives it the name `object` below `target`. `paths` are the replicas, best
    first. No secret is in here.
    """

    attempt: str
    work: Work
    paths: tuple[str, ...]
    object: str
    target: str
    options: tuple[tuple[str, Any], ...]
    still_seconds: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """How a try ended. Without `code` it is well, and the object waits to be published.

    `staged` names the attempt in the destination. `of_request` says that the
    mistake is in what was asked, so that no replica and no file can help;
    `transient` that another try may. `stuck` counts threads of the worker
    that hang.
    """

    path: str
    rows: int = 0
    bytes: int = 0
    bytes_read: int = 0
    staged: str = ""
    seconds: float = 0.0
    code: str = ""
    message: str = ""
    traceback: str = ""
    transient: bool = False
    of_request: bool = False
    stuck: int = 0
    worker: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is an object."""
        return not self.code


def work_of(transform: Transform, limits: EngineLimits) -> Work:
    """Return what a transform asks of each file.

    Raises
    ------
    RequestError
        If its codegen is not, or no longer, allowed.
    """
    new = transform.new
    codegen = codegen_of(new.codegen, with_python=limits.allow_python)
    python = limits.python if codegen.language == "python" else None
    return Work(
        codegen.language, new.selection, new.result_format, new.tree_name, python, limits.places
    )
