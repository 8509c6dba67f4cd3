"""What a partition is called: its content key, its object name, its place in the data.

The content key says what is in an object, whoever computes it and whenever;
the object name adds the partition's place in the delivery, so that a directory
listing is in order.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sxdask.rootio.model import FileStamp, Piece


_LONGEST_STEM = 60

FACTS = ("partition", "file", "tree", "entry_start", "entry_stop", "content_key")
"""Keys of `Part.facts`: what metadata says of one partition."""


@dataclass(frozen=True, slots=True)
class Member:
    """Entries of one file that an object has the rows of, for one output.

    `rows` says how many those are, once it is known.
    """

    output: str
    file: str
    tree: str
    entry_start: int
    entry_stop: int
    content_key: str
    rows: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Part:
    """One object of a delivery: a partition, or several of them that are `members`.

    `output` is the name of the output tree, empty if there is only one or the
    object has all of them. `file` is free of credentials. Entries are
    half-open. Of members in several files or trees, `file` or `tree` is empty
    and the entries count from zero.
    """

    index: int
    output: str
    file: str
    tree: str
    entry_start: int
    entry_stop: int
    content_key: str
    members: tuple[Member, ...] = ()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the part that `dataclasses.asdict` described."""
        members = tuple(Member(**item) for item in values.get("members", ()))
        return cls(**{**values, "members": members})

    @property
    def stem(self) -> str:
        """Name of its object without the suffix, equal for every attempt.

        Examples
        --------
        >>> Part(3, "", "a.root", "Events", 0, 10, "9f3c").stem
        'part-00003-9f3c'
        >>> whole = Member("", "data/run_7.root", "Events", 0, 10, "77aa")
        >>> Part(3, "", "data/run_7.root", "Events", 0, 10, "9f3c", (whole,)).stem
        'part-00003-run_7-9f3c'
        """
        words = [f"part-{self.index:05d}", self.content_key]
        if self.members and self.file:
            words.insert(1, _file_stem(self.file))
        name = "-".join(words)
        return f"{_folder(self.output)}/{name}" if self.output else name

    def facts(self) -> dict[str, str]:
        """Return what the metadata of a table says of the partition."""
        values = (self.index, self.file, self.tree, self.entry_start, self.entry_stop)
        return dict(zip(FACTS, (*map(str, values), self.content_key), strict=True))


def part_of(piece: Piece, *, fingerprint: str, format_name: str, output: str = "") -> Part:
    """Return the part that `piece` becomes in a delivery of the plan `fingerprint`."""
    entries = (piece.entry_start, piece.entry_stop)
    key = range_key(fingerprint, piece.stamp, piece.tree, output, entries, format_name)
    return Part(
        piece.index,
        output,
        public_url(piece.url),
        piece.tree,
        piece.entry_start,
        piece.entry_stop,
        key,
    )


def part_of_members(index: int, members: Sequence[Member]) -> Part:
    """Return the part of an object that joins `members`, at least one; each has its key."""
    output, file, tree = (
        _only({item.output for item in members}),
        _only({item.file for item in members}),
        _only({item.tree for item in members}),
    )
    start = min(item.entry_start for item in members) if file else 0
    stop = max(item.entry_stop for item in members)
    if not file:
        stop = sum(item.entry_stop - item.entry_start for item in members)
    key = content_key("members", *(item.content_key for item in members))
    return Part(index, output, file, tree, start, stop, key, tuple(members))


def range_key(
    request: str, stamp: FileStamp, tree: str, output: str, entries: tuple[int, int], format_: str
) -> str:
    """Return the content key of the rows that a request has of some entries of a file."""
    where = (stamp.uuid, str(stamp.size), tree, output, *map(str, entries))
    return content_key(request, *where, format_)


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


def _only(names: set[str]) -> str:
    return next(iter(names)) if len(names) == 1 else ""


def _file_stem(url: str) -> str:
    """Return the name of a file as part of another; its suffix would tell a wrong format."""
    name = url.rstrip("/").rpartition("/")[2].removesuffix(".root")
    return re.sub(r"[^A-Za-z0-9_+=,-]", "_", name)[:_LONGEST_STEM]


def _folder(output: str) -> str:
    """Return a folder name for an output tree, which may be called ``dir/tree;1``.

    What had to be replaced is told apart by a digest.
    """
    safe = re.sub(r"[^A-Za-z0-9_+=,-]", "_", output)
    return safe if safe == output else f"{safe}-{content_key(output)[:8]}"
