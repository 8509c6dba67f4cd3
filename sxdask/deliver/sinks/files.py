"""A directory, or any fsspec URL: one object a partition and a manifest.

Objects wait, hidden and told apart by the attempt that wrote them, are given
their final name at the commit, and the manifest is written last. On S3 they
wait as multipart uploads that are not completed, elsewhere in the folder
``.sxdask/<delivery>``. Files that are not ours are never touched. Publishing
is atomic object by object; the manifest tells a reader that all of them are
there.
"""

from __future__ import annotations

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
    from sxdask.deliver.staging import Staging

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
        self._folder = ""
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
        self._folder = f"{_HIDDEN}/{delivery.key}"
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
        stored = self.holds(known.values())
        if len(stored) < len(parts):
            self._staging.require_access(MANIFEST_NAME)
        return stored

    def write(self, part: Part, table: pa.Table) -> Receipt:
        """Encode `table` and stage it."""
        data = self._format.encode(table)
        name = self._name(part)
        attempt = self._staging.put(name, data)
        return Receipt(part, name, table.num_rows, len(data), checksum(data), attempt)

    def holds(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """Return those whose staged or published object has the right size."""
        asked = list(receipts)
        sizes = self._store.sizes({item.object for item in asked})
        return [
            item
            for item in asked
            if item.bytes in (sizes.get(item.object), self._staging.size(item.object, item.attempt))
        ]

    def commit(self, receipts: Iterable[Receipt], failed: Iterable[Failure] = ()) -> Manifest:
        """Publish; see `Sink.commit`."""
        assert self._delivery is not None, "begin comes before commit"  # noqa: S101
        kept = list(receipts)
        self._require_present([item for item in kept if not item.attempt])
        with ThreadPoolExecutor(_PUBLISHERS) as pool:
            list(pool.map(self._publish, [item for item in kept if item.attempt]))
        manifest = Manifest.of(self._delivery, kept, failed)
        old = self._old
        if old is None or (old.partitions, old.failed) != (manifest.partitions, manifest.failed):
            self._staging.replace(MANIFEST_NAME, manifest.to_json().encode())
            self._store.remove_all(sorted(self._old_names - {item.object for item in kept}))
        else:
            manifest = old  # delivered before: nothing changes, not even the date
        self._published = []
        self._clean()
        options = tuple(self._options.items())
        return replace(manifest, location=self._store.location, storage_options=options)

    def abort(self) -> None:
        """Remove what was staged, and what a commit that failed had published."""
        self._store.remove_all(self._published)
        self._published = []
        self._clean()
        self._store.remove_folder("", only_empty=True)

    def _clean(self) -> None:
        if self._delivery is not None:
            self._staging.clear([self._name(part) for part in self._delivery.parts])

    @property
    def _staging(self) -> Staging:
        return self._store.staging(self._folder)

    @property
    def _old_names(self) -> set[str]:
        return {entry.object for entry in self._old.partitions} if self._old else set()

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

    def _publish(self, receipt: Receipt) -> None:
        """Give the object its final name; note it if no delivery had that name before."""
        name = receipt.object
        if self._staging.publish(name, receipt.attempt, receipt.bytes):
            if name not in self._old_names:
                self._published.append(name)
        else:
            self._require_present([receipt])

    def _require_present(self, receipts: list[Receipt]) -> None:
        sizes = self._store.sizes([item.object for item in receipts])
        for name in (item.object for item in receipts if sizes.get(item.object) != item.bytes):
            raise DeliveryError(
                f"object {name!r} is gone from {self.location!r} before its publication",
                hint="something else removes files there; deliver again",
                object=name,
            )


def _receipt(entry: Entry, part: Part) -> Receipt:
    return Receipt(part, entry.object, entry.rows, entry.bytes, entry.checksum)
