"""A directory of this machine, or one that is mounted on it."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sxdask.core.errors import AccessDeniedError, DeliveryError
from sxdask.deliver.staging import FolderStaging, new_attempt
from sxdask.deliver.streaming import CheckedFile

if TYPE_CHECKING:
    import io
    from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

    import pyarrow as pa

    from sxdask.deliver.staging import Staging

_TRIES = 5  # at a folder that somebody else removes, because it was empty, at the same moment


@contextmanager
def faults(location: str) -> Iterator[None]:
    """Turn what file systems raise into one of two errors that say where."""
    try:
        yield
    except PermissionError as error:
        raise AccessDeniedError(
            f"{location!r} may not be written or read",
            hint="check its owner and permissions, or the credentials in use",
            file=location,
        ) from error
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT}
        raise DeliveryError(
            f"{location!r}: {error.strerror or error}",
            hint="free some space, or deliver elsewhere" if full else None,
            file=location,
        ) from error


class LocalStore:
    """A directory of this machine. Renames are atomic, so no reader sees half an object."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def location(self) -> str:
        """The directory."""
        return str(self.root)

    def full(self, name: str) -> str:
        """Return the path of `name`."""
        return str(self.root / name)

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a new file to the disk; on failure nothing is left of it."""
        path = self.root / name
        with faults(str(path)):
            try:
                with _opened(path) as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())  # a receipt must survive a power cut
            except OSError:
                path.unlink(missing_ok=True)
                raise

    def stream(self, name: str, fill: Callable[[io.IOBase], None]) -> CheckedFile:
        """Let `fill` write a new file, then see it onto the disk; on failure nothing is left.

        Errors of the file say where; what else `fill` raises passes as it is.
        """
        path = self.root / name
        with faults(str(path)):
            file = _opened(path, buffering=0)
        try:
            with file:
                checked = CheckedFile(file, lambda: faults(str(path)))
                fill(checked)
                with faults(str(path)):
                    os.fsync(file.fileno())  # as in `write`
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return checked

    def create(self, name: str, data: bytes) -> bool:
        """Write a file beside and give it the name if it is free; the kernel lets one do it."""
        path, beside = self.root / name, f"{name}-{uuid.uuid4().hex[:12]}"
        self.write(beside, data)
        with faults(str(path)):
            try:
                os.link(self.root / beside, path)
            except FileExistsError:
                return False
            finally:
                (self.root / beside).unlink(missing_ok=True)
        return True

    def read(self, name: str) -> bytes | None:
        """Return the file's bytes."""
        with faults(self.full(name)):
            try:
                return (self.root / name).read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def size(self, name: str) -> int | None:
        """Return the file's size."""
        with faults(self.full(name)):
            try:
                return (self.root / name).stat().st_size
            except (FileNotFoundError, NotADirectoryError):
                return None

    def sizes(self, names: Collection[str]) -> dict[str, int]:
        """Return the sizes of files."""
        return {name: size for name in names if (size := self.size(name)) is not None}

    def modified(self, name: str) -> float | None:
        """Return the file's modification time."""
        with faults(self.full(name)):
            try:
                return (self.root / name).stat().st_mtime
            except (FileNotFoundError, NotADirectoryError):
                return None

    def names(self, folder: str) -> list[str]:
        """Walk through the directory; what vanishes meanwhile is left out."""
        found = [
            os.path.relpath(os.path.join(here, file), self.root)  # noqa: PTH118 - of os.walk
            for here, _, files in os.walk(self.root / folder)
            for file in files
        ]
        return sorted(name.replace(os.sep, "/") for name in found)

    def settle(self, names: Iterable[str]) -> None:
        """Write the directories of these files to the disk."""
        for folder in {(self.root / name).parent for name in names}:
            with faults(str(folder)):
                try:
                    descriptor = os.open(folder, os.O_RDONLY)
                except OSError:  # Windows has no such thing, and needs none
                    return
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def move(self, source: str, target: str) -> None:
        """Rename atomically."""
        path = self.root / target
        with faults(str(path)):
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(self.root / source, path)  # noqa: PTH105 - the name of the promise

    def remove(self, name: str) -> None:
        """Remove the file."""
        with faults(self.full(name)):
            (self.root / name).unlink(missing_ok=True)

    def remove_all(self, names: Sequence[str]) -> None:
        """Remove files."""
        for name in names:
            self.remove(name)

    def staging(self, folder: str) -> Staging:
        """Return the hidden folder `folder`."""
        return LocalStaging(self, folder)

    def remove_folder(self, name: str, *, only_empty: bool = False) -> None:
        """Remove the directory."""
        path = self.root / name
        with faults(str(path)):
            if not only_empty:
                with suppress(FileNotFoundError):
                    shutil.rmtree(path)
                return
            # The root may have empty folders of somebody else's.
            inside = os.walk(path, topdown=False) if name else ()
            for folder in (*(Path(here) for here, _, _ in inside), path):
                with suppress(OSError):  # not empty, not there: then it stays as it is
                    folder.rmdir()


class LocalStaging(FolderStaging):
    """A hidden folder whose files may be written bit by bit."""

    def __init__(self, store: LocalStore, folder: str) -> None:
        super().__init__(store, folder)
        self._local = store

    def stream(self, name: str, fill: Callable[[io.IOBase], None]) -> tuple[str, CheckedFile]:
        """Let `fill` write a file in the folder."""
        attempt = new_attempt()
        return attempt, self._local.stream(self._place(name, attempt), fill)


def _opened(path: Path, buffering: int = -1) -> IO[bytes]:
    """Open a new file; its folder is made, though others may be removing it."""
    for _ in range(_TRIES):
        path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return path.open("wb", buffering)
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
