"""The few operations that a file sink and a manifest need of a storage.

Three kinds: the local file system, with atomic renames, S3
(`sxdask.deliver.s3.store`), and any fsspec file system. Names are relative to
the root, with ``/`` between folders.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sxdask.core.errors import MissingExtraError, RequestError
from sxdask.core.registry import Registry
from sxdask.datasets.storage import connect, connection_options, is_s3
from sxdask.deliver.local import LocalStore, faults
from sxdask.deliver.part import public_url
from sxdask.deliver.staging import FolderStaging

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import pyarrow as pa

    from sxdask.deliver.s3.store import S3Store
    from sxdask.deliver.staging import Staging


class Store(Protocol):
    """A folder somewhere. Picklable; operations raise `DeliveryError` or `AccessDeniedError`."""

    @property
    def location(self) -> str:
        """Where it is, without credentials."""
        ...

    def full(self, name: str) -> str:
        """Return the path or URL of `name`, without credentials."""
        ...

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a whole object; its folder is made where there are folders."""
        ...

    def create(self, name: str, data: bytes) -> bool:
        """Write an object unless there is one of this name; return whether it was written."""
        ...

    def read(self, name: str) -> bytes | None:
        """Return the object, or None if there is none."""
        ...

    def size(self, name: str) -> int | None:
        """Return the object's bytes, or None if there is none."""
        ...

    def sizes(self, names: Collection[str]) -> dict[str, int]:
        """Return the sizes of those of `names` that exist."""
        ...

    def modified(self, name: str) -> float | None:
        """Return when the object was written, in seconds by the storage's clock, or None."""
        ...

    def names(self, folder: str) -> list[str]:
        """Return the names of all objects below `folder`, sorted."""
        ...

    def settle(self, names: Iterable[str]) -> None:
        """Make the names of these objects survive a power cut."""
        ...

    def move(self, source: str, target: str) -> None:
        """Give an object another name; `target` is replaced as a whole."""
        ...

    def remove(self, name: str) -> None:
        """Remove an object; it may be gone already."""
        ...

    def remove_all(self, names: Sequence[str]) -> None:
        """Remove objects; they may be gone already."""
        ...

    def remove_folder(self, name: str, *, only_empty: bool = False) -> None:
        """Remove a folder with all that is in it, or only if no object is; it may be gone."""
        ...

    def staging(self, folder: str) -> Staging:
        """Return where objects of one delivery wait; `folder` is its own, if folders are needed."""
        ...


STORES: Registry[Callable[..., Store]] = Registry(
    kind="storage",
    group="sxdask.stores",
    builtin={"kafka": "sxdask.deliver.kafka.store:open_topic"},
)


@cache
def _schemes() -> frozenset[str]:
    return frozenset(STORES.names())


def open_store(url: str, storage_options: Mapping[str, Any] | None = None) -> Store:
    """Return the store at `url`: a local path, a ``file://`` URL or any fsspec URL.

    Raises
    ------
    RequestError
        If no file system knows the URL's scheme, or URL or options hold a credential.
    MissingExtraError
        If the scheme needs a package that is not installed.
    """
    if "://" not in url:
        return LocalStore(Path(url).expanduser().absolute())
    if url.startswith(("file://", "local://")):
        return LocalStore(Path(url.partition("://")[2]).absolute())
    scheme = url.partition("://")[0]
    if scheme in _schemes():
        return STORES.load(scheme)(url, storage_options)
    options = dict(storage_options or {})
    connection_options(url, options)
    store = _remote(url, options)
    try:
        _ = store.connection
    except ImportError as error:
        raise MissingExtraError(
            f"writing to {public_url(url)!r} needs a package: {error}",
            hint="install the package that the message names",
        ) from error
    except ValueError as error:
        raise RequestError(
            f"cannot write to {public_url(url)!r}: {error}",
            hint="use a directory or a URL such as s3://bucket/prefix",
        ) from error
    return store


def _remote(url: str, options: dict[str, Any]) -> S3Store | RemoteStore:
    if is_s3(url):
        from sxdask.deliver.s3.store import S3Store

        return S3Store(url, options)
    return RemoteStore(url.rstrip("/"), options)


