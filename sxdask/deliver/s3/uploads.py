"""Multipart uploads: begun and filled by a worker, completed or dropped by the driver.

Until an upload is completed nobody sees it, and completing moves no byte: the
one way of S3 to give an object its name when it is known to be wanted.
Parts carry an MD5, so a torn or damaged one is refused by the server.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sxdask.deliver.s3.faults import is_absent, is_denied

if TYPE_CHECKING:
    from collections.abc import Collection

    from sxdask.deliver.s3.requests import Requests

PART_BYTES = 16 * 1024 * 1024
"""Size of a part; S3 takes 5 MiB to 5 GiB and at most 10 000 of them."""

_MOST_PARTS = 10_000
_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class UploadPart:
    """Bytes ``[start, stop)`` of an object, as one request."""

    number: int
    start: int
    stop: int
    md5: str


def cut(data: memoryview, part_bytes: int = PART_BYTES) -> list[UploadPart]:
    """Return the parts that `data` is uploaded in, at least one."""
    size = max(part_bytes, -(-len(data) // _MOST_PARTS))
    found = []
    for number, start in enumerate(range(0, max(len(data), 1), size), start=1):
        digest = hashlib.md5(data[start : start + size], usedforsecurity=False).digest()
        stop = min(start + size, len(data))
        found.append(UploadPart(number, start, stop, base64.b64encode(digest).decode()))
    return found


async def upload(requests: Requests, key: str, data: memoryview, parts: list[UploadPart]) -> str:
    """Upload `data` in `parts`, several at once, and return the id of the open upload.

    If a part cannot be uploaded the others are stopped and the upload is dropped.
    """
    begun = await requests.call("create_multipart_upload", Key=key, **requests.for_new_objects)
    upload_id = str(begun["UploadId"])
    gate = asyncio.Semaphore(_AT_ONCE)

    async def send(part: UploadPart) -> None:
        async with gate:
            await requests.call(
                "upload_part",
                size=part.stop - part.start,
                Key=key,
                UploadId=upload_id,
                PartNumber=part.number,
                Body=bytes(data[part.start : part.stop]),
                ContentMD5=part.md5,
            )

    tasks = [asyncio.ensure_future(send(part)) for part in parts]
    try:
        await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        # A part that arrives after the upload was dropped would stay for ever: wait for all.
        await asyncio.gather(*tasks, return_exceptions=True)
        with suppress(Exception):  # the first error says what is wrong
            await drop(requests, key, upload_id)
        raise
    return upload_id


async def uploaded(requests: Requests, key: str, upload_id: str) -> list[dict[str, Any]] | None:
    """Return the parts that the server has of an open upload; None if there is no such upload.

    A part that was sent twice, because the answer was lost, counts once: some
    servers (SeaweedFS) list both.
    """
    found: dict[int, dict[str, Any]] = {}
    where: dict[str, Any] = {}
    while True:
        try:
            page = await requests.call("list_parts", Key=key, UploadId=upload_id, **where)
        except Exception as error:
            if is_absent(error):
                return None
            raise
        found |= {part["PartNumber"]: part for part in page.get("Parts", ())}
        if not page.get("IsTruncated"):
            return [found[number] for number in sorted(found)]
        where = {"PartNumberMarker": page["NextPartNumberMarker"]}


async def complete(requests: Requests, key: str, upload_id: str, size: int) -> bool:
    """Make the upload the object `key` if its parts are `size` bytes; tell whether they are.

    A request whose answer was lost is made again and finds no upload: then
    the object says whether it was completed.
    """
    parts = await uploaded(requests, key, upload_id)
    if parts is None or sum(part["Size"] for part in parts) != size:
        return False
    tags = [{"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in parts]
    try:
        await requests.call(
            "complete_multipart_upload",
            Key=key,
            UploadId=upload_id,
            MultipartUpload={"Parts": tags},
        )
    except Exception as error:
        if is_absent(error):
            return await size_of(requests, key) == size
        raise
    return True


async def drop(requests: Requests, key: str, upload_id: str) -> None:
    """Drop an open upload; it may be gone already."""
    try:
        await requests.call("abort_multipart_upload", Key=key, UploadId=upload_id)
    except Exception as error:
        if not is_absent(error):
            raise


async def drop_all(requests: Requests, prefix: str, keys: Collection[str]) -> None:
    """Drop every open upload of `keys`, all of which begin with `prefix`."""
    where: dict[str, Any] = {}
    while True:
        try:
            page = await requests.call("list_multipart_uploads", Prefix=prefix, **where)
        except Exception as error:
            if is_denied(error):  # may write and not list: a rule of the bucket clears them
                return
            raise
        ours = [item for item in page.get("Uploads", ()) if item["Key"] in keys]
        await asyncio.gather(*(drop(requests, item["Key"], item["UploadId"]) for item in ours))
        if not page.get("IsTruncated"):
            return
        where = {
            "KeyMarker": page["NextKeyMarker"],
            "UploadIdMarker": page["NextUploadIdMarker"],
        }


async def size_of(requests: Requests, key: str) -> int | None:
    """Return the bytes of an object, or None if there is none."""
    try:
        return int((await requests.call("head_object", Key=key))["ContentLength"])
    except Exception as error:
        if is_absent(error):
            return None
        raise
