"""Which lists of lists the reader decodes itself, found from interpretation and streamers."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
from uproot.containers import AsVector
from uproot.interpretation.objects import AsObjects
from uproot.streamers import Model_TStreamerBase, Model_TStreamerBasicType

from sxdask.rootio.model import ColumnLayout

_COUNTED = 0x4000_0000  # kByteCountMask
_NUMBERS = {
    1: "|i1",
    2: ">i2",
    3: ">i4",
    4: ">i8",
    5: ">f4",
    8: ">f8",
    11: "|u1",
    12: ">u2",
    13: ">u4",
    14: ">u8",
    16: ">i8",
    17: ">u8",
}
"""File dtypes by ``TStreamerElement::fType``; no bool, no Double32_t, no fixed arrays."""


def nested_layout(name: str, path: str, branch: Any, form: str) -> ColumnLayout | None:
    """Return how a ``std::vector<std::vector<T>>`` is encoded, None if it is anything else.

    T is a number, or a class without a version of its own whose members, those
    of its base class first, are numbers.
    """
    kind = branch.interpretation
    outer: Any = kind.model if type(kind) is AsObjects else None
    if type(outer) is not AsVector or not outer.header:
        return None
    inner: Any = outer.values
    if type(inner) is not AsVector or inner.header:
        return None
    if isinstance(inner.values, np.dtype):
        found = (b"", [("", inner.values.str)]) if inner.values.kind in "iuf" else None
    else:
        classname = _class_of(form)
        found = _record(branch.file, classname) if classname else None
    if found is None:
        return None
    prefix, members = found
    dtypes = [np.dtype(dtype).newbyteorder("=").name for _, dtype in members]
    if _expected(json.loads(form)) != [
        (member, dtype) for (member, _), dtype in zip(members, dtypes, strict=True)
    ]:
        return None
    return ColumnLayout(
        name,
        path,
        "nested",
        form,
        file_dtype=",".join(dtype for _, dtype in members),
        dtype=",".join(dtypes),
        prefix=prefix.hex(),
    )


def _class_of(form: str) -> str:
    content = json.loads(form)["content"]["content"]
    parameters = content.get("parameters") if isinstance(content, dict) else None
    return str((parameters or {}).get("__record__", ""))


def _expected(form: Any) -> list[tuple[str, str]] | None:
    """Return members and dtypes of plain lists of lists of them, None for any other form."""
    for _ in range(2):
        if form["class"] != "ListOffsetArray" or form["offsets"] != "i64" or form.get("parameters"):
            return None
        form = form["content"]
    if isinstance(form, dict) and form["class"] == "RecordArray":
        pairs = zip(form["fields"] or (), form["contents"], strict=True)
        found = [(member, _primitive(item)) for member, item in pairs]
    else:
        found = [("", _primitive(form))]
    return found if all(dtype for _, dtype in found) else None


def _primitive(form: Any) -> str:
    """Return the dtype of plain numbers, nothing for any other form."""
    if isinstance(form, str):
        return form
    plain = form["class"] == "NumpyArray" and not (
        form.get("inner_shape") or form.get("parameters")
    )
    return str(form["primitive"]) if plain else ""


def _record(file: Any, classname: str) -> tuple[bytes, list[tuple[str, str]]] | None:
    """Return the bytes before the numbers of each item, and the numbers with their dtypes.

    ROOT writes a checksum in place of the version of a class that has none.
    """
    streamer = file.streamer_named(classname, "max")
    if streamer is None or streamer.class_version > 1:
        return None
    prefix = b""
    members: list[tuple[str, str]] = []
    for place, element in enumerate(streamer.elements):
        if type(element) is Model_TStreamerBase and place == 0:
            base = _record(file, element.name)
            if base is None:
                return None
            prefix, members = base
        elif type(element) is Model_TStreamerBasicType and element.fType in _NUMBERS:
            members = [*members, (element.name, _NUMBERS[element.fType])]
        else:
            return None
    if not members:
        return None
    size = len(prefix) + sum(np.dtype(dtype).itemsize for _, dtype in members)
    checksum = streamer.member("fCheckSum") & 0xFFFF_FFFF
    return struct.pack(">IHI", _COUNTED | (size + 6), 0, checksum) + prefix, members
