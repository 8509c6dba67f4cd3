"""Where objects wait, hidden, until the delivery that they belong to is complete."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Collection

    import pyarrow as pa

    from sxdask.deliver.store import Store
    from sxdask.deliver.streaming import CheckedFile


class Staging(Protocol):
    """Objects by name and attempt. Any number of attempts at a name may wait beside each other."""

    def require_access(self, name: str) -> None:
        """Find out early whether `name` may be written; nothing is left behind.

        Raises
        ------
        AccessDeniedError
            If it surely may not.
        """
        ...

    def put(self, name: str, data: bytes | pa.Buffer) -> str:
        """Store `data`, hidden, and return the name of this attempt."""
        ...

    def size(self, name: str, attempt: str) -> int | None:
        """Return the bytes that wait, or None if nothing does."""
        ...

    def publish(self, name: str, attempt: str, size: int) -> bool:
        """Make the attempt the object `name`, as a whole, if it has `size` bytes; else False."""
        ...

    def take_back(self, name: str, attempt: str) -> bool:
        """Hide the object `name` again, as this attempt at it; False if that cannot be done."""
        ...

    def drop(self, name: str, attempt: str) -> None:
        """Remove one attempt; it may be gone already."""
        ...

    def replace(self, name: str, data: bytes) -> None:
        """Make `data` the object `name`, as a whole."""
        ...

    def clear(self, names: Collection[str], *, alone: bool) -> None:
        """Remove all that waits under `names`, of every attempt of this run.

        `alone` says that no other run of the delivery lives, so that where runs
        cannot be told apart all may go.
        """
        ...


@runtime_checkable
class StreamStaging(Protocol):
    """Staging where an object need not be in memory as a whole to be stored."""

    def stream(self, name: str, fill: Callable[[io.IOBase], None]) -> tuple[str, CheckedFile]:
        """Store what `fill` writes, hidden; return the attempt's name, and size and checksum.

        If `fill` raises nothing is left of it.
        """
        ...


class FolderStaging:
    """A hidden folder of a store; publishing gives an object its final name.

    `folder` is relative to the store and belongs to one run of a delivery.
    """

    def __init__(self, store: Store, folder: str) -> None:
        self._store = store
        self._folder = folder

    def require_access(self, name: str) -> None:
        """Nothing is tried: the first object shows it as well."""

    def put(self, name: str, data: bytes | pa.Buffer) -> str:
        """Write into the folder."""
        attempt = new_attempt()
        self._store.write(self._place(name, attempt), data)
        return attempt

    def size(self, name: str, attempt: str) -> int | None:
        """Return the size of the file in the folder."""
        return self._store.size(self._place(name, attempt)) if attempt else None

    def publish(self, name: str, attempt: str, size: int) -> bool:
        """Rename."""
        if self.size(name, attempt) != size:
            return False
        self._store.move(self._place(name, attempt), name)
        return True

    def take_back(self, name: str, attempt: str) -> bool:
        """Rename."""
        self._store.move(name, self._place(name, attempt))
        return True

    def drop(self, name: str, attempt: str) -> None:
        """Remove the file in the folder."""
        self._store.remove(self._place(name, attempt))

    def replace(self, name: str, data: bytes) -> None:
        """Write beside, then rename."""
        staged = f"{self._folder}/{name}"
        self._store.write(staged, data)
        self._store.move(staged, name)

    def clear(self, names: Collection[str], *, alone: bool) -> None:  # noqa: ARG002
        """Remove the folder, which is this run's alone."""
        self._store.remove_folder(self._folder)

    def _place(self, name: str, attempt: str) -> str:
        stem, dot, suffix = name.rpartition(".")
        return f"{self._folder}/{stem}.{attempt}{dot}{suffix}"


def new_attempt() -> str:
    """Return a name that no other attempt has."""
    return uuid.uuid4().hex[:12]
