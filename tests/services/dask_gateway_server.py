"""A dask-gateway server with the configuration of ``cluster/gateway``, for a module of tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = Path(__file__).parents[2] / "cluster" / "gateway" / "dask_gateway_config.py"
PASSWORD = "a-password-of-tests"  # noqa: S105 - of a server on loopback


@dataclass
class GatewayServer:
    """The server and its proxy; schedulers and workers are processes that outlive it."""

    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    environ: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "password").write_text(PASSWORD)
        self.environ = {
            **os.environ,
            "SXDASK_GATEWAY_DIR": str(self.folder / "state"),
            "SXDASK_GATEWAY_PASSWORD_FILE": str(self.folder / "password"),
            "SXDASK_GATEWAY_PORT": str(self.port),
            "SXDASK_GATEWAY_API_PORT": str(free_port()),
            "SXDASK_GATEWAY_MAX_CORES": "2",
            # Should a test end badly, its clusters end by themselves.
            "SXDASK_GATEWAY_IDLE_S": "120",
        }

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "gateway.log"

    def user(self, name: str) -> dict[str, str]:
        """Return the environment by which Dask's client is the user `name`."""
        return {
            "DASK_GATEWAY__ADDRESS": self.address,
            "DASK_GATEWAY__AUTH__TYPE": "basic",
            "DASK_GATEWAY__AUTH__KWARGS__USERNAME": name,
            "DASK_GATEWAY__AUTH__KWARGS__PASSWORD": PASSWORD,
        }

    def start(self) -> None:
        command = Path(sys.executable).with_name("dask-gateway-server")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(command), "-f", str(CONFIG)], env=self.environ, stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(f"{self.address}/api/health", timeout=5):
                    return
            except (OSError, urllib.error.URLError):
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < deadline, self.log.read_text()
                time.sleep(0.1)

    def stop(self) -> None:
        """End the server and its proxy, as an operator does; clusters go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
            self.process = None

    def processes(self) -> list[psutil.Process]:
        """Return the schedulers and workers of this server."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self.folder) in process.cwd() and process.pid != os.getpid():
                    found.append(process)
        return found


@contextmanager
def running_gateway(folder: Path, **environ: str) -> Iterator[GatewayServer]:
    """Run a gateway until the block ends, and end everything that it started."""
    server = GatewayServer(folder)
    server.environ.update(environ)
    server.start()
    try:
        yield server
    finally:
        server.stop()
        for process in server.processes():
            process.kill()


@pytest.fixture(scope="module")
def gateway_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayServer]:
    """Return a gateway that runs for the module."""
    with running_gateway(tmp_path_factory.mktemp("gateway")) as server:
        yield server


@pytest.fixture
def alice(gateway_server: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> GatewayServer:
    """Return the gateway, with this process being its user alice."""
    become(gateway_server, "alice", monkeypatch)
    return gateway_server


def become(server: GatewayServer, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process, and those that it starts, be the user `name` of `server`."""
    import dask
    import dask_gateway  # noqa: F401 - puts its defaults into Dask's configuration

    for variable, value in server.user(name).items():
        monkeypatch.setenv(variable, value)
    auth = {"type": "basic", "kwargs": {"username": name, "password": PASSWORD}}
    monkeypatch.setitem(dask.config.config["gateway"], "auth", auth)
    monkeypatch.setitem(dask.config.config["gateway"], "address", server.address)
