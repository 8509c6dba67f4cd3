"""A prefix of a bucket, and the staging area that open uploads make."""

from __future__ import annotations

import asyncio
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sxdask.core.errors import DeliveryError
from sxdask.datasets.storage import connect
from sxdask.deliver.part import public_url
from sxdask.deliver.s3.faults import is_absent
from sxdask.deliver.s3.requests import Requests
from sxdask.deliver.s3.uploads import complete, cut, drop, drop_all, size_of, upload, uploaded

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    import pyarrow as pa

_HEADS = 8  # sizes that are asked for one by one rather than listed
_AT_ONCE = 16


class S3Store:
    """A prefix of a bucket; see `sxdask.deliver.store.Store`.

    Credentials are found by botocore in the environment or a profile, in each
    process anew; `storage_options` are those of s3fs, without secrets.
    """

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        scheme, _, path = url.partition("://")
        self.url = f"{scheme.lower()}://{path.strip('/')}"
        self.storage_options = dict(storage_options or {})
        self.bucket, _, self.prefix = path.strip("/").partition("/")

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "connection"}

    @cached_property
    def connection(self) -> Requests:
        """Requests to the bucket; made in each process anew."""
        filesystem, _ = connect(f"s3://{self.bucket}", self.storage_options)
        return Requests(filesystem, self.bucket)

    @property
    def location(self) -> str:
        """The URL without credentials."""
        return public_url(self.url)

    def full(self, name: str) -> str:
        """Return the URL of `name`."""
        return f"{self.location}/{name}"

    def key(self, name: str) -> str:
        """Return the key of `name` in the bucket."""
        return f"{self.prefix}/{name}" if self.prefix else name

    def write(self, name: str, data: bytes | pa.Buffer) -> None:
        """Write a whole object, a large one in parts; it appears when all of it is there."""
        view, key = memoryview(data), self.key(name)
        parts = cut(view)

        async def put() -> None:
            if len(parts) == 1:
                await self.connection.call(
                    "put_object",
                    size=len(view),
                    Key=key,
                    Body=bytes(view),
                    ContentMD5=parts[0].md5,
                    **self.connection.for_new_objects,
                )
                return
            found = await upload(self.connection, key, view, parts)
            try:
                if not await complete(self.connection, key, found, len(view)):
                    raise OSError("parts of the upload are gone")  # noqa: TRY301
            except BaseException:
                await drop(self.connection, key, found)
                raise

        self.connection.run(put, self.full(name))

    def create(self, name: str, data: bytes) -> bool:
        """Write a small object if there is none; the server lets one of several do it."""

        async def put() -> None:
            await self.connection.call(
                "put_object",
                size=len(data),
                Key=self.key(name),
                Body=data,
                IfNoneMatch="*",
                **self.connection.for_new_objects,
            )

        try:
            self.connection.run(put, self.full(name))
        except DeliveryError:
            found = self.read(name)
            if found is None:
                raise
            return found == data  # the answer to an upload that was done may be lost
        return True

    def read(self, name: str) -> bytes | None:
        """Download an object."""

        async def get() -> bytes | None:
            try:
                answer = await self.connection.call("get_object", Key=self.key(name))
            except Exception as error:
                if is_absent(error):
                    return None
                raise
            return bytes(answer["Body"])

        return self.connection.run(get, self.full(name))

    def size(self, name: str) -> int | None:
        """Ask for an object's size."""
        return self.connection.run(
            lambda: size_of(self.connection, self.key(name)), self.full(name)
        )

    def sizes(self, names: Collection[str]) -> dict[str, int]:
        """Return the sizes of those that exist, of many with one request for 1 000 objects."""
        wanted = {self.key(name): name for name in names}

        async def ask() -> dict[str, int]:
            if len(wanted) > _HEADS:
                prefix = os.path.commonprefix(list(wanted))  # noqa: RUF071  of keys, not paths
                found = await self._list(prefix)
                return {wanted[key]: size for key, size in found.items() if key in wanted}
            sizes = await asyncio.gather(*(size_of(self.connection, key) for key in wanted))
            pairs = zip(wanted.values(), sizes, strict=True)
            return {name: size for name, size in pairs if size is not None}

        return self.connection.run(ask, self.location) if wanted else {}

    def modified(self, name: str) -> float | None:
        """Ask when an object was written."""

        async def ask() -> float | None:
            try:
                answer = await self.connection.call("head_object", Key=self.key(name))
            except Exception as error:
                if is_absent(error):
                    return None
                raise
            return float(answer["LastModified"].timestamp())

        return self.connection.run(ask, self.full(name))

    def names(self, folder: str) -> list[str]:
        """List a prefix."""
        keys = self.connection.run(lambda: self._list(f"{self.key(folder)}/"), self.full(folder))
        return sorted(key[len(self.prefix) + 1 :] if self.prefix else key for key in keys)

    def settle(self, names: Iterable[str]) -> None:
        """Do nothing: an object whose upload was answered is safe."""

    def move(self, source: str, target: str) -> None:
        """Copy on the server, then remove; objects of S3 have no other way to another name."""

        async def copy() -> None:
            where = {"Bucket": self.bucket, "Key": self.key(source)}
            await self.connection.call(
                "copy_object",
                Key=self.key(target),
                CopySource=where,
                **self.connection.for_new_objects,
            )
            await self.connection.call("delete_object", Key=self.key(source))

        self.connection.run(copy, self.full(target))

    def remove(self, name: str) -> None:
        """Remove an object."""
        self.remove_all([name])

    def remove_all(self, names: Sequence[str]) -> None:
        """Remove objects, several at once; they may be gone already."""

        async def delete() -> None:
            await self._delete([self.key(name) for name in names])

        if names:
            self.connection.run(delete, self.full(names[0]))

    def remove_folder(self, name: str, *, only_empty: bool = False) -> None:
        """Remove everything below a prefix; there are no folders that could be empty."""

        async def delete() -> None:
            key = self.key(name).rstrip("/")
            await self._delete(list(await self._list(f"{key}/" if key else "")))

        if not only_empty:
            self.connection.run(delete, self.full(name))

    def staging(self, folder: str) -> UploadStaging:  # noqa: ARG002  open uploads need no place
        """Return the staging area of a delivery."""
        return UploadStaging(self)

    async def _list(self, prefix: str) -> dict[str, int]:
        found: dict[str, int] = {}
        where: dict[str, Any] = {}
        while True:
            page = await self.connection.call("list_objects_v2", Prefix=prefix, **where)
            found |= {item["Key"]: int(item["Size"]) for item in page.get("Contents", ())}
            if not page.get("IsTruncated"):
                return found
            where = {"ContinuationToken": page["NextContinuationToken"]}

    async def _delete(self, keys: list[str]) -> None:
        gate = asyncio.Semaphore(_AT_ONCE)

        async def delete(key: str) -> None:
            async with gate:
                await self.connection.call("delete_object", Key=key)

        await asyncio.gather(*map(delete, keys))


