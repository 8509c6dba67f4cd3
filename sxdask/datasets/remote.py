"""Files behind a URL, found with fsspec: globs and directories are listed, single files trusted.

A single remote file is not looked at here: one request for each of thousands
of files would cost more than the run, and building the index opens them anyway.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import (
    AccessDeniedError,
    EmptyDatasetError,
    FileMissingError,
    MissingExtraError,
    ReadFailedError,
    SxdaskError,
)
from sxdask.datasets.address import has_magic
from sxdask.datasets.local import ROOT_NAME
from sxdask.datasets.storage import connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.datasets.address import Address

# Scheme -> the modules it takes and the extra of sxdask that installs them.
_XROOTD = (("fsspec_xrootd", "XRootD"), "xrootd")
STORAGE_EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "root": _XROOTD,
    "roots": _XROOTD,
    "s3": (("s3fs",), "s3"),
    "s3a": (("s3fs",), "s3"),
}
STORAGE_SCHEMES = ("file", "http", "https", *STORAGE_EXTRAS)


def is_storage(scheme: str) -> bool:
    """Tell whether `scheme` names a kind of storage that fsspec may know."""
    if scheme in STORAGE_SCHEMES:
        return True
    from fsspec import available_protocols

    return scheme in available_protocols()


def require_storage(scheme: str) -> None:
    """Check that the packages for `scheme` are installed.

    Raises
    ------
    MissingExtraError
        If they are not; the hint is the line for pip.
    """
    modules, extra = STORAGE_EXTRAS.get(scheme, ((), ""))
    for module in modules:
        if find_spec(module) is None:
            raise MissingExtraError(
                f"{scheme}:// files need the package {module!r}",
                hint=f"pip install 'sxdask[{extra}]'",
            )
    if modules or scheme in STORAGE_SCHEMES:
        return
    from fsspec import get_filesystem_class

    try:
        get_filesystem_class(scheme)
    except ImportError as error:
        raise MissingExtraError(
            f"{scheme}:// files need a package that is not installed: {error}",
            hint="install the package that the message names",
        ) from error


def find_remote(address: Address, *, storage_options: Mapping[str, Any]) -> list[str]:
    """Return the URLs of the files that `address` means; listed ones sorted."""
    require_storage(address.scheme)
    url = address.path
    try:
        if has_magic(address):
            return _globbed(url, storage_options)
        if url.endswith("/") or not ROOT_NAME.fullmatch(_last_part(url)):
            return _listed(url, storage_options)
    except SxdaskError:
        raise
    except PermissionError as error:
        raise AccessDeniedError(
            f"the storage does not let you list {url!r}: {error}",
            hint="check the credentials in the environment",
            file=url,
        ) from error
    except FileNotFoundError as error:
        raise FileMissingError(f"there is nothing at {url!r}", file=url) from error
    except Exception as error:  # each storage library has exceptions of its own
        raise ReadFailedError(
            f"{url!r} cannot be listed: {type(error).__name__}: {error}",
            hint="check the address and that the storage answers",
            file=url,
        ) from error
    return [url]


def _last_part(url: str) -> str:
    path = url.partition("://")[2].partition("/")[2]
    return path.partition("?")[0].rpartition("/")[2]


def _globbed(url: str, storage_options: Mapping[str, Any]) -> list[str]:
    storage, path = connect(url, storage_options)
    # maxdepth=None and detail tell files from directories in one listing.
    found = storage.glob(path, detail=True)
    files = sorted(name for name, facts in found.items() if facts["type"] == "file")
    if not files:
        raise EmptyDatasetError(f"no file matches {url!r}", hint="check the pattern", file=url)
    return [storage.unstrip_protocol(name) for name in files]


def _listed(url: str, storage_options: Mapping[str, Any]) -> list[str]:
    """Return the ROOT files below `url`, or `url` itself where it is no directory."""
    storage, path = connect(url, storage_options)
    if not url.endswith("/") and not storage.isdir(path):
        return [url]
    files = sorted(name for name in storage.find(path) if ROOT_NAME.fullmatch(_base(name)))
    if not files:
        raise EmptyDatasetError(
            f"{url!r} has no *.root file",
            hint="name the files with a pattern if they end differently",
            file=url,
        )
    return [storage.unstrip_protocol(name) for name in files]


def _base(name: str) -> str:
    return name.rpartition("/")[2]
