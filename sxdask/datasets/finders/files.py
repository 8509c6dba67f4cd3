"""Files named directly: a path, a pattern, a directory, or the URL of any of these."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.request import url2pathname

from sxdask.datasets.local import find_local
from sxdask.datasets.model import FileEntry
from sxdask.datasets.remote import find_remote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sxdask.datasets.address import Address


class FilesFinder:
    """Find files on this machine and behind URLs that fsspec understands."""

    def find(
        self, address: Address, *, storage_options: Mapping[str, Any]
    ) -> tuple[FileEntry, ...]:
        """Return the files that `address` names; those that had to be listed are sorted."""
        if address.scheme in {"", "file"}:
            found = find_local(_local_path(address))
        else:
            found = find_remote(address, storage_options=storage_options)
        return tuple(FileEntry(url, address.tree) for url in found)


def _local_path(address: Address) -> str:
    if not address.scheme:
        return address.path
    # file:///path and file://localhost/path, RFC 8089
    path = address.path.partition("://")[2]
    return url2pathname(path.removeprefix("localhost"))
