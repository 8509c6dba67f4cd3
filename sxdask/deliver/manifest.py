"""The manifest of a delivery: what lies where, how much of it, and whether it is whole.

It is written last, so a delivery with a manifest is complete, and it is all
that a reader needs: paths, rows, bytes and checksums, as one JSON file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING, Any, Literal, Self

from xxhash import xxh3_128_hexdigest

from sxdask.core.errors import DataError, FileMissingError, RequestError, TruncatedFileError
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
    """One delivered partition. `object` is relative to the manifest; entries are half-open."""

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
    status: Literal["done"] = "done"


@dataclass(frozen=True, slots=True)
class Failure:
    """One partition that could not be delivered, and why."""

    index: int
    output: str
    file: str
    tree: str
    entry_start: int
    entry_stop: int
    code: str
    message: str

    @classmethod
    def of(cls, part: Part, error: SxdaskError) -> Self:
        """Return what a manifest says about `error` in `part`."""
        return cls(
            part.index,
            part.output,
            part.file,
            part.tree,
            part.entry_start,
            part.entry_stop,
            error.code,
            error.problem,
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
            tuple(Entry(**item) for item in values["partitions"]),
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
        return tuple(dict.fromkeys((*self.schemas, *(item.output for item in self.partitions))))

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
        tables = [self._read(entry) for entry in self._of(name)]
        return join(tables or [no_rows(schema_from_text(self.schemas[name]))])

    def to_awkward(self, output: str | None = None) -> ak.Array:
        """Return the partitions of `output`, joined in order, as one awkward array."""
        import awkward as ak

        return ak.from_arrow(self.to_table(output))

    def dataset(self, output: str | None = None) -> pads.Dataset:
        """Return the objects of `output` as a lazy ``pyarrow.dataset``."""
        import pyarrow.dataset as pads
        from pyarrow.fs import FSSpecHandler, PyFileSystem

        from sxdask.deliver.encode import no_rows, schema_from_text

        name = self._chosen(output)
        entries = self._of(name)
        if not entries:
            return pads.dataset(no_rows(schema_from_text(self.schemas[name])))
        if "://" not in self.location:
            return pads.dataset(
                [self._store.full(entry.object) for entry in entries], format=self.format
            )
        from sxdask.datasets.storage import connect

        filesystem, root = connect(self.location, dict(self.storage_options))
        paths = [f"{root.rstrip('/')}/{entry.object}" for entry in entries]
        return pads.dataset(
            paths, format=self.format, filesystem=PyFileSystem(FSSpecHandler(filesystem))
        )

    def verify(self) -> list[str]:
        """Read every object and return what is wrong with it: bytes, checksum or rows.

        An empty list means that the delivery is as it was written.
        """
        return [
            f"{entry.object}: {problem}"
            for entry in self.partitions
            if (problem := self._problem(entry)) is not None
        ]

    def _problem(self, entry: Entry) -> str | None:
        data = self._store.read(entry.object)
        if data is None:
            return "missing"
        if len(data) != entry.bytes:
            return f"{len(data)} bytes, the manifest says {entry.bytes}"
        if checksum(data) != entry.checksum:
            return "checksum differs"
        rows = decode(data, self.format).num_rows
        return None if rows == entry.rows else f"{rows} rows, the manifest says {entry.rows}"

    def _read(self, entry: Entry) -> pa.Table:
        data = self._store.read(entry.object)
        if data is None or len(data) != entry.bytes:
            raise TruncatedFileError(
                f"object {entry.object!r} of the delivery is missing or cut",
                hint="deliver again with overwrite=True",
                file=self._store.full(entry.object),
            )
        return decode(data, self.format)

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
        return [entry for entry in self.partitions if entry.output == output]

    def __str__(self) -> str:
        size = f"{self.bytes / 1e6:.1f} MB"
        lines = [
            (
                f"{self.title or 'delivery'} {self.fingerprint[:12]}: {self.status}, "
                f"{len(self.partitions)} partitions, {self.rows} rows, {size} of {self.format}"
            ),
            f"  in {self.location or 'memory'}",
        ]
        lines += [f"  failed {item.index}: [{item.code}] {item.message}" for item in self.failed]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<Manifest {self}>"

    def _repr_html_(self) -> str:
        head, *rest = str(self).splitlines()
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
        )


_HTML_ROWS = 20


def checksum(data: Any) -> str:
    """Return the digest that receipts and manifests hold, with its name in front.

    XXH3 finds damage as well as a cryptographic digest does, at ten times the speed:
    hashing must not cost more than writing.
    """
    return f"xxh3:{xxh3_128_hexdigest(data)}"


def decode(data: bytes, format_name: str) -> pa.Table:
    """Return the table in an object of one of our formats."""
    import pyarrow as pa

    from sxdask.deliver.encode import FORMATS

    try:
        return FORMATS.load(format_name)().decode(data)
    except pa.ArrowInvalid as error:
        raise DataError(f"an object of the delivery is not {format_name}: {error}") from error


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
    )
