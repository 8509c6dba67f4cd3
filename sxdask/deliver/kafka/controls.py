"""Announcements, manifests and aborts: what the first partition of a topic tells of deliveries.

They follow each other there in the order in which the drivers wrote them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import DataError
from sxdask.deliver.kafka.messages import Header, Place
from sxdask.deliver.manifest import Manifest, checksum
from sxdask.deliver.part import Part
from sxdask.deliver.sink import Receipt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sxdask.deliver.sink import Delivery

CONTROL_PARTITION = 0
# What a part is made of; in a topic none is joined of others.
_PART = ("index", "output", "file", "tree", "entry_start", "entry_stop", "content_key")


@dataclass(frozen=True, slots=True)
class Published:
    """A manifest in a topic: its text, and where the attempts that it accepts lie.

    `offset` is that of its last message.
    """

    values: Mapping[str, Any]
    offset: int

    def manifest(self, location: str, options: Mapping[str, Any] | None = None) -> Manifest:
        """Return the manifest proper."""
        return Manifest.from_dict(self.values, location, options)

    @property
    def fingerprint(self) -> str:
        """The request."""
        return str(self.values["fingerprint"])

    @property
    def accepted(self) -> dict[str, tuple[str, Place]]:
        """By content key, the attempt that counts and its place."""
        places = self.values["kafka"]["places"]
        found = {}
        for entry in self.values["partitions"]:
            attempt, text = places[entry["object"]]
            place = Place.parse(text)
            if place is None:
                raise DataError("a manifest in the topic has a place that cannot be read")
            found[entry["content_key"]] = attempt, place
        return found

    @property
    def parts(self) -> dict[str, Part]:
        """The parts that it names, by content key."""
        found = (Part(**{name: item[name] for name in _PART}) for item in self.values["partitions"])
        return {part.content_key: part for part in found}

    def receipts(self, parts: Mapping[str, Part]) -> list[Receipt]:
        """Return receipts of those of `parts` (by object) that it names."""
        places = self.values["kafka"]["places"]
        return [
            Receipt(
                parts[entry["object"]],
                entry["object"],
                entry["rows"],
                entry["bytes"],
                entry["checksum"],
                *places[entry["object"]],
            )
            for entry in self.values["partitions"]
            if entry["object"] in parts
        ]


@dataclass(slots=True)
class Standing:
    """What is known of the deliveries of one request.

    `is_open` says that one is announced and neither published nor given up.
    """

    parts: tuple[Part, ...] = ()
    published: Published | None = None
    is_open: bool = False
    is_given_up: bool = False
    offset: int = -1


@dataclass(slots=True)
class Controls:
    """Folds the messages of the control partition; `standing` is by fingerprint."""

    standing: dict[str, Standing] = field(default_factory=dict)
    _chunks: dict[str, list[bytes]] = field(default_factory=dict)

    def add(self, message: Any) -> bool:
        """Take a message; return whether it changed anything. Data is left alone.

        Raises
        ------
        DataError
            If a message is damaged or of another version.
        """
        header = Header.parse(message.headers())
        if header is None or header.kind == "batch":
            return False
        value = bytes(message.value() or b"")
        if checksum(value) != header.checksum:
            raise DataError(f"the {header.kind} at offset {message.offset()} is damaged")
        if header.number == 1:  # also after a try that ended early
            self._chunks[header.attempt] = []
        chunks = self._chunks.setdefault(header.attempt, [])
        if header.number != len(chunks) + 1:  # its beginning is gone, or it came twice
            self._chunks.pop(header.attempt)
            return False
        chunks.append(value)
        if header.number < header.total:
            return True
        values = json.loads(b"".join(self._chunks.pop(header.attempt)))
        self._settle(header, values, message.offset())
        return True

    def _settle(self, header: Header, values: dict[str, Any], offset: int) -> None:
        found = self.standing.setdefault(header.fingerprint, Standing())
        found.offset = offset
        if header.kind == "announcement":
            found.parts = tuple(Part(**item) for item in values["parts"])
            found.is_open, found.is_given_up = True, False
        elif header.kind == "abort":
            found.is_open, found.is_given_up = False, True
        else:
            found.published = Published(values, offset)
            found.is_open = found.is_given_up = False
            for other in set(values["kafka"]["replaces"]) - {header.fingerprint}:
                self.standing.pop(other, None)

    def newest(self, fingerprint: str = "") -> Published | None:
        """Return the newest manifest that counts, of a request whose name begins like this."""
        found = [
            item.published
            for name, item in self.standing.items()
            if item.published is not None and name.startswith(fingerprint)
        ]
        return max(found, key=lambda item: item.offset, default=None)

    @property
    def manifests(self) -> list[Published]:
        """The manifests that count, oldest first."""
        found = [item.published for item in self.standing.values() if item.published is not None]
        return sorted(found, key=lambda item: item.offset)


def controls_in(messages: Iterable[Any]) -> Controls:
    """Return what `messages` of the control partition tell."""
    found = Controls()
    for message in messages:
        found.add(message)
    return found


def announcement(delivery: Delivery) -> dict[str, Any]:
    """Return the values of the announcement of `delivery`."""
    return {
        "kind": "sxdask-announcement",
        "version": 1,
        "fingerprint": delivery.fingerprint,
        "delivery": delivery.key,
        "title": delivery.title,
        "format": delivery.format,
        "schemas": dict(delivery.schemas),
        "parts": [{name: getattr(part, name) for name in _PART} for part in delivery.parts],
    }


def manifest_values(
    manifest: Manifest, receipts: Iterable[Receipt], *, replaces: list[str], transactional: bool
) -> dict[str, Any]:
    """Return the values of the manifest's message."""
    values: dict[str, Any] = json.loads(manifest.to_json())
    values["kafka"] = {
        "places": {item.object: [item.attempt, item.place] for item in receipts},
        "replaces": replaces,
        "transactional": transactional,
    }
    return values
