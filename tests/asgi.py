"""Calls of an application without a socket, each in a loop of its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Browser:
    """Sends requests to an application as a client at `address` would."""

    app: Any
    address: str = "127.0.0.1"
    url: str = "http://localhost"

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the reply; an exception of the application becomes its reply 500."""

        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(
                self.app, raise_app_exceptions=False, client=(self.address, 4711)
            )
            # A path that begins with // is no path to httpx.
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(method, f"{self.url}{path}", **options)

        return asyncio.run(send())

    def get(self, path: str, **options: Any) -> httpx.Response:
        """Return the reply to GET."""
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """Return the reply to POST."""
        return self.request("POST", path, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        """Return the reply to DELETE."""
        return self.request("DELETE", path, **options)
