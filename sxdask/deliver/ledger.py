"""Receipts on disk, one JSON line each: what a run had done when it was cut off.

The file is only appended to. A line that was being written at the moment of a
crash is torn; it is ignored, and its partition computed again.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any, Self

from sxdask.core.errors import AccessDeniedError
from sxdask.deliver.part import content_key
from sxdask.deliver.sink import Delivery, Receipt

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

_VERSION = 1
# A crash of the program loses nothing; one of the machine at most this much work.
_SYNC_SECONDS = 0.2


def ledger_path(cache_dir: Path, location: str, delivery: Delivery) -> Path:
    """Return where the ledger of `delivery` to `location` lies."""
    return cache_dir / "ledgers" / f"{content_key(location, delivery.key)}.jsonl"


class Ledger:
    """The receipts of one delivery; use it as a context manager.

    Parameters
    ----------
    path
        The file; it is made with its directory when the first receipt comes.
    delivery
        Receipts of any other delivery that the file may hold are ignored.
    """

    def __init__(self, path: Path, delivery: Delivery) -> None:
        self.path = path
        self._head = {"version": _VERSION, "delivery": delivery.key}
        self._file: Any = None
        self._synced = 0.0

    def receipts(self) -> list[Receipt]:
        """Return what is on disk, the last receipt of each object."""
        try:
            lines = self.path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        if _parsed(lines[0]) != self._head:
            return []
        found: dict[str, Receipt] = {}
        for line in lines[1:]:
            receipt = _receipt(line)
            if receipt is not None:
                found[receipt.object] = receipt
        return list(found.values())

    def append(self, receipt: Receipt) -> None:
        """Write one receipt to the disk."""
        if self._file is None:
            self._open()
        self._file.write(json.dumps(receipt.to_dict()).encode() + b"\n")
        self._file.flush()
        if time.monotonic() - self._synced > _SYNC_SECONDS:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def close(self) -> None:
        """Sync and close; the file stays for a later run."""
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove the file: the delivery is complete, or given up."""
        self.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self) -> None:
        known = self.receipts()
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh = not known and not self._is_ours()
            self._file = self.path.open("wb" if fresh else "ab")
        except PermissionError as error:
            raise AccessDeniedError(
                f"{str(self.path)!r} may not be written",
                hint="set SXDASK_CACHE_DIR to a directory of yours",
                file=str(self.path),
            ) from error
        # In an old file the last line may be torn: a line end closes it off.
        self._file.write(json.dumps(self._head).encode() + b"\n" if fresh else b"\n")

    def _is_ours(self) -> bool:
        try:
            with self.path.open("rb") as file:
                return _parsed(file.readline()) == self._head
        except FileNotFoundError:
            return False


def _receipt(line: bytes) -> Receipt | None:
    """Return the receipt in `line`; None if it is torn, damaged or of another version."""
    values = _parsed(line)
    try:
        return None if values is None else Receipt.from_dict(values)
    except (KeyError, TypeError):
        return None


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:
        return None
    return values if isinstance(values, dict) else None
