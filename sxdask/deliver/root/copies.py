"""ROOT objects, such as histograms, copied from the files that were read.

Where an object covers several files, histograms and profiles of one name are
added, as ``hadd`` does; anything else must be in one of the files only.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from sxdask.core.errors import RequestError, SchemaMismatchError
from sxdask.rootio.build import open_root

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEFT_OUT: Final = ("TTree", "TNtuple", "TNtupleD", "TDirectory", "TDirectoryFile", "ROOT::RNTuple")
_ADDED: Final = ("TH1", "TH2", "TH3", "TProfile")
_AXES: Final = ("fXaxis", "fYaxis", "fZaxis")
# Of TH1, TH2, TH3 and TProfile: sums over all fills (TH1::Add).
_SUMS: Final = frozenset(
    ["fEntries", "fTsumw", "fTsumw2"]
    + [f"fTsumw{axes}" for axes in ("x", "x2", "y", "y2", "xy", "z", "z2", "xz", "yz", "t", "t2")]
)


@dataclass(frozen=True, slots=True)
class Copies:
    """What to copy: name filters (exact, glob, ``/regex/``), and the files that have it."""

    filters: tuple[str, ...]
    urls: tuple[str, ...]
    storage_options: tuple[tuple[str, Any], ...] = ()


def copy_objects(directory: Any, copies: Copies) -> None:
    """Copy into `directory` (uproot's) what the filters name; trees stay where they are.

    A filter that no object matches copies nothing, as in ServiceX.

    Raises
    ------
    RequestError
        If an object has a class that uproot cannot write, or objects of several
        files cannot be added.
    SchemaMismatchError
        If histograms of one name have different bins.
    """
    _restore_models()
    with ExitStack() as stack:
        files = [
            stack.enter_context(open_root(url, dict(copies.storage_options))) for url in copies.urls
        ]
        owners: dict[str, list[Any]] = {}
        for file in files:
            for name in _names(file, copies.filters):
                owners.setdefault(name, []).append(file)
        for name, found in owners.items():
            _write(directory, name, _added([file[name] for file in found], name))


def _restore_models() -> None:
    """Put uproot's own models of ROOT classes back where a damaged file replaced them.

    An object that claims an unknown version of a class makes uproot derive a model from
    the file and keep it, for the whole process, in place of its own one of another
    version; objects read with it cannot be written.
    """
    import uproot

    for dispatch in list(uproot.classes.values()):
        if not issubclass(dispatch, uproot.model.DispatchByVersion):
            continue
        module = sys.modules.get(dispatch.__module__)
        for version in list(dispatch.known_versions):
            own = getattr(module, f"{dispatch.__name__}_v{version}", None)
            if own is not None:
                dispatch.known_versions[version] = own


def _write(directory: Any, name: str, found: Any) -> None:
    try:
        directory[name] = str(found) if found.classname == "TObjString" else found
    except (TypeError, AttributeError, NotImplementedError) as error:
        raise RequestError(
            f"object {name!r} of class {found.classname} cannot be written: {error}",
            hint="leave it out of copy_histograms",
            object=name,
        ) from error


def _names(file: Any, filters: Sequence[str]) -> list[str]:
    found = file.keys(
        filter_name=list(filters),
        filter_classname=lambda kind: kind not in _LEFT_OUT,
        cycle=False,
    )
    return list(dict.fromkeys(found))


def _added(objects: Sequence[Any], name: str) -> Any:
    """Return the sum; the first object is changed and returned."""
    first = objects[0]
    for other in objects[1:]:
        if other.classname != first.classname or not first.classname.startswith(_ADDED):
            raise RequestError(
                f"objects {name!r} of class {other.classname} from several files cannot be added",
                hint="use merge='file' for an object of each file",
                object=name,
            )
        if not all(_same_axis(first.member(axis), other.member(axis)) for axis in _AXES):
            raise SchemaMismatchError(
                f"histograms {name!r} have different bins in the files of one object",
                hint="use merge='file' for an object of each file",
                object=name,
            )
        _add(first, other)
    return first


def _same_axis(one: Any, other: Any) -> bool:
    plain = all(one.member(key) == other.member(key) for key in ("fNbins", "fXmin", "fXmax"))
    return plain and np.array_equal(np.asarray(one.member("fXbins")), other.member("fXbins"))


def _add(one: Any, other: Any) -> None:
    """Add contents, sums of squares and sums over fills of `other` to the model `one`."""
    if hasattr(one, "_data") and isinstance(one._data, np.ndarray):  # noqa: SLF001 - a TArray
        if len(one._data) == len(other._data):  # noqa: SLF001
            total = one._data + other._data  # noqa: SLF001
            one._data = total.astype(one._data.dtype)  # noqa: SLF001 - big-endian, as in the file
        return
    for name, value in one._members.items():  # noqa: SLF001
        added = other._members[name]  # noqa: SLF001
        if name in _SUMS:
            one._members[name] = value + added  # noqa: SLF001
        elif name in {"fSumw2", "fBinEntries", "fBinSumw2"}:
            _add(value, added)
    for base, added in zip(one._bases, other._bases, strict=True):  # noqa: SLF001
        _add(base, added)
