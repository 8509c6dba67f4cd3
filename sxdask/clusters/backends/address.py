"""A cluster that somebody else started, by the address of its scheduler."""

from __future__ import annotations

from typing import Any

from distributed import Client
from distributed.comm import parse_address
from distributed.comm.registry import get_backend

from sxdask.clusters.backend import ClusterBackend
from sxdask.core.errors import RequestError, SystemFaultError


class AddressBackend(ClusterBackend):
    """Connect to the scheduler at `address` (``tcp://host:8786``); closing leaves it running."""

    owned = False

    def __init__(self, address: str, *, timeout_s: float = 10.0) -> None:
        self.address = address
        self.timeout_s = timeout_s
        self._client: Any = None

    def start(self) -> Any:
        """Connect; return a client that is the active one."""
        if self._client is None:
            try:
                # First: a Client that fails at this stays behind as the active one.
                get_backend(parse_address(self.address, strict=True)[0])
                self._client = Client(self.address, timeout=self.timeout_s)
            except ValueError as error:
                raise RequestError(
                    f"{self.address!r} is no address of a Dask scheduler: {error}",
                    hint="write tcp://host:port",
                ) from error
            except (OSError, TimeoutError) as error:
                raise SystemFaultError(
                    f"no Dask scheduler answers at {self.address!r} in {self.timeout_s:g} s",
                    hint="see whether it runs and can be reached from here",
                    address=self.address,
                ) from error
        return self._client

    def close(self) -> None:
        """Disconnect."""
        client, self._client = self._client, None
        if client is not None:
            client.close()
