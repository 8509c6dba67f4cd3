"""What a partition is called: its content key, its object name, its place in the data.

The content key says what is in an object, whoever computes it and whenever;
the object name adds the partition's place in the delivery, so that a directory
listing is in order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from sxdask.rootio.model import Piece


FACTS = ("partition", "file", "tree", "entry_start", "entry_stop", "content_key")
"""Keys of `Part.facts`: what metadata says of one partition."""


@dataclass(frozen=True, slots=True)
class Part:
    """One partition of a delivery.

    `output` is the name of the output tree, empty if there is only one.
    `file` is free of credentials. Entries are half-open.
    """

    index: int
    output: str
    file: str
    tree: str
    entry_start: int
    entry_stop: int
    content_key: str

    @property
    def stem(self) -> str:
        """Name of its object without the suffix, equal for every attempt.

        Examples
        --------
        >>> Part(3, "", "a.root", "Events", 0, 10, "9f3c").stem
        'part-00003-9f3c'
        """
        name = f"part-{self.index:05d}-{self.content_key}"
        return f"{_folder(self.output)}/{name}" if self.output else name

    def facts(self) -> dict[str, str]:
        """Return what the metadata of a table says of the partition."""
        values = (self.index, self.file, self.tree, self.entry_start, self.entry_stop)
        return dict(zip(FACTS, (*map(str, values), self.content_key), strict=True))


def part_of(piece: Piece, *, fingerprint: str, format_name: str, output: str = "") -> Part:
    """Return the part that `piece` becomes in a delivery of the plan `fingerprint`."""
    key = content_key(
        fingerprint,
        piece.stamp.uuid,
        str(piece.stamp.size),
        piece.tree,
        output,
        str(piece.entry_start),
        str(piece.entry_stop),
        format_name,
    )
    return Part(
        piece.index,
        output,
        public_url(piece.url),
        piece.tree,
        piece.entry_start,
        piece.entry_stop,
        key,
    )


def content_key(*facts: str) -> str:
    """Return 32 hex digits that name a result by everything that decides its bytes."""
    digest = blake2b(digest_size=16)
    for fact in facts:
        data = fact.encode()
        digest.update(len(data).to_bytes(8, "little"))  # ("ab", "c") is not ("a", "bc")
        digest.update(data)
    return digest.hexdigest()


def public_url(url: str) -> str:
    """Return `url` without user, password, query and fragment: those may be secrets.

    Examples
    --------
    >>> public_url("https://me:secret@host:8443/a.root?X-Amz-Signature=1f")
    'https://host:8443/a.root'
    >>> public_url("/data/run#1.root")
    '/data/run#1.root'
    """
    if "://" not in url:
        return url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _folder(output: str) -> str:
    """Return a folder name for an output tree, which may be called ``dir/tree;1``.

    What had to be replaced is told apart by a digest.
    """
    safe = re.sub(r"[^A-Za-z0-9_+=,-]", "_", output)
    return safe if safe == output else f"{safe}-{content_key(output)[:8]}"
