"""Where partitions go: the sink protocol, receipts, and the registry of sinks."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, Self

from sxdask.core.errors import RequestError, UnknownLanguageError, close_names
from sxdask.core.registry import Registry
from sxdask.deliver.part import Part, content_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from os import PathLike

    import pyarrow as pa

    from sxdask.deliver.manifest import Failure, Manifest


@dataclass(frozen=True, slots=True)
class Receipt:
    """Proof that a partition is stored, though not yet visible.

    `object` is its name in the destination, the same for every attempt;
    `attempt` tells attempts apart and takes no part in equality, nor does
    `place`, which says where an attempt lies if its name does not. `checksum`
    starts with the name of the digest (``xxh3:...``).
    """

    part: Part
    object: str
    rows: int
    bytes: int
    checksum: str
    attempt: str = field(default="", compare=False)
    place: str = field(default="", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the receipt that `to_dict` described."""
        return cls(**{**values, "part": Part.from_dict(values["part"])})


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is about to be delivered: which request, in which format, which partitions.

    `schemas` has the Arrow schema of each output, as text, so that a delivery
    without any partition still has its columns. `pruned` are the stems of
    partitions that statistics rule out: they have no rows, and were delivered
    perhaps before that was known.
    """

    fingerprint: str
    format: str
    parts: tuple[Part, ...]
    title: str = ""
    schemas: Mapping[str, str] = field(default_factory=dict)
    pruned: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """A name for the whole: equal for equal deliveries, in every process."""
        stems = sorted((*self.pruned, *(part.stem for part in self.parts)))
        return content_key(self.fingerprint, self.format, *stems)

    def continues(self, old: Manifest) -> bool:
        """Tell whether this delivery has all rows of a published one, and its layout."""
        if (old.fingerprint, old.format) != (self.fingerprint, self.format):
            return False
        stems = {*self.pruned, *(part.stem for part in self.parts)}
        members = {member.content_key for part in self.parts for member in part.members}
        return all(
            entry.object.partition(".")[0] in stems
            or (entry.members and {item.content_key for item in entry.members} <= members)
            for entry in old.partitions
        )


class Sink(Protocol):
    """Store partitions so that a reader sees all of them or none.

    The driver calls `begin`, once, before any worker writes. Workers call
    `write`, at the same time and each on its own unpickled copy of the sink. A
    worker may die after writing and be retried elsewhere, and a worker that
    was thought dead may write late, so `write` of the same part must be safe
    to repeat: it stores under a name of this attempt alone and shows nothing.
    The driver alone calls `commit`, with one receipt a part, or `abort`, or
    `suspend`; after any of them the sink is done. A driver that dies calls
    none: what was written stays hidden, and `begin` of a later run of the same
    delivery accepts it back by its receipts. Several drivers may deliver to
    one place at the same time: the result is that of one after the other.

    A sink whose class has ``joins = True`` takes `sxdask.deliver.format.Rows`
    in place of a table, for an object that joins partitions.
    """

    @property
    def location(self) -> str:
        """Where it delivers to, without credentials."""
        ...

    def begin(self, delivery: Delivery, receipts: Iterable[Receipt] = ()) -> list[Receipt]:
        """Make ready for `delivery`; return receipts of the parts that need no more writing.

        These are parts of an equal or smaller delivery that is published
        there, and those of `receipts` (of an earlier run that was cut off)
        whose bytes are still there.

        Raises
        ------
        RequestError
            If the destination holds another delivery and may not be overwritten.
        """
        ...

    def write(self, part: Part, table: pa.Table) -> Receipt:
        """Store `table` as `part`, hidden."""
        ...

    def commit(self, receipts: Iterable[Receipt], failed: Iterable[Failure] = ()) -> Manifest:
        """Make the parts visible, the manifest last, and return the manifest.

        Raises
        ------
        DeliveryError
            If an object that a receipt promises is gone, or the store fails.
        """
        ...

    def abort(self) -> None:
        """Remove what this delivery wrote and did not commit. May be repeated."""
        ...

    def suspend(self) -> None:
        """End, and leave what was written hidden for a later run of the same delivery."""
        ...


SINKS: Registry[Callable[..., Sink]] = Registry(
    kind="sink",
    group="sxdask.sinks",
    builtin={
        "files": "sxdask.deliver.sinks.files:FilesSink",
        "kafka": "sxdask.deliver.sinks.kafka:KafkaSink",
        "memory": "sxdask.deliver.sinks.memory:MemorySink",
    },
)

# Sinks that are chosen in another way than by their scheme; memory:// is a storage of fsspec.
_NO_SCHEMES = {"files", "memory"}


def open_sink(
    target: str | PathLike[str],
    *,
    format_name: str = "arrow",
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
) -> Sink:
    """Return the sink that `target` names by its scheme.

    ``kafka://host:port/topic`` is a topic, a scheme that an installed package
    registers (entry point ``sxdask.sinks``, named like the scheme) is that
    package's, and every other is a directory or a storage of fsspec.

    Parameters
    ----------
    target
        Directory or URL.
    format_name
        Of the objects; see `FORMATS`.
    overwrite
        Another delivery that is found there gives way.
    storage_options
        Of the storage or the broker, without secrets.

    Raises
    ------
    RequestError
        If there is no target, or the sink cannot take it.
    UnknownLanguageError
        If nothing knows the scheme; the hint has close ones.
    """
    return SINKS.load(sink_name(target))(
        str(target), format_name=format_name, overwrite=overwrite, storage_options=storage_options
    )


def sink_name(target: str | PathLike[str]) -> str:
    """Return the name of the sink that takes `target`, ``files`` for all storages.

    Raises
    ------
    RequestError
        If there is no target.
    UnknownLanguageError
        If nothing knows the scheme; the hint has close ones.
    """
    text = str(target)
    if not text:
        raise RequestError("the delivery has no target", hint="name a directory or URL")
    scheme = text.partition("://")[0] if "://" in text else ""
    schemes = [name for name in SINKS.names() if name not in _NO_SCHEMES]
    if scheme in schemes:
        return scheme
    if scheme:
        _require_storage(scheme, schemes)
    return "files"


def _require_storage(scheme: str, schemes: list[str]) -> None:
    from fsspec import available_protocols

    storages = available_protocols()
    protocol = scheme.partition("::")[0]  # simplecache::s3://... is a chain
    if protocol not in storages:
        raise UnknownLanguageError(
            f"nothing delivers to {scheme}://",
            hint=close_names(scheme, [*schemes, *storages])
            or f"use a directory, or a URL such as s3://bucket/prefix or {schemes[0]}://...",
        )
