"""The queue of recipes: one SQLite file, so that every step is all or nothing.

Clients come and go; what they submitted stays. A slot is a process with one
cluster; it takes the jobs of its cluster one after the other and says every few
seconds that it lives. What a dead slot was at is queued again.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
import time
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import yaml

from sxdask.core.errors import RequestError
from sxdask.requests.recipe import load_recipe

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

State: TypeAlias = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: Final = frozenset({"done", "failed", "cancelled"})

BEAT_S: Final = 2.0
STALE_S: Final = 30.0
"""A slot that has not said for so long that it lives is dead, wherever it ran."""

_WAIT_FOR_LOCK_S: Final = 30.0
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    target TEXT NOT NULL,
    cluster TEXT NOT NULL,
    options TEXT NOT NULL,
    resources TEXT NOT NULL,
    retries INTEGER NOT NULL,
    state TEXT NOT NULL DEFAULT 'queued',
    attempts INTEGER NOT NULL DEFAULT 0,
    not_before REAL NOT NULL DEFAULT 0,
    slot INTEGER,
    cancel INTEGER NOT NULL DEFAULT 0,
    error TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL,
    started REAL,
    ended REAL
);
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, id);
CREATE TABLE IF NOT EXISTS slots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cluster TEXT NOT NULL,
    options TEXT NOT NULL,
    host TEXT NOT NULL,
    pid INTEGER NOT NULL,
    beat REAL NOT NULL,
    UNIQUE (host, pid)
);
"""


@dataclass(frozen=True, slots=True)
class BatchJob:
    """One recipe in the queue; times are seconds since 1970, `error` one line."""

    id: int
    title: str
    target: str
    cluster: str
    options: str
    resources: str
    retries: int
    state: State
    attempts: int
    not_before: float
    slot: int | None
    cancel: int
    error: str
    created: float
    started: float | None
    ended: float | None


def default_folder() -> Path:
    """Return the folder of the user's queue (``SXDASK_BATCH_DIR``, or in the state directory)."""
    named = os.environ.get("SXDASK_BATCH_DIR")
    if named:
        return Path(named).expanduser()
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "sxdask" / "batch"


def text_of(options: Mapping[str, Any]) -> str:
    """Return options as a text that is equal for equal ones."""
    return json.dumps(dict(options), sort_keys=True)


