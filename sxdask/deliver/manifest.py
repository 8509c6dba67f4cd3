"""The manifest of a delivery: what lies where, how much of it, and whether it is whole.

It is written last, so a delivery with a manifest is complete, and it is all
that a reader needs: paths, rows, bytes and checksums, as one JSON file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, Literal, Self

from xxhash import xxh3_128_hexdigest

from sxdask.core.errors import DataError, FileMissingError, RequestError, TruncatedFileError
from sxdask.deliver.failures import FailureReport, public_text
from sxdask.deliver.format import decode
from sxdask.deliver.part import Member
from sxdask.deliver.store import Store, open_store

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import awkward as ak
    import pyarrow as pa
    import pyarrow.dataset as pads

    from sxdask.core.errors import SxdaskError
    from sxdask.deliver.part import Part
    from sxdask.deliver.sink import Delivery, Receipt

MANIFEST_NAME = "manifest.json"
_KIND = "sxdask-manifest"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Entry:
    """One delivered object, as `Part` says. `object` is relative to the manifest.

    An object that joins partitions has `members`: the entries that it covers.
    """

    index: int
    output: str
    file: str
    tree: str
    entry_start: int
    entry_stop: int
    object: str
    rows: int
    bytes: int
    checksum: str
    content_key: str
    members: tuple[Member, ...] = ()
    status: Literal["done"] = "done"

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the entry that `dataclasses.asdict` described."""
        members = tuple(Member(**item) for item in values.get("members", ()))
        return cls(**{**values, "members": members})

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output trees that the object has rows of."""
        return tuple(dict.fromkeys(item.output for item in self.members)) or (self.output,)


@dataclass(frozen=True, slots=True)
class Failure:
    """One partition that could not be delivered, and why, after how many attempts.

    `traceback` is that of the last attempt's worker; the failures after it that
    have the same cause leave it out.
    """

    index: int
    output: str
    file: str
    tree: str
    entry_start: int
    entry_stop: int
    code: str
    message: str
    attempts: int = 1
    traceback: str = field(default="", compare=False, repr=False)

    @classmethod
    def of(cls, part: Part, error: SxdaskError, attempts: int = 1) -> Self:
        """Return what a manifest says about `error` in `part`, without credentials."""
        return cls(
            part.index,
            part.output,
            part.file,
            part.tree,
            part.entry_start,
            part.entry_stop,
            error.code,
            public_text(error.problem),
            attempts,
            public_text(str(error.context.get("traceback", ""))),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """All partitions of one delivery.

    `fingerprint` names the plan, `created` is UTC in ISO format, `schemas` has
    the Arrow schema of each output as text, `location` is where the manifest
    was found (it is not part of the file).
    """

    fingerprint: str
    format: str
    partitions: tuple[Entry, ...]
    failed: tuple[Failure, ...] = ()
    title: str = ""
    created: str = ""
    schemas: Mapping[str, str] = field(default_factory=dict, repr=False)
    location: str = field(default="", compare=False)
    storage_options: tuple[tuple[str, Any], ...] = field(default=(), compare=False, repr=False)

    @classmethod
    def of(
        cls, delivery: Delivery, receipts: Iterable[Receipt], failed: Iterable[Failure] = ()
    ) -> Self:
        """Return the manifest of `delivery` from one receipt a partition, in order."""
        ordered = sorted(receipts, key=lambda item: (item.part.output, item.part.index))
        return cls(
            delivery.fingerprint,
            delivery.format,
            tuple(_entry(receipt) for receipt in ordered),
            tuple(failed),
            delivery.title,
            datetime.now(UTC).isoformat(timespec="seconds"),
            dict(delivery.schemas),
        )

    @classmethod
    def load(cls, url: str, storage_options: Mapping[str, Any] | None = None) -> Self:
        """Read the manifest at `url`, a delivery's directory or its ``manifest.json``.

        Raises
        ------
        FileMissingError
            If there is no manifest: not a delivery, or one that never completed.
        DataError
            If the file is not a manifest of a version that is known here.
        """
        folder, _, name = str(url).rstrip("/").rpartition("/")
        root = (folder or "/") if name.endswith(".json") else str(url)
        store = open_store(root, storage_options)
        found = read_manifest(store, name if name.endswith(".json") else MANIFEST_NAME)
        if found is None:
            raise FileMissingError(
                f"no manifest in {store.location!r}",
                hint="a delivery that did not complete has none; run it again",
                file=store.location,
            )
        return cls.from_dict(found, store.location, storage_options)

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], location: str, options: Mapping[str, Any] | None = None
    ) -> Self:
        """Return the manifest that `to_json` wrote and `location` holds."""
        return cls(
            values["fingerprint"],
            values["format"],
            tuple(map(Entry.from_dict, values["partitions"])),
            tuple(Failure(**item) for item in values["failed"]),
            values["title"],
            values["created"],
            values["schemas"],
            location,
            tuple((options or {}).items()),
        )

    def to_json(self) -> str:
        """Return the text of the manifest file."""
        values = asdict(self)
        del values["location"], values["storage_options"]
        totals = {"partitions": len(self.partitions), "rows": self.rows, "bytes": self.bytes}
        head = {"kind": _KIND, "version": _VERSION, "status": self.status, "totals": totals}
        return json.dumps(head | values, indent=1) + "\n"

    @property
    def status(self) -> Literal["complete", "partial"]:
        """``complete`` if no partition failed."""
        return "partial" if self.failed else "complete"

    @property
    def failures(self) -> FailureReport:
        """The partitions that failed, by cause."""
        return FailureReport(len(self.partitions) + len(self.failed), self.failed)

    @property
    def rows(self) -> int:
        """Rows of all partitions."""
        return sum(entry.rows for entry in self.partitions)

    @property
    def bytes(self) -> int:
        """Bytes of all objects."""
        return sum(entry.bytes for entry in self.partitions)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the output trees, in order."""
        named = (name for item in self.partitions for name in item.outputs)
        return tuple(dict.fromkeys((*self.schemas, *named)))

    @property
    def files(self) -> list[str]:
        """Full paths or URLs of the objects, in order."""
        return [self._store.full(entry.object) for entry in self.partitions]

    @property
    def _store(self) -> Store:
        if not self.location:
            raise RequestError(
                "this manifest has no location: it was not loaded from a delivery",
                hint="use sx.Manifest.load(directory)",
            )
        return open_store(self.location, dict(self.storage_options))

    def to_table(self, output: str | None = None) -> pa.Table:
        """Return the partitions of `output`, joined in order, as one Arrow table.

        Raises
        ------
        RequestError
            If there are several outputs and none is named, or no such output.
        """
        from sxdask.deliver.encode import join, no_rows, schema_from_text

        name = self._chosen(output)
        tables = [self._read(entry, name) for entry in self._of(name)]
        return join(tables or [no_rows(schema_from_text(self.schemas[name]))])

    def to_awkward(self, output: str | None = None) -> ak.Array:
        """Return the partitions of `output`, joined in order, as one awkward array."""
        import awkward as ak

        return ak.from_arrow(self.to_table(output))

    def dataset(self, output: str | None = None) -> pads.Dataset:
        """Return the objects of `output` as a lazy ``pyarrow.dataset``.

        Of objects in ROOT formats, which pyarrow cannot read, the rows are in
        memory at once. Of objects with several outputs it has the column that
        tells them apart.
        """
        from sxdask.deliver.lazy import objects_dataset

        name = self._chosen(output)
        return objects_dataset(self, self._of(name), name)

    def verify(self) -> list[str]:
        """Read every object and return what is wrong with it: bytes, checksum or rows.

        An empty list means that the delivery is as it was written.
        """
        from sxdask.deliver.verify import check_objects

        return [str(problem) for problem in check_objects(self)]

    def read(self, entry: Entry) -> Any:
        """Return the bytes of one object and their checksum, or None if it is not there."""
        data = self._store.read(entry.object)
        return None if data is None else (data, checksum(data))

    def _read(self, entry: Entry, output: str) -> pa.Table:
        data = self._store.read(entry.object)
        if data is None or len(data) != entry.bytes:
            raise TruncatedFileError(
                f"object {entry.object!r} of the delivery is missing or cut",
                hint="deliver again with overwrite=True",
                file=self._store.full(entry.object),
            )
        return decode(data, self.format, output if entry.members else None)

    def _chosen(self, output: str | None) -> str:
        names = self.outputs
        if output is None and len(names) == 1:
            return names[0]
        if output is None or output not in names:
            asked = "none is named" if output is None else f"none is called {output!r}"
            raise RequestError(
                f"the delivery has {len(names)} outputs and {asked}",
                hint=f"name one of {', '.join(map(repr, names))}" if names else None,
            )
        return output

    def _of(self, output: str) -> list[Entry]:
        return [entry for entry in self.partitions if output in entry.outputs]

    def __str__(self) -> str:
        size = f"{self.bytes / 1e6:.1f} MB"
        lines = [
            (
                f"{self.title or 'delivery'} {self.fingerprint[:12]}: {self.status}, "
                f"{len(self.partitions)} partitions, {self.rows} rows, {size} of {self.format}"
            ),
            f"  in {self.location or 'memory'}",
        ]
        if self.failed:
            lines += [f"  {line}" for line in str(self.failures).splitlines()]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Manifest {self}>"

    def _repr_html_(self) -> str:
        head, *rest = str(replace(self, failed=())).splitlines()
        head = head.replace(": complete,", f": {self.status},")
        cells = ("index", "output", "file", "entry_start", "entry_stop", "object", "rows", "bytes")
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(str(getattr(item, c)))}</td>" for c in cells) + "</tr>"
            for item in self.partitions[:_HTML_ROWS]
        )
        more = len(self.partitions) - _HTML_ROWS
        tail = f"<p>and {more} more</p>" if more > 0 else ""
        header = "".join(f"<th>{cell}</th>" for cell in cells)
        return (
            f"<p><b>{escape(head)}</b><br>{'<br>'.join(map(escape, rest))}</p>"
            f"<table><tr>{header}</tr>{rows}</table>{tail}"
            f"{self.failures._repr_html_() if self.failed else ''}"
        )


