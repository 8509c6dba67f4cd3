"""A directory, or any fsspec URL: one object a partition and a manifest.

Objects wait, hidden and told apart by the attempt that wrote them, are given
their final name at the commit, and the manifest is written last. On S3 they
wait as multipart uploads that are not completed, elsewhere in the folder
``.sxdask/<delivery>/<run>``. Files that are not ours are never touched. Publishing
is atomic object by object; the manifest tells a reader that all of them are
there.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

from sxdask.core.errors import DataError, DeliveryError, RequestError, SxdaskError
from sxdask.deliver.format import StreamedFormat, open_format
from sxdask.deliver.lease import HIDDEN, Lease, hide_again
from sxdask.deliver.manifest import MANIFEST_NAME, Manifest, checksum, read_manifest
from sxdask.deliver.sink import Receipt
from sxdask.deliver.staging import StreamStaging
from sxdask.deliver.store import open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import pyarrow as pa

    from sxdask.deliver.format import Format, Rows
    from sxdask.deliver.manifest import Entry, Failure
    from sxdask.deliver.part import Part
    from sxdask.deliver.sink import Delivery
    from sxdask.deliver.staging import Staging

_PUBLISHERS = 8  # renames on a remote store are round trips


class FilesSink:
    """Deliver to `url` in `format_name`.

    With `overwrite` another delivery that is found there gives way, at the
    moment this one is complete; its objects are removed after that.
    """

    joins: ClassVar[bool] = True

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
        self._format: Format = open_format(format_name)
        self._delivery: Delivery | None = None
        self._old: Manifest | None = None
        self._lease: Lease | None = None
        self._published: list[Receipt] = []

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
        self._old = self._found()
        self._require_own_place()
        known = self._known_from(self._old)
        if self._is_whole(known) and not self._store.names(HIDDEN):
            self._store.remove_folder(HIDDEN, only_empty=True)
            return list(known.values())
        staging = self._store.staging("")
        staging.require_access(MANIFEST_NAME)
        self._lease = Lease(self._store, delivery.key)
        self._lease.open()
        try:
            with self._lease.turn():
                recovered = hide_again(self._store, self._lease)
            parts = self._parts
            left = [item for item in (*receipts, *recovered) if item.object in parts]
            known = {item.object: item for item in self._takeable(left)} | known
            stored = self.holds(known.values())
            self._lease.sweep({item.attempt for item in stored})
        except BaseException:
            self._lease.close()
            raise
        return stored

    def write(self, part: Part, table: pa.Table | Rows) -> Receipt:
        """Encode `table` and stage it."""
        assert self._lease is not None, "begin comes before write"  # noqa: S101
        name = self._name(part)
        staging = self._store.staging(self._lease.folder)
        attempt, size, digest = self._stage(staging, name, table)
        if not self._lease.is_open():
            staging.drop(name, attempt)
            for folder in (HIDDEN, ""):  # an abort has removed them, and `_stage` made them anew
                self._store.remove_folder(folder, only_empty=True)
            raise DeliveryError(
                f"the delivery to {self.location!r} is over: {name!r} comes too late",
                hint="nothing is lost: the run that this worker belongs to has ended",
                object=name,
            )
        return Receipt(part, name, table.num_rows, size, digest, attempt, self._lease.folder)

    def holds(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """Return those whose staged or published object has the right size."""
        asked = list(receipts)
        sizes = self._store.sizes({item.object for item in asked})
        return [
            item
            for item in asked
            if item.bytes == self._staging(item).size(item.object, item.attempt)
            or (item.bytes == sizes.get(item.object) and self._is_same(item))
        ]

    def commit(self, receipts: Iterable[Receipt], failed: Iterable[Failure] = ()) -> Manifest:
        """Publish; see `Sink.commit`."""
        assert self._delivery is not None, "begin comes before commit"  # noqa: S101
        if self._lease is None:
            assert self._old is not None  # noqa: S101  delivered before: nothing changes
            return self._located(self._old)
        with self._lease.turn():
            kept, left = self._caught_up(receipts, failed)
            manifest = Manifest.of(self._delivery, kept, left)
            old = self._old
            if old is not None and (old.partitions, old.failed) == (manifest.partitions, left):
                manifest = old  # not even the date changes
            if manifest is not old or any(item.attempt for item in kept):
                self._show(kept, manifest)
        self._published = []
        self._end(all_dead=True)
        return self._located(manifest)

    def abort(self) -> None:
        """Remove what was staged, and what a commit that failed had published."""
        try:
            if self._published and self._lease is not None:
                with self._lease.turn():
                    named = self._named()
                    names = [item.object for item in self._published]
                    self._store.remove_all([name for name in names if name not in named])
                self._published = []
        finally:
            self._end(all_dead=False)
        for folder in {name.rpartition("/")[0] for name in self._parts}:
            self._store.remove_folder(folder, only_empty=True)
        self._store.remove_folder("", only_empty=True)

    def suspend(self) -> None:
        """Leave what is staged; see `Sink.suspend`."""
        if self._lease is not None:
            self._lease.close()

    def _show(self, kept: list[Receipt], manifest: Manifest) -> None:
        """Publish objects and, last, the manifest; hide them again if that fails."""
        assert self._lease is not None  # noqa: S101  see commit
        staged = [item for item in kept if item.attempt]
        obsolete = sorted(self._named() - {item.object for item in kept})
        self._lease.intend(staged, obsolete)
        try:
            self._require_present([item for item in kept if not item.attempt])
            with ThreadPoolExecutor(_PUBLISHERS) as pool:
                list(pool.map(self._publish, staged))
            self._store.settle(item.object for item in kept)
            staging = self._store.staging(self._lease.folder)
            staging.replace(MANIFEST_NAME, manifest.to_json().encode())
        except BaseException as error:
            # The answer may be lost, and the manifest there all the same.
            if isinstance(error, SxdaskError) and self._is_there(manifest):
                return
            self._hide()
            raise
        self._published = []
        with suppress(SxdaskError):  # it is delivered; the next run removes what is left
            self._store.settle([MANIFEST_NAME])
            self._store.remove_all(obsolete)

    def _hide(self) -> None:
        """Give published objects back the names under which they were staged."""
        with suppress(SxdaskError):  # what stays visible is in the intent: the next run hides it
            named = self._named()
            shown = [item for item in self._published if item.object not in named]
            self._published = [
                item
                for item in shown
                if not self._staging(item).take_back(item.object, item.attempt)
            ]

    def _caught_up(
        self, receipts: Iterable[Receipt], failed: Iterable[Failure]
    ) -> tuple[list[Receipt], tuple[Failure, ...]]:
        """Take over what another run has published since this one began: the first one counts."""
        kept = {item.object: item for item in receipts}
        now = self._found()
        if now != self._old:
            self._old = now
            self._require_own_place()
            theirs = self._known_from(now)
            kept |= {item.object: item for item in self.holds(theirs.values())}
        done = {(item.part.output, item.part.index) for item in kept.values()}
        left = tuple(item for item in failed if (item.output, item.index) not in done)
        return list(kept.values()), left

    def _end(self, *, all_dead: bool) -> None:
        """Give the lease back and remove what this run, and dead ones, staged."""
        if self._lease is None:
            return
        try:
            alone = self._lease.is_alone()
        except SxdaskError:
            return  # what is left of this run tells the next one to clean up
        finally:
            self._lease.close()
        with suppress(SxdaskError):  # what stays is removed by the next run
            staging = self._store.staging(self._lease.folder)
            staging.clear([*self._parts, MANIFEST_NAME], alone=alone)
            self._lease.clean(all_dead=all_dead)

    def _stage(self, staging: Staging, name: str, table: pa.Table | Rows) -> tuple[str, int, str]:
        """Return attempt, size and checksum of what was stored, hidden."""
        made = self._format
        if isinstance(staging, StreamStaging) and isinstance(made, StreamedFormat):
            attempt, done = staging.stream(name, lambda file: made.write(table, file))
            return attempt, done.size, done.checksum
        data = made.encode(table)
        return staging.put(name, data), len(data), checksum(data)

    def _staging(self, receipt: Receipt) -> Staging:
        return self._store.staging(receipt.place)

    @property
    def _parts(self) -> dict[str, Part]:
        parts = self._delivery.parts if self._delivery is not None else ()
        return {self._name(part): part for part in parts}

    def _name(self, part: Part) -> str:
        return part.stem + self._format.suffix

    def _named(self) -> set[str]:
        """Names of the objects of the delivery that is published now."""
        found = self._found()
        return {entry.object for entry in found.partitions} if found else set()

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

    def _require_own_place(self) -> None:
        old, delivery = self._old, self._delivery
        if old is None or delivery is None or self.overwrite:
            return
        if not delivery.continues(old):
            raise RequestError(
                f"{self.location!r} holds another delivery "
                f"({old.title or old.fingerprint[:12]}, {len(old.partitions)} partitions)",
                hint="choose another directory, or pass overwrite=True",
                fingerprint=old.fingerprint,
            )

    def _known_from(self, manifest: Manifest | None) -> dict[str, Receipt]:
        parts, entries = self._parts, manifest.partitions if manifest else ()
        return {
            entry.object: _receipt(entry, parts[entry.object])
            for entry in entries
            if entry.object in parts
        }

    def _is_whole(self, known: Mapping[str, Receipt]) -> bool:
        """Tell whether the delivery that is published needs nothing."""
        old = self._old
        if old is None or old.failed or not len(known) == len(old.partitions) == len(self._parts):
            return False
        return len(self.holds(known.values())) == len(known)

    def _takeable(self, receipts: Iterable[Receipt]) -> list[Receipt]:
        """Leave out what another run that lives has staged: it needs that itself."""
        assert self._lease is not None  # noqa: S101  see begin
        found = list(receipts)
        lives = {place: self._lease.lives(place) for place in {item.place for item in found}}
        return [item for item in found if not lives[item.place]]

    def _is_same(self, receipt: Receipt) -> bool:
        """Tell whether the object with the receipt's name is the receipt's, not one like it."""
        if not receipt.attempt:
            return True  # a manifest names it
        data = self._store.read(receipt.object)
        return data is not None and checksum(data) == receipt.checksum

    def _is_there(self, manifest: Manifest) -> bool:
        with suppress(SxdaskError):
            return self._found() == manifest
        return False

    def _located(self, manifest: Manifest) -> Manifest:
        options = tuple(self._options.items())
        return replace(manifest, location=self._store.location, storage_options=options)

    def _publish(self, receipt: Receipt) -> None:
        """Give the object its final name."""
        if self._staging(receipt).publish(receipt.object, receipt.attempt, receipt.bytes):
            self._published.append(receipt)
        else:
            self._require_present([receipt])

    def _require_present(self, receipts: list[Receipt]) -> None:
        held = {item.object for item in self.holds(receipts)}
        for name in (item.object for item in receipts if item.object not in held):
            raise DeliveryError(
                f"object {name!r} is gone from {self.location!r} before its publication",
                hint="something else removes files there; deliver again",
                object=name,
            )


def _receipt(entry: Entry, part: Part) -> Receipt:
    part = replace(part, members=entry.members)  # they know their rows
    return Receipt(part, entry.object, entry.rows, entry.bytes, entry.checksum)
