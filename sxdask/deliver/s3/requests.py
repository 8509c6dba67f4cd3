"""Requests to one bucket: each with a deadline, tried again where that may help.

botocore's timeouts are for connecting and for the first byte of an answer. An
endpoint that takes an upload and stops reading in the middle meets neither,
so every request has a deadline of its own that grows with its size.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import TYPE_CHECKING, Any, TypeVar

from sxdask.deliver.s3.faults import is_denied, is_final, problem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

_SLOWEST_BYTES_PER_S = 250_000
_TRIES = 3
_FIRST_PAUSE = 0.2  # seconds; doubles with every try
_READ_TIMEOUT = 30.0

T = TypeVar("T")


class Requests:
    """Make requests to `bucket` with the connection of an s3fs file system."""

    def __init__(self, filesystem: Any, bucket: str) -> None:
        self.bucket = bucket
        self._filesystem = filesystem
        self._endpoint = str(filesystem.endpoint_url or "S3")

    def run(self, make: Callable[[], Coroutine[Any, Any, T]], location: str) -> T:
        """Run what `make` returns on the file system's event loop; wait for it.

        Raises
        ------
        AccessDeniedError
            If credentials are missing, wrong, or may not do this.
        RequestError
            If there is no such bucket.
        DeliveryError
            If the endpoint fails, or does not answer in time.
        """
        from fsspec.asyn import sync

        try:
            found: T = sync(self._filesystem.loop, make)
        except Exception as error:  # noqa: BLE001  what aiohttp and botocore raise has no one root
            if is_denied(error):
                # Others may be found next time; a connection keeps those that it was made with.
                type(self._filesystem).clear_instance_cache()
            raise problem_of(error, location, self.bucket, self._endpoint) from _cause(error)
        return found

    async def call(self, operation: str, *, size: int = 0, **values: Any) -> dict[str, Any]:
        """Make one request and return the answer; `size` is the bytes that it carries.

        It is tried again after a fault of the network or the server. The body
        of an object is read whole.
        """
        end = time.monotonic() + _TRIES * self._deadline(size)
        for number in range(1, _TRIES + 1):
            try:
                return await self._once(operation, values, self._deadline(size))
            except Exception as error:
                if number == _TRIES or is_final(error) or time.monotonic() > end:
                    raise
            await asyncio.sleep(_FIRST_PAUSE * 2 ** (number - 1) * (0.5 + random.random()))  # noqa: S311
        raise AssertionError  # the last try has returned or raised

    @property
    def for_new_objects(self) -> dict[str, Any]:
        """What the user wants every object to be made with: encryption, access lists."""
        return dict(self._filesystem.s3_additional_kwargs)

    async def _once(
        self, operation: str, values: dict[str, Any], deadline: float
    ) -> dict[str, Any]:
        answer = await asyncio.wait_for(self._ask(operation, values), deadline)
        if operation == "get_object":
            answer["Body"] = await _whole(answer)
        return answer

    async def _ask(self, operation: str, values: dict[str, Any]) -> dict[str, Any]:
        client = await self._filesystem.set_session()
        self._endpoint = client.meta.endpoint_url
        method = getattr(client, operation)
        answer: dict[str, Any] = await method(
            Bucket=self.bucket, **self._filesystem.req_kw, **values
        )
        return answer

    def _deadline(self, size: int) -> float:
        """Seconds for one try, with those of botocore in it."""
        config = self._filesystem.config_kwargs
        patience = float(config.get("read_timeout") or _READ_TIMEOUT)
        return 2 * patience + size / _SLOWEST_BYTES_PER_S


async def _whole(answer: dict[str, Any]) -> bytes:
    """Return the body; each piece of it has to arrive within the read timeout."""
    async with answer["Body"] as stream:
        data = bytes(await stream.read())
    if len(data) != answer["ContentLength"]:
        raise OSError(f"{len(data)} bytes arrived of {answer['ContentLength']}")
    return data


def _cause(error: BaseException) -> BaseException | None:
    """Return the error for the traceback, unless it might quote a signed request."""
    return None if is_denied(error) else error