_HTML_ROWS = 20


def checksum(data: Any) -> str:
    """Return the digest that receipts and manifests hold, with its name in front.

    XXH3 finds damage as well as a cryptographic digest does, at ten times the speed:
    hashing must not cost more than writing.
    """
    return f"xxh3:{xxh3_128_hexdigest(data)}"


def read_manifest(store: Store, name: str = MANIFEST_NAME) -> dict[str, Any] | None:
    """Return the values of a manifest file, or None if there is none.

    Raises
    ------
    DataError
        If the file is something else, or of a newer version.
    """
    data = store.read(name)
    if data is None:
        return None
    try:
        values = json.loads(data)
    except ValueError:
        values = None
    if not isinstance(values, dict) or values.get("kind") != _KIND:
        raise DataError(f"{store.full(name)!r} is not a manifest of sxdask", file=store.full(name))
    if values.get("version") != _VERSION:
        raise DataError(
            f"{store.full(name)!r} is a manifest of version {values.get('version')!r}",
            hint="upgrade sxdask",
            file=store.full(name),
        )
    return values


def _entry(receipt: Receipt) -> Entry:
    part = receipt.part
    return Entry(
        part.index,
        part.output,
        part.file,
        part.tree,
        part.entry_start,
        part.entry_stop,
        receipt.object,
        receipt.rows,
        receipt.bytes,
        receipt.checksum,
        part.content_key,
        part.members,
    )
