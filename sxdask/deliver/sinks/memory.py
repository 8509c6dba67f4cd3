"""Partitions in the memory of this process; the reference of what a sink does.

Only for runners that share the process (sync, threads): a worker process
would write into its own copy.
"""

from __future__ import annotations

import threading
import uuid
from typing import TYPE_CHECKING, ClassVar

from sxdask.core.errors import DeliveryError, RequestError
from sxdask.deliver.manifest import Manifest, checksum
from sxdask.deliver.sink import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

    from sxdask.deliver.format import Rows
    from sxdask.deliver.manifest import Failure
    from sxdask.deliver.part import Part
    from sxdask.deliver.sink import Delivery


class MemorySink:
    """`tables` holds the committed partitions by object name, in order."""

    joins: ClassVar[bool] = True
    location = ""

    def __init__(self, *, overwrite: bool = False) -> None:
        self.overwrite = overwrite
        self.tables: dict[str, pa.Table] = {}
        self._manifest: Manifest | None = None
        self._delivery: Delivery | None = None
        self._staged: dict[tuple[str, str], pa.Table] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        raise RequestError(
            "a memory sink cannot be written to from another process",
            hint="use scheduler='threads', or deliver to a directory",
        )

    def begin(self, delivery: Delivery, receipts: Iterable[Receipt] = ()) -> list[Receipt]:
        """See `Sink.begin`."""
        old, parts = self._manifest, {part.stem: part for part in delivery.parts}
        self._delivery = delivery
        known = {item.object: item for item in receipts if item.object in parts}
        if old is not None:
            if not (delivery.continues(old) or self.overwrite):
                raise RequestError("the sink holds another delivery", hint="pass overwrite=True")
            known |= {
                item.object: Receipt(
                    parts[item.object], item.object, item.rows, item.bytes, item.checksum
                )
                for item in old.partitions
                if item.object in parts
            }
        return [item for item in known.values() if self._table(item) is not None]

    def write(self, part: Part, table: pa.Table | Rows) -> Receipt:
        """Keep `table`; its checksum is that of its Arrow stream."""
        import pyarrow as pa

        from sxdask.deliver.treename import as_table

        table = as_table(table)
        out = pa.BufferOutputStream()
        with pa.ipc.new_stream(out, table.schema) as writer:
            writer.write_table(table)
        data = out.getvalue()
        receipt = Receipt(
            part, part.stem, table.num_rows, len(data), checksum(data), uuid.uuid4().hex[:12]
        )
        with self._lock:
            self._staged[receipt.object, receipt.attempt] = table
        return receipt

    def commit(self, receipts: Iterable[Receipt], failed: Iterable[Failure] = ()) -> Manifest:
        """Show the tables that the receipts name."""
        assert self._delivery is not None, "begin comes before commit"  # noqa: S101
        kept = list(receipts)
        tables = {}
        for receipt in sorted(kept, key=lambda item: item.object):
            table = self._table(receipt)
            if table is None:
                raise DeliveryError(f"object {receipt.object!r} was never written")
            tables[receipt.object] = table
        self.tables = tables
        self._manifest = Manifest.of(self._delivery, kept, failed)
        self.abort()
        return self._manifest

    def abort(self) -> None:
        """Forget what was not committed."""
        with self._lock:
            self._staged.clear()

    def suspend(self) -> None:
        """Keep what was written."""

    def _table(self, receipt: Receipt) -> pa.Table | None:
        staged = self._staged.get((receipt.object, receipt.attempt))
        return self.tables.get(receipt.object) if staged is None else staged
