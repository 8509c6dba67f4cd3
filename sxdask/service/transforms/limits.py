"""What an operator allows the engine: files at a time, seconds, tries, Python functions."""

from __future__ import annotations

from collections.abc import Hashable, Mapping  # noqa: TC003  pydantic reads them for settings
from dataclasses import dataclass, field
from typing import Final

from sxdask.core.errors import RequestError
from sxdask.service.auth.places import Places  # noqa: TC001  pydantic reads it for settings
from sxdask.service.transforms.fair import Limits

_FEWEST: Final = 8  # files at work while a cluster has no worker yet, so that it may grow
_MANY: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class PythonLimits:
    """What a Python function may take for one file, in its own process.

    `memory_bytes` is of the address space, so that libraries count as well;
    `object_bytes` is the largest file it may write. With `walls` the kernel
    lets it see nothing but its file, its scratch folder and the Python
    installation (Landlock, Linux 5.13); where the kernel cannot, such
    requests fail.
    """

    seconds: float = 600.0
    memory_bytes: int = 4 * 1024**3
    object_bytes: int = 2 * 1024**3
    walls: bool = True


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """How much is done at a time, how long, and how often.

    Attributes
    ----------
    files, files_per_user, files_per_transform
        Most files at work. 0 of all is twice the threads of the cluster, as it
        is at the moment; 0 of one is no limit of its own.
    weights
        Of users, by id: one with weight 2 gets twice the share. 1 if not named.
    still_seconds
        A file of which nothing was read, computed or written for so long is
        given up, and the next replica tried.
    file_seconds
        A file may take so long, over all tries.
    transform_still_seconds
        A transform ends as fatal if nothing of it moved on for so long while it
        was its turn: the cluster is gone, or the storage.
    tries
        How often a file is tried where another try may help.
    pause_seconds
        Before the second try; each further one waits twice as long.
    fail_fast
        If so many files have the same mistake of the user, and none was well,
        the others are not tried. 0 tries all.
    stuck_threads
        A worker with so many threads that hang is restarted.
    allow_python, python
        Whether requests may be Python functions, and what these may take.
    places
        Which files may be opened; all if it is None.
    """

    files: int = 0
    files_per_user: int = 0
    files_per_transform: int = 0
    weights: Mapping[Hashable, float] = field(default_factory=dict)
    still_seconds: float = 600.0
    file_seconds: float = 6 * 3600.0
    transform_still_seconds: float = 3600.0
    tries: int = 3
    pause_seconds: float = 2.0
    fail_fast: int = 3
    stuck_threads: int = 3
    allow_python: bool = False
    python: PythonLimits = PythonLimits()
    places: Places | None = None

    def shares(self, threads: int) -> Limits:
        """Return how many files may be at work on a cluster of so many threads."""
        return Limits(
            self.files or max(2 * threads, _FEWEST),
            self.files_per_user or _MANY,
            self.files_per_transform or _MANY,
        )

    def __post_init__(self) -> None:
        for name in ("still_seconds", "file_seconds", "transform_still_seconds"):
            if getattr(self, name) <= 0:
                raise RequestError(f"{name} is {getattr(self, name)!r}", hint="use seconds above 0")
        for name in ("files", "files_per_user", "files_per_transform", "fail_fast"):
            if getattr(self, name) < 0:
                raise RequestError(f"{name} is {getattr(self, name)!r}", hint="use 0 or more")
        if self.tries < 1 or self.stuck_threads < 1:
            raise RequestError("tries and stuck_threads are at least 1", hint="use 1 or more")
        if any(weight <= 0 for weight in self.weights.values()):
            raise RequestError("a weight is not above 0", hint="use 1 for the usual share")


DEFAULT_LIMITS: Final = EngineLimits()