class RemoteStore:
    """A prefix of any fsspec file system.

    An object appears whole or not at all where the file system uploads
    objects as a whole, as object stores do. There is no rename on most of
    them: `move` is a copy on the server and a removal. `storage_options`
    travel with tasks; credentials in them are refused.
    """

    def __init__(self, url: str, storage_options: dict[str, Any]) -> None:
        self.url = url
        self.storage_options = storage_options

    def __getstate__(self) -> dict[str, Any]:
        return {"url": self.url, "storage_options": self.storage_options}

    @cached_property
    def connection(self) -> tuple[Any, str]:
        """The file system and the root's path in it."""
        filesystem, root = connect(self.url, self.storage_options)
        return filesystem, root.rstrip("/")

    @property
    def location(self) -> str:
        """The URL without credentials."""
        return public_url(self.url)

    def full(self, name: str) -> str:
        """Return the URL of `name`."""
        return f"{self.location}/{name}"

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Upload an object."""
        filesystem, root = self.connection
        path = f"{root}/{name}"
        with faults(self.full(name)):
            try:
                filesystem.pipe_file(path, bytes(data))
            except FileNotFoundError:  # a file system with real folders
                filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
                filesystem.pipe_file(path, bytes(data))

    def create(self, name: str, data: bytes) -> bool:
        """Upload an object if there is none: a conditional upload where the storage has them."""
        filesystem, root = self.connection
        path = f"{root}/{name}"
        with faults(self.full(name)):
            with suppress(NotImplementedError):
                filesystem.makedirs(path.rpartition("/")[0], exist_ok=True)
            try:
                filesystem.pipe_file(path, data, mode="create")
            except OSError:
                found = self.read(name)  # some say that it exists, some that the call was wrong
                if found is None:
                    raise
                return found == data  # the answer to an upload that was done may be lost
        return True

    def read(self, name: str) -> bytes | None:
        """Download an object."""
        filesystem, root = self.connection
        with faults(self.full(name)):
            try:
                return bytes(filesystem.cat_file(f"{root}/{name}"))
            except FileNotFoundError:
                return None

    def size(self, name: str) -> int | None:
        """Ask for an object's size; never from a cached listing."""
        filesystem, root = self.connection
        filesystem.invalidate_cache()
        with faults(self.full(name)):
            try:
                return int(filesystem.info(f"{root}/{name}")["size"])
            except FileNotFoundError:
                return None

    def sizes(self, names: Collection[str]) -> dict[str, int]:
        """Ask for sizes, one by one."""
        return {name: size for name in names if (size := self.size(name)) is not None}

    def modified(self, name: str) -> float | None:
        """Ask when an object was written."""
        filesystem, root = self.connection
        filesystem.invalidate_cache()
        with faults(self.full(name)):
            try:
                return float(filesystem.modified(f"{root}/{name}").timestamp())
            except FileNotFoundError:
                return None

    def names(self, folder: str) -> list[str]:
        """List a prefix."""
        filesystem, root = self.connection
        filesystem.invalidate_cache()
        with faults(self.full(folder)):
            found = filesystem.find(f"{root}/{folder}")
        start = len(root.lstrip("/")) + 1
        return sorted(path.lstrip("/")[start:] for path in found)

    def settle(self, names: Iterable[str]) -> None:
        """Do nothing: what an upload that was answered is worth is the storage's promise."""

    def move(self, source: str, target: str) -> None:
        """Copy on the server, then remove."""
        filesystem, root = self.connection
        with faults(self.full(target)):
            try:
                filesystem.cp_file(f"{root}/{source}", f"{root}/{target}")
            except FileNotFoundError:
                if not filesystem.exists(f"{root}/{source}"):
                    raise
                filesystem.makedirs(f"{root}/{target}".rpartition("/")[0], exist_ok=True)
                filesystem.cp_file(f"{root}/{source}", f"{root}/{target}")
            filesystem.rm_file(f"{root}/{source}")

    def remove(self, name: str) -> None:
        """Remove an object."""
        filesystem, root = self.connection
        with faults(self.full(name)), suppress(FileNotFoundError):
            filesystem.rm_file(f"{root}/{name}")

    def remove_all(self, names: Sequence[str]) -> None:
        """Remove objects, one by one."""
        for name in names:
            self.remove(name)

    def staging(self, folder: str) -> Staging:
        """Return the hidden folder `folder`."""
        return FolderStaging(self, folder)

    def remove_folder(self, name: str, *, only_empty: bool = False) -> None:
        """Remove everything below a prefix."""
        filesystem, root = self.connection
        path = f"{root}/{name}".rstrip("/")
        with faults(self.full(name)):
            filesystem.invalidate_cache()
            if not only_empty:
                # One by one: a recursive removal would take characters of the path as a pattern.
                for found in filesystem.find(path):
                    filesystem.rm_file(found)
            if "/" not in path:
                return  # a bucket: some file systems would remove it if it is empty
            with suppress(OSError, NotImplementedError):  # not empty, or no folders at all
                filesystem.rmdir(path)
