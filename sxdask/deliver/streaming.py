"""An object that is written while it is encoded, so that it is never in memory as a whole."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

from xxhash import xxh3_128

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    import pyarrow as pa

_BLOCK = 1024 * 1024
"""Bytes that Arrow gathers for one write; its own writes are of a column's buffer or of 8 bytes."""


class CheckedFile(io.RawIOBase):
    """Writes to `file`, and knows the size and the checksum of what was written.

    Writing goes through `guard`, which may turn errors of `file` into others.
    The file itself stays open when this is closed.
    """

    def __init__(self, file: IO[bytes], guard: Callable[[], AbstractContextManager[None]]) -> None:
        super().__init__()
        self._file = file
        self._guard = guard
        self._digest = xxh3_128()
        self.size = 0

    @property
    def checksum(self) -> str:
        """As `sxdask.deliver.manifest.checksum` has it of the whole."""
        return f"xxh3:{self._digest.hexdigest()}"

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Write all of `data`."""
        left = memoryview(data).cast("B")
        whole = len(left)
        self._digest.update(left)
        with self._guard():
            while left:  # a write may be cut short, as by a signal
                left = left[self._file.write(left) :]
        self.size += whole
        return whole


@contextmanager
def arrow_output(file: io.IOBase) -> Iterator[pa.NativeFile]:
    """Give Arrow a file to write to, in blocks."""
    import pyarrow as pa

    with (
        pa.PythonFile(file, mode="w") as whole,
        pa.BufferedOutputStream(whole, _BLOCK) as blocks,
    ):
        yield blocks
