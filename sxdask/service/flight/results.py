"""Tables that are on their way to clients, and copies of those that were, within a budget.

A table that the budget has no room for lies in a file without a name, mapped:
a client that reads slowly costs disk, and nobody else's memory.
"""

from __future__ import annotations

import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path


@dataclass(eq=False)
class Entry:
    """A table, how many read it now, and whether others may find it by its key."""

    table: pa.Table
    memory: int
    disk: int
    holders: int = 0
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """A table that stays where it is until it is released."""

    table: pa.Table
    release: Callable[[], None]


class Results:
    """Tables by key; those that nobody holds are dropped, least recently used first.

    Parameters
    ----------
    budget
        Most bytes of tables in memory.
    folder
        Where tables go that find no room; None for the system's temporary files.
    """

    def __init__(self, budget: int, folder: Path | None = None) -> None:
        self.budget = budget
        self._folder = folder
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Entry] = OrderedDict()
        self._memory = 0
        self._disk = 0

    @property
    def state(self) -> dict[str, int]:
        """Numbers for `health`, in bytes."""
        with self._lock:
            return {
                "memory_bytes": self._memory,
                "disk_bytes": self._disk,
                "budget_bytes": self.budget,
                "tables": len(self._kept),
            }

    def take_in(self, table: pa.Table) -> Entry:
        """Count `table`, or move it to disk where the budget has no room for it."""
        size = int(table.get_total_buffer_size())
        with self._lock:
            for key in [key for key, item in self._kept.items() if not item.holders]:
                if self._memory + size <= self.budget:
                    break
                self._let_go(key)
            if self._memory + size <= self.budget:
                self._memory += size
                return Entry(table, size, 0)
            self._disk += size
        try:
            return Entry(self._on_disk(table), 0, size)
        except BaseException:
            with self._lock:
                self._disk -= size
            raise

    def keep(self, key: str, entry: Entry, holders: int) -> Held:
        """Keep what was taken in under `key`; it is held `holders` times."""
        with self._lock:
            self._let_go(key)
            entry.holders, entry.is_kept = holders, True
            self._kept[key] = entry
            self._tidy(key, entry)
        return Held(entry.table, lambda: self._release(key, entry))

    def hold(self, key: str) -> Held | None:
        """Return the table `key` if it is here; its holder releases it."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            found.holders += 1
            self._kept.move_to_end(key)
            return Held(found.table, lambda: self._release(key, found))

    def drop(self, keys: Iterable[str]) -> None:
        """Forget the tables `keys`; those who hold one keep it."""
        with self._lock:
            for key in keys:
                self._let_go(key)

    def _release(self, key: str, entry: Entry) -> None:
        with self._lock:
            entry.holders -= 1
            self._tidy(key, entry)

    def _tidy(self, key: str, entry: Entry) -> None:
        if entry.holders:
            return
        if not entry.is_kept:
            self._uncount(entry)
        elif entry.disk:  # a copy on disk is for those who read it now, not for later
            self._let_go(key)

    def _let_go(self, key: str) -> None:
        found = self._kept.pop(key, None)
        if found is not None:
            found.is_kept = False
            if not found.holders:
                self._uncount(found)

    def _uncount(self, entry: Entry) -> None:
        self._memory -= entry.memory
        self._disk -= entry.disk

    def _on_disk(self, table: pa.Table) -> pa.Table:
        with tempfile.NamedTemporaryFile(dir=self._folder, suffix=".arrow") as file:
            with pa.OSFile(file.name, "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
                out.write_table(table)
            # The mapping outlives the name, and nothing else: no file is ever left behind.
            return pa.ipc.open_stream(pa.memory_map(file.name)).read_all()
