"""A real XRootD server for the tests: Debian's, one for each worker of pytest.

It refuses to run as root, so for root it becomes the user that Debian's package
makes. That user has to reach the data, which a folder of pytest does not let it.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 30.0
_USER = "xrootd"


@dataclass(frozen=True, slots=True)
class XRootDServer:
    """A running server; `data` is the folder that it serves as ``/data``."""

    port: int
    data: Path

    @property
    def door(self) -> str:
        """``root://127.0.0.1:<port>``."""
        return f"root://127.0.0.1:{self.port}"

    def url(self, path: str) -> str:
        """Return the URL of a path below ``/data``."""
        return f"{self.door}//data/{path}"

    def put(self, path: str, data: bytes = b"root") -> None:
        """Write a file below ``/data`` that the server can read."""
        target = self.data / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
        for place in (target, *target.parents):
            if place == self.data:
                break
            place.chmod(0o755)


@contextmanager
def run_xrootd() -> Iterator[XRootDServer]:
    """Run a server until the block ends.

    Raises
    ------
    FileNotFoundError
        If Debian's package ``xrootd-server`` is not installed.
    """
    program = shutil.which("xrootd")
    if program is None:
        raise FileNotFoundError("apt-get install xrootd-server")
    folder = Path(tempfile.mkdtemp(prefix="sxdask-xrootd-"))
    folder.chmod(0o755)
    try:
        for name in ("data", "admin"):
            (folder / name).mkdir(mode=0o755)
        as_user: list[str] = []
        if os.geteuid() == 0:
            as_user = ["-R", _USER]
            for place in (folder, *folder.iterdir()):
                shutil.chown(place, _USER)
        port = free_port()
        config = folder / "xrootd.cfg"
        config.write_text(
            f"xrd.port {port}\n"
            "xrd.network nodnr\n"
            "all.export /data r/w\n"
            f"oss.localroot {folder}\n"
            f"all.adminpath {folder}/admin\n"
            f"all.pidpath {folder}/admin\n"
        )
        config.chmod(0o644)
        command = [program, "-c", str(config), "-l", str(folder / "admin" / "log"), *as_user]
        process = subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        try:
            _await(port, process)
            yield XRootDServer(port, folder / "data")
        finally:
            process.kill()  # a polite end waits for connections of clients
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(port: int, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        with socket.socket() as probe:
            probe.settimeout(0.2)
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    pytest.fail(f"xrootd did not start (exit status {process.poll()})")


@pytest.fixture(scope="session")
def xrootd_server() -> Iterator[XRootDServer]:
    """Give the server of this session."""
    with run_xrootd() as server, pytest.MonkeyPatch.context() as patch:
        # The client looks every 15 seconds whether a request took too long. It reads this once.
        patch.setenv("XRD_TIMEOUTRESOLUTION", "1")
        yield server