class UploadStaging:
    """Objects that wait as open uploads; see `sxdask.deliver.staging.Staging`."""

    def __init__(self, store: S3Store) -> None:
        self._store = store

    def require_access(self, name: str) -> None:
        """Begin an upload and drop it: shows whether writing is allowed, and nothing else."""
        store, requests = self._store, self._store.connection

        async def probe() -> None:
            key = store.key(name)
            begun = await requests.call("create_multipart_upload", Key=key)
            await drop(requests, key, str(begun["UploadId"]))

        requests.run(probe, store.location)

    def put(self, name: str, data: bytes | pa.Buffer) -> str:
        """Upload; the attempt is the upload's id."""
        store, view = self._store, memoryview(data)
        parts = cut(view)
        return store.connection.run(
            lambda: upload(store.connection, store.key(name), view, parts), store.full(name)
        )

    def size(self, name: str, attempt: str) -> int | None:
        """Return the bytes that the server has of an open upload."""
        store = self._store
        if not attempt:
            return None
        parts = store.connection.run(
            lambda: uploaded(store.connection, store.key(name), attempt), store.full(name)
        )
        return None if parts is None else sum(part["Size"] for part in parts)

    def publish(self, name: str, attempt: str, size: int) -> bool:
        """Complete the upload."""
        store = self._store
        if not attempt:
            return False
        return store.connection.run(
            lambda: complete(store.connection, store.key(name), attempt, size), store.full(name)
        )

    def take_back(self, name: str, attempt: str) -> bool:  # noqa: ARG002  see above
        """Tell that a completed upload cannot be opened again."""
        return False

    def drop(self, name: str, attempt: str) -> None:
        """Drop one open upload."""
        store = self._store
        store.connection.run(
            lambda: drop(store.connection, store.key(name), attempt), store.full(name)
        )

    def replace(self, name: str, data: bytes) -> None:
        """Write an object that readers see at once; S3 replaces it as a whole."""
        self._store.write(name, data)

    def clear(self, names: Collection[str], *, alone: bool) -> None:
        """Drop the open uploads of all attempts at `names`; the last run does it for all."""
        store = self._store
        if not alone:
            return
        keys = {store.key(name) for name in names}
        prefix = f"{store.prefix}/" if store.prefix else ""
        store.connection.run(lambda: drop_all(store.connection, prefix, keys), store.location)