class Queue:
    """The jobs and slots in `folder`; any number of processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._changed() as base:
            for statement in _TABLES.split(";\n"):
                base.execute(statement)

    def submit(
        self,
        recipe_file: Path,
        target: str,
        *,
        cluster: str,
        options: Mapping[str, Any],
        retries: int = 3,
    ) -> BatchJob:
        """Queue a recipe as it is now; later changes of the file change nothing.

        Raises
        ------
        RecipeError
            If it is no recipe.
        """
        recipe = load_recipe(recipe_file)
        values = yaml.safe_load(recipe_file.read_text(encoding="utf-8"))
        if recipe.source is not None:  # where the copy lies, relative paths would lead elsewhere
            values["dataset"]["files"] = _absolute(recipe.source)
        wanted = recipe.resources.model_dump(exclude_none=True) if recipe.resources else {}
        row = (
            recipe.title or recipe_file.stem,
            target,
            cluster,
            text_of(options),
            text_of(wanted),
            retries,
            time.time(),
        )
        with self._changed() as base:
            number = base.execute(
                "INSERT INTO jobs (title, target, cluster, options, resources, retries, created)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                row,
            ).lastrowid
            assert number is not None  # noqa: S101  narrows for the type checker
            # Before the transaction ends: a job that can be seen has its recipe.
            self.recipe(number).parent.mkdir(parents=True, exist_ok=True)
            self.recipe(number).write_text(yaml.safe_dump(values, sort_keys=False), "utf-8")
        return self.job(number)

    def recipe(self, number: int) -> Path:
        """Return the file with the recipe of a job."""
        return self.folder / "jobs" / str(number) / "recipe.yaml"

    def log(self, number: int) -> Path:
        """Return the file with what a job printed, all attempts one after the other."""
        return self.folder / "jobs" / str(number) / "log.txt"

    def job(self, number: int) -> BatchJob:
        """Return a job.

        Raises
        ------
        RequestError
            If there is none of that number.
        """
        found = self._jobs("SELECT * FROM jobs WHERE id = ?", (number,))
        if not found:
            raise RequestError(
                f"there is no batch job {number}", hint="sxdask batch list shows those there are"
            )
        return found[0]

    def jobs(self) -> list[BatchJob]:
        """Return all jobs, the oldest first."""
        return self._jobs("SELECT * FROM jobs ORDER BY id")

    def claim(self, slot: int, cluster: str, options: str) -> BatchJob | None:
        """Give the oldest job of this cluster that may run to `slot`; None if there is none."""
        now = time.time()
        with self._changed() as base:
            row = base.execute(
                "SELECT id FROM jobs WHERE state = 'queued' AND cluster = ? AND options = ?"
                " AND not_before <= ? ORDER BY id LIMIT 1",
                (cluster, options, now),
            ).fetchone()
            if row is None:
                return None
            base.execute(
                "UPDATE jobs SET state = 'running', slot = ?, attempts = attempts + 1,"
                " started = ?, error = '' WHERE id = ?",
                (slot, now, row["id"]),
            )
        return self.job(row["id"])

    def waiting(self, cluster: str, options: str) -> bool:
        """Return whether any job of this cluster is queued, now or later."""
        return bool(
            self._jobs(
                "SELECT * FROM jobs WHERE state = 'queued' AND cluster = ? AND options = ? LIMIT 1",
                (cluster, options),
            )
        )

    def end(self, job: BatchJob, state: State, error: str = "") -> None:
        """Note how a running job ended; not if another slot has it by now."""
        with self._changed() as base:
            base.execute(
                "UPDATE jobs SET state = ?, error = ?, ended = ?, slot = NULL"
                " WHERE id = ? AND slot = ? AND attempts = ?",
                (state, error, time.time(), job.id, job.slot, job.attempts),
            )

    def again(self, job: BatchJob, error: str, pause_s: float) -> None:
        """Queue a running job again, to be taken after a pause."""
        with self._changed() as base:
            base.execute(
                "UPDATE jobs SET state = 'queued', error = ?, not_before = ?, slot = NULL"
                " WHERE id = ? AND slot = ? AND attempts = ?",
                (error, time.time() + pause_s, job.id, job.slot, job.attempts),
            )

    def cancel(self, number: int) -> BatchJob:
        """Cancel a job: at once if it waits, by its slot within seconds if it runs."""
        with self._changed() as base:
            base.execute(
                "UPDATE jobs SET state = 'cancelled', ended = ? WHERE id = ? AND state = 'queued'",
                (time.time(), number),
            )
            base.execute("UPDATE jobs SET cancel = 1 WHERE id = ? AND state = 'running'", (number,))
        return self.job(number)

    def enter(self, cluster: str, options: str, pid: int | None = None) -> int:
        """Note a slot of this machine, by its process; return its number."""
        row = (cluster, options, socket.gethostname(), pid or os.getpid(), time.time())
        with self._changed() as base:
            base.execute(
                "INSERT INTO slots (cluster, options, host, pid, beat) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (host, pid) DO UPDATE SET beat = excluded.beat,"
                " cluster = excluded.cluster, options = excluded.options",
                row,
            )
            found = base.execute(
                "SELECT id FROM slots WHERE host = ? AND pid = ?", (row[2], row[3])
            ).fetchone()
            return int(found["id"])

    def leave(self, slot: int) -> None:
        """Note that a slot ends; what it has not finished is queued again."""
        with self._changed() as base:
            base.execute("DELETE FROM slots WHERE id = ?", (slot,))
            self._recover(base, time.time())

    def recover(self) -> None:
        """Queue again what dead slots were at."""
        with self._changed() as base:
            self._recover(base, time.time())

    def beat(self, slot: int) -> None:
        """Note that `slot` lives, and queue again what dead ones were at."""
        now = time.time()
        with self._changed() as base:
            base.execute("UPDATE slots SET beat = ? WHERE id = ?", (now, slot))
            self._recover(base, now)

    def slots(self, cluster: str, options: str) -> int:
        """Return how many slots of this cluster live."""
        now = time.time()
        with self._changed() as base:
            self._recover(base, now)
            rows = base.execute(
                "SELECT COUNT(*) AS n FROM slots WHERE cluster = ? AND options = ?",
                (cluster, options),
            )
            return int(rows.fetchone()["n"])

    def _recover(self, base: sqlite3.Connection, now: float) -> None:
        host = socket.gethostname()
        for row in base.execute("SELECT * FROM slots").fetchall():
            gone = row["host"] == host and not _lives(row["pid"])
            if gone or now - row["beat"] > STALE_S:
                base.execute("DELETE FROM slots WHERE id = ?", (row["id"],))
        base.execute(
            "UPDATE jobs SET slot = NULL, error = 'its slot died', ended = ?, state = CASE"
            " WHEN cancel = 1 THEN 'cancelled' WHEN attempts > retries THEN 'failed'"
            " ELSE 'queued' END"
            " WHERE state = 'running' AND slot NOT IN (SELECT id FROM slots)",
            (now,),
        )

    def _jobs(self, query: str, values: tuple[Any, ...] = ()) -> list[BatchJob]:
        with closing(self._open()) as base:
            return [BatchJob(**dict(row)) for row in base.execute(query, values)]

    @contextmanager
    def _changed(self) -> Iterator[sqlite3.Connection]:
        """Open a transaction that nobody else writes beside."""
        with closing(self._open()) as base:
            base.execute("BEGIN IMMEDIATE")
            try:
                yield base
            except BaseException:
                base.execute("ROLLBACK")
                raise
            base.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        base = sqlite3.connect(
            self.folder / "queue.sqlite", timeout=_WAIT_FOR_LOCK_S, isolation_level=None
        )
        base.row_factory = sqlite3.Row
        return base


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _absolute(files: str | list[str] | dict[str, str | None]) -> Any:
    if isinstance(files, str):
        return _placed(files)
    if isinstance(files, dict):
        return {_placed(name): tree for name, tree in files.items()}
    return [_placed(name) for name in files]


def _placed(name: str) -> str:
    return name if "://" in name or name.startswith("~") else os.path.abspath(name)  # noqa: PTH100 - may end with ":tree"


def targets(recipes: Iterable[Path], folder: str | None) -> dict[Path, str]:
    """Return where each recipe delivers: what it says, or a folder of its name below `folder`.

    Raises
    ------
    RequestError
        If two would deliver to the same place.
    """
    found: dict[Path, str] = {}
    for path in recipes:
        recipe = load_recipe(path)
        said = recipe.deliver.to if recipe.deliver else ""
        target = f"{folder.rstrip('/')}/{path.stem}" if folder else said
        found[path] = _placed(target) if target else ""
    taken = [item for item in found.values() if item]
    twice = sorted({item for item in taken if taken.count(item) > 1})
    if twice:
        raise RequestError(
            f"two of the recipes would deliver to {twice[0]!r}",
            hint="submit them with different --to",
        )
    return found
