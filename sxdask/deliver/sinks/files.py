"""A directory, or any fsspec URL: one object a partition and a manifest.

Objects are staged in the hidden folder ``.sxdask/<delivery>`` under a name of
the attempt that wrote them, given their final name at the commit, and the
manifest is written last. Files that are not ours are never touched. Where the
storage can rename, publishing is atomic object by object; the manifest tells
a reader that all of them are there.
"""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import DataError, DeliveryError, RequestError
from sxdask.deliver.encode import FORMATS
from sxdask.deliver.manifest import MANIFEST_NAME, Manifest, checksum, read_manifest
from sxdask.deliver.sink import Receipt
from sxdask.deliver.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from sxdask.deliver.encode import Format
    from sxdask.deliver.manifest import Entry, Failure
    from sxdask.deliver.part import Part
    from sxdask.deliver.sink import Delivery

_HIDDEN = ".sxdask"
_PUBLISHERS = 8  # renames on a remote store are round trips


class FilesSink:
    """Deliver to `url` in `format_name`.

    With `overwrite` another delivery that is found there gives way, at the
    moment this one is complete; its objects are removed after that.
    """

    def __init__(
        self,
        url: str,
        *,
        format_name: str = "arrow",
        overwrite: bool = False,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        self.format_name = format_name
        self.overwrite = overwrite
        self._options = dict(storage_options or {})
        self._store = open_store(url, self._options)
        self._format: Format = FORMATS.load(format_name)()
        self._delivery: Delivery | None = None
        self._old: Manifest | None = None
        self._staging = ""
        self._published: list[str] = []

    def __getstate__(self) -> dict[str, Any]:
        # Workers write; the whole list of parts and the old manifest are for the driver.
        return self.__dict__ | {"_delivery": None, "_old": None, "_published": []}

    @property
    def location(self) -> str:
        """Where it delivers to, without credentials."""
        return self._store.location

    def begin(self, delivery: Delivery, receipts: Iterable[Receipt] = ()) -> list[Receipt]:
        """Look at what is there; see `Sink.begin`."""
        self._delivery = delivery
        self._staging = f"{_HIDDEN}/{delivery.key}"
        parts = {self._name(part): part for part in delivery.parts}
        known = {item.object: item for item in receipts if item.object in parts}
        old = self._old = self._found()
        if old is not None:
            here = {entry.object for entry in old.partitions}
            same = (old.fingerprint, old.format) == (delivery.fingerprint, delivery.format)
            if not (same and here <= parts.keys()) and not self.overwrite:
                raise RequestError(
                    f"{self.location!r} holds another delivery "
                    f"({old.title or old.fingerprint[:12]}, {len(here)} partitions)",
                    hint="choose another directory, or pass overwrite=True",
                    fingerprint=old.fingerprint,
                )
            known |= {
                entry.object: _receipt(entry, parts[entry.object])
                for entry in old.partitions
                if entry.object in parts
            }
        return [item for item in known.values() if self._place(item) is not None]

    def write(self, part: Part, table: pa.Table) -> Receipt:
        """Encode `table` and stage it."""
        data = self._format.encode(table)
        receipt = Receipt(
            part,
            self._name(part),
            table.num_rows,
            len(data),
            checksum(data),
            uuid.uuid4().hex[:12],
        )
        self._store.write(self._staged(receipt), data)
        return receipt

    def holds(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """Return those whose staged or published object has the right size."""
        return [item for item in receipts if self._place(item) is not None]

    def commit(self, receipts: Iterable[Receipt], failed: Iterable[Failure] = ()) -> Manifest:
        """Publish; see `Sink.commit`."""
        assert self._delivery is not None, "begin comes before commit"  # noqa: S101
        kept = list(receipts)
        with ThreadPoolExecutor(_PUBLISHERS) as pool:
            list(pool.map(self._publish, kept))
        manifest = Manifest.of(self._delivery, kept, failed)
        old = self._old
        if old is None or (old.partitions, old.failed) != (manifest.partitions, manifest.failed):
            staged = f"{self._staging}/{MANIFEST_NAME}"
            self._store.write(staged, manifest.to_json().encode())
            self._store.move(staged, MANIFEST_NAME)
            old_names = {entry.object for entry in old.partitions} if old else set()
            for name in old_names - {item.object for item in kept}:
                self._store.remove(name)
        else:
            manifest = old  # delivered before: nothing changes, not even the date
        self._published = []
        self._clean()
        options = tuple(self._options.items())
        return replace(manifest, location=self._store.location, storage_options=options)

    def abort(self) -> None:
        """Remove what was staged, and what a commit that failed had published."""
        for name in self._published:
            self._store.remove(name)
        self._published = []
        self._clean()
        self._store.remove_folder("", only_empty=True)

    def _clean(self) -> None:
        if self._staging:
            self._store.remove_folder(self._staging)
            self._store.remove_folder(_HIDDEN, only_empty=True)

    def _name(self, part: Part) -> str:
        return part.stem + self._format.suffix

    def _found(self) -> Manifest | None:
        try:
            values = read_manifest(self._store)
        except DataError as error:
            raise RequestError(
                f"{self.location!r} has a {MANIFEST_NAME} that is not of a delivery",
                hint="choose another directory",
            ) from error
        if values is None:
            return None
        return Manifest.from_dict(values, self.location, self._options)

    def _staged(self, receipt: Receipt) -> str:
        suffix = self._format.suffix
        return f"{self._staging}/{receipt.object.removesuffix(suffix)}.{receipt.attempt}{suffix}"

    def _place(self, receipt: Receipt) -> str | None:
        for name in (self._staged(receipt), receipt.object):
            if self._store.size(name) == receipt.bytes:
                return name
        return None

    def _publish(self, receipt: Receipt) -> None:
        """Give the object its final name; note it if nothing had that name before."""
        place = self._place(receipt)
        if place is None:
            raise DeliveryError(
                f"object {receipt.object!r} is gone from {self.location!r} before its publication",
                hint="something else removes files there; deliver again",
                object=receipt.object,
            )
        if place == receipt.object:
            return
        if self._store.size(receipt.object) is None:
            self._published.append(receipt.object)
        self._store.move(place, receipt.object)


def _receipt(entry: Entry, part: Part) -> Receipt:
    return Receipt(part, entry.object, entry.rows, entry.bytes, entry.checksum)
