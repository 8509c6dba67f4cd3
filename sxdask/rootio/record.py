"""The record of a TTree as it lies in a file, read for its numbers alone.

A TTree describes its branches, and says where their baskets lie, in one record.
Files of one dataset have the same description; what differs are the numbers.
This takes the numbers of all branches out of a record, and gives a digest of
everything else that decides how branches are read, so that files with equal
digests need to be understood only once. It knows the classes that ROOT 6 and
uproot write; anything else, in one byte, is `NotUsualError`, and for uproot.
Source: the streamers of TTree, TBranch, TBranchElement and TLeaf, and
``TBufferFile``'s ``ReadObjectAny`` and ``ReadVersion`` of ROOT.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Container

    from sxdask.rootio.model import Int64Array

_COUNTED: Final = 0x4000_0000  # kByteCountMask
_MEMBERWISE: Final = 0x4000  # kStreamedMemberWise
_NEW_CLASS: Final = 0xFFFF_FFFF  # kNewClassTag
_CLASS: Final = 0x8000_0000  # kClassMask
_MAP_OFFSET: Final = 2  # kMapOffset
_REFERENCED: Final = 0x10  # TObject::kIsReferenced
_DEEPEST: Final = 50

_WORD = struct.Struct(">I")
_TAG = struct.Struct(">II")
_VERSION = struct.Struct(">IH")
_NAMED = struct.Struct(">IHHII")  # with the version, the id and the bits of its TObject
_ARRAY = struct.Struct(">IHHII")
_SIZE = struct.Struct(">ii")
_TREE = struct.Struct(">qqqqqdiiiiIqqqqqq")
_BRANCH = struct.Struct(">iiiiq")
_BRANCH_REST = struct.Struct(">iIiqqqq")
_ELEMENT: Final = {9: 24, 10: 22}  # bytes of fCheckSum to fMaximum, by version
_LEAF_SIZE: Final = 14  # fLen to fIsUnsigned
_TEXT: Final = b"TLeafC"
_OF_CLASS: Final = b"TLeafElement"
_LEAF_ENDS: Final = {  # bytes of fMinimum and fMaximum, or of fID and fType
    b"TLeafB": 2,
    b"TLeafD": 16,
    b"TLeafD32": 8,
    b"TLeafF": 8,
    b"TLeafF16": 6,
    b"TLeafG": 16,
    b"TLeafI": 8,
    b"TLeafL": 16,
    b"TLeafO": 2,
    b"TLeafS": 4,
    _TEXT: 8,
    _OF_CLASS: 8,
}


class NotUsualError(Exception):
    """A record has something that is not read here."""


@dataclass(frozen=True, slots=True)
class TreeRecord:
    """The numbers of a tree and of all its branches, each before those below it.

    Branch i has the baskets ``baskets_at[i]:baskets_at[i + 1]`` of `seek` and
    `num_bytes`, and the entry starts number ``starts_of[i]`` of `starts`, one
    more than baskets, which end with `num_entries`, or ``[0]`` where a branch
    has no baskets of its own. `compressed` and `uncompressed` are totals in
    bytes with the keys, `compression` is the branch's own code, as in the
    record. `has_classes` says that there are branches of classes, whose
    streamers belong to the description, too.
    """

    digest: bytes
    has_classes: bool
    num_entries: int
    seek: Int64Array
    num_bytes: Int64Array
    baskets_at: Int64Array
    starts: tuple[Int64Array, ...]
    starts_of: tuple[int, ...]
    compressed: tuple[int, ...]
    uncompressed: tuple[int, ...]
    compression: tuple[int, ...]


def read_record(data: bytes, key_length: int) -> TreeRecord:
    """Return what the record of a TTree says, of which all branches are whole.

    Parameters
    ----------
    data
        The object of the key, uncompressed.
    key_length
        Of the key in bytes; references in the record count from its start.

    Raises
    ------
    NotUsualError
        If a class or version is not known here, if baskets are kept in the
        record or in another file, if the branches do not have all entries of
        the tree, or if the bytes make no sense.
    """
    try:
        walk = _Walk(data, key_length)
        walk.tree()
        return walk.result()
    except (struct.error, LookupError, ValueError) as error:
        raise NotUsualError(str(error)) from error


class _Walk:
    """A way through a record; `said` collects what describes it."""

    def __init__(self, data: bytes, key_length: int) -> None:
        self.data = data
        self.at = 0
        self.said: list[bytes] = []
        self.has_classes = False
        self._origin = key_length + _MAP_OFFSET
        self._classes: dict[int, bytes] = {}
        self._objects: dict[int, int] = {}
        self._entries = 0
        self._baskets: list[int] = []
        self._starts_of: list[int] = []
        self._starts: dict[bytes, int] = {}
        self._seek: list[bytes] = []
        self._bytes: list[bytes] = []
        self._totals: list[tuple[int, int, int]] = []

    def result(self) -> TreeRecord:
        seek = np.frombuffer(b"".join(self._seek), ">i8").astype(np.int64)
        starts = tuple(np.frombuffer(item, ">i8").astype(np.int64) for item in self._starts)
        if (seek <= 0).any():
            raise NotUsualError("a basket that has no place")
        for edges in starts:
            end = self._entries if len(edges) > 1 else 0
            if edges[-1] != end or (edges[1:] < edges[:-1]).any():
                raise NotUsualError("a branch without the entries of the tree")
        uncompressed, compressed, compression = zip(*self._totals, strict=True)
        return TreeRecord(
            digest=blake2b(b"".join(self.said), digest_size=32).digest(),
            has_classes=self.has_classes,
            num_entries=self._entries,
            seek=seek,
            num_bytes=np.frombuffer(b"".join(self._bytes), ">i4").astype(np.int64),
            baskets_at=np.cumsum([0, *self._baskets], dtype=np.int64),
            starts=starts,
            starts_of=tuple(self._starts_of),
            compressed=compressed,
            uncompressed=uncompressed,
            compression=compression,
        )

    def tree(self) -> None:
        """Read a TTree as far as uproot does."""
        version, _ = self._open((19, 20))
        self._named()
        for _ in range(3):  # TAttLine, TAttFill, TAttMarker
            self._pass()
        numbers = _TREE.unpack_from(self.data, self.at)
        self._entries, ranges = numbers[0], numbers[10]
        self.at += _TREE.size + 2 * (1 + 8 * ranges)  # fClusterRangeEnd, fClusterSize
        if version == 20:
            self._pass()  # fIOFeatures
        self._branches(0)
        count, end = self._array()  # fLeaves, which are those of the branches
        for _ in range(count):
            if self._object():
                raise NotUsualError("a leaf of no branch")
        self._close(end)
        self._object()  # fAliases; what comes behind is passed by uproot, too

    def _branches(self, depth: int) -> int:
        """Read the branches of a tree or below a branch; returns how many."""
        if depth > _DEEPEST:
            raise NotUsualError("branches too deep")
        count, end = self._array()
        for _ in range(count):
            kind = self._object()
            if kind == b"TBranch":
                self._branch(depth)
            elif kind == b"TBranchElement":
                self._element(depth)
            else:
                raise NotUsualError(f"a branch that is a {kind!r}")
        self._close(end)
        return count

    def _element(self, depth: int) -> None:
        self.has_classes = True
        version, end = self._open(_ELEMENT)
        self._branch(depth)
        begin = self.at
        for _ in range(3):  # fClassName, fParentName, fClonesName
            self._string()
        self.at += _ELEMENT[version]
        self.said.append(self.data[begin : self.at - 4])  # without fMaximum
        for _ in range(2):  # fBranchCount, fBranchCount2
            if self._object():
                raise NotUsualError("a branch within another's description")
        self._close(end)

    def _branch(self, depth: int) -> None:
        version, end = self._open((12, 13))
        self._named()
        self._pass()  # TAttFill
        compression, _, _, count, _ = _BRANCH.unpack_from(self.data, self.at)
        self.at += _BRANCH.size
        if version == 13:
            begin = self.at
            self._pass()  # fIOFeatures
            self.said.append(self.data[begin : self.at])
        _, room, _, entries, _, uncompressed, compressed = _BRANCH_REST.unpack_from(
            self.data, self.at
        )
        self.said.append(self.data[self.at : self.at + 4])  # fOffset
        self.at += _BRANCH_REST.size
        if entries != self._entries or not 0 <= count < room:
            raise NotUsualError("a branch that is not whole")
        place = len(self._totals)
        self._totals.append((uncompressed, compressed, compression))
        self._baskets.append(count)
        self._starts_of.append(0)
        self._seek.append(b"")
        self._bytes.append(b"")
        below = self._branches(depth + 1)
        self._leaves()
        if count or not entries:
            self._pass()  # fBaskets: needless, because those that lie elsewhere have all entries
        elif not below or self._array() != (0, self.at):  # which says that there are none
            raise NotUsualError("entries without baskets")
        self._bytes[place] = self._numbers(4, room, count)
        starts = self._numbers(8, room, count + 1)
        self._starts_of[place] = self._starts.setdefault(starts, len(self._starts))
        self._seek[place] = self._numbers(8, room, count)
        if self._string() != b"":
            raise NotUsualError("baskets in another file")
        self._close(end)

    def _numbers(self, size: int, room: int, count: int) -> bytes:
        begin = self.at + 1  # a byte says that there is an array
        self.at = begin + size * room
        return self.data[begin : begin + size * count]

    def _leaves(self) -> None:
        count, end = self._array()
        for _ in range(count):
            if kind := self._object():
                self._leaf(kind)
        self._close(end)

    def _leaf(self, kind: bytes) -> None:
        _, end = self._open((1, 2))
        _, end_of_leaf = self._open((2,))
        self._named()
        # The length of a text is that of the longest, and no matter; that of an array is one.
        is_text = kind == _TEXT and b"[" not in self.said[-1]
        self.said.append(self.data[self.at + 4 * is_text : self.at + _LEAF_SIZE])
        self.at += _LEAF_SIZE
        if counter := self._object():
            self._leaf(counter)
        self._close(end_of_leaf)
        if kind not in _LEAF_ENDS:
            raise NotUsualError(f"a leaf that is a {kind!r}")
        if kind == _OF_CLASS:
            self.said.append(self.data[self.at : end])
        self.at += _LEAF_ENDS[kind]
        self._close(end)

    def _object(self) -> bytes:
        """Read what stands before an object: its class; nothing for one that was before, or none.

        Says which, too: references are offsets, which differ where numbers of baskets do.
        """
        start = self.at + self._origin
        (count,) = _WORD.unpack_from(self.data, self.at)
        if not count & _COUNTED:
            self.at += 4
            self.said.append(_WORD.pack(self._objects[count] if count else 0))
            return b""
        _, tag = _TAG.unpack_from(self.data, self.at)
        self.at += _TAG.size
        if tag == _NEW_CLASS:
            begin, self.at = self.at, self.data.index(0, self.at) + 1
            kind = self._classes[start + 4] = self.data[begin : self.at - 1]
        elif tag & _CLASS:
            kind = self._classes[tag & ~_CLASS]
        else:
            raise NotUsualError("a reference with a size")
        self._objects[start] = len(self._objects) + 1
        self.said.append(kind)
        return kind

    def _array(self) -> tuple[int, int]:
        """Read the beginning of a TObjArray; returns how many objects follow, and where it ends."""
        count, version, object_version, _, bits = _ARRAY.unpack_from(self.data, self.at)
        if not count & _COUNTED or (version, object_version) != (3, 1) or bits & _REFERENCED:
            raise NotUsualError("an array of another kind")
        end = self.at + 4 + (count & ~_COUNTED)
        self.at += _ARRAY.size
        self._string()
        size, _ = _SIZE.unpack_from(self.data, self.at)
        self.said.append(self.data[self.at : self.at + 4])
        self.at += _SIZE.size
        return size, end

    def _named(self) -> None:
        """Say the name and the title of a TNamed."""
        at = self.at
        count, version, object_version, _, bits = _NAMED.unpack_from(self.data, at)
        if not count & _COUNTED or (version, object_version) != (1, 1):
            raise NotUsualError("a name of another kind")
        self.at = begin = at + _NAMED.size + (2 if bits & _REFERENCED else 0)
        self._string()
        self._string()
        self.said.append(self.data[begin : self.at])
        self._close(at + 4 + (count & ~_COUNTED))

    def _string(self) -> bytes:
        length, begin = self.data[self.at], self.at + 1
        if length == 255:
            (length,) = _WORD.unpack_from(self.data, begin)
            begin += 4
        self.at = begin + length
        return self.data[begin : self.at]

    def _open(self, versions: Container[int]) -> tuple[int, int]:
        """Read the size and the version of an object; returns the version and where it ends."""
        count, version = _VERSION.unpack_from(self.data, self.at)
        if not count & _COUNTED or version not in versions:
            raise NotUsualError(f"version {version}")
        end = self.at + 4 + (count & ~_COUNTED)
        self.said.append(self.data[self.at + 4 : self.at + 6])
        self.at += _VERSION.size
        return version, end

    def _close(self, end: int) -> None:
        if self.at != end:
            raise NotUsualError("an object of another size than it says")

    def _pass(self) -> None:
        """Pass an object that begins with its size and its version."""
        count, version = _VERSION.unpack_from(self.data, self.at)
        if not count & _COUNTED or version & _MEMBERWISE:
            raise NotUsualError("an object without a size")
        self.at += 4 + (count & ~_COUNTED)
