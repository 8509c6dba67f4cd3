"""A real Rucio server for the tests, with what it knows in SQLite.

Its wheel and that of Rucio's client hold the same package, so the server lives
in an environment of its own, made once a user with pip and kept in the cache
directory. It listens on a free port of the loopback interface, asks for a
password, and is ended by its process id.
"""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import IN_CI, USER_CACHE_DIR
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

VERSION = "41.5.1"
SCOPE = "user.ada"
PASSWORD = "the-secret-of-the-tests"  # noqa: S105  of a server that lives for a minute
_START_SECONDS = 90.0
_ADLER32 = "0cc737eb"
_MOST = 200  # names in one question: SQLite takes no more


@dataclass
class RealRucio:
    """A running server and a client of its administrator."""

    url: str
    config: Path
    client: Any = field(repr=False)

    def site(self, name: str, *doors: tuple[str, str, int, str], tape: bool = False) -> None:
        """Add a site with doors (scheme, host, port, prefix)."""
        self.client.add_rse(name, rse_type="TAPE" if tape else "DISK")
        for rank, (scheme, host, port, prefix) in enumerate(doors, 1):
            read = {"read": rank, "write": 1, "delete": 1}
            copy = {"third_party_copy_read": 1, "third_party_copy_write": 1}
            kind = "xrootd" if scheme == "root" else "webdav"
            protocol = {"scheme": scheme, "hostname": host, "port": port, "prefix": prefix}
            domains = {"lan": read, "wan": read | copy}
            impl = f"rucio.rse.protocols.{kind}.Default"
            self.client.add_protocol(name, protocol | {"impl": impl, "domains": domains})

    def files(self, *names: str, sites: tuple[str, ...]) -> list[dict[str, str]]:
        """Add files with a replica at each site; return their identifiers."""
        facts = [
            {"scope": SCOPE, "name": name, "bytes": 1000, "adler32": _ADLER32}
            | {"meta": {"events": 100}}
            for name in names
        ]
        for site in sites:
            for at in range(0, len(facts), _MOST):
                self.client.add_replicas(rse=site, files=facts[at : at + _MOST])
        return [{"scope": SCOPE, "name": name} for name in names]

    def dataset(self, name: str, files: list[dict[str, str]]) -> dict[str, str]:
        """Add a dataset of files; return its identifier."""
        self.client.add_dataset(SCOPE, name)
        if files:
            self.client.add_files_to_dataset(SCOPE, name, files)
        return {"scope": SCOPE, "name": name}

    def datasets(self, members: dict[str, list[dict[str, str]]]) -> list[dict[str, str]]:
        """Add many datasets of files at once; return their identifiers."""
        found = [{"scope": SCOPE, "name": name} for name in members]
        self.client.add_datasets([dict(item) for item in found])
        self.client.attach_dids_to_dids([item | {"dids": members[item["name"]]} for item in found])
        return found

    def container(self, name: str, members: list[dict[str, str]]) -> dict[str, str]:
        """Add a container of datasets or containers; return its identifier."""
        self.client.add_container(SCOPE, name)
        if members:
            self.client.attach_dids(SCOPE, name, members)
        return {"scope": SCOPE, "name": name}


def _environment() -> Path:
    """Return the Python of an environment with Rucio's server, made if it is not there."""
    root = USER_CACHE_DIR / "rucio-server"
    folder = root / f"{VERSION}-py{sys.version_info[0]}{sys.version_info[1]}"
    python = folder / "bin" / "python"
    done = folder / "complete"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)
            pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q"]
            for command in (
                [sys.executable, "-m", "venv", "--without-pip", str(folder)],
                [*pip, f"rucio=={VERSION}"],
            ):
                subprocess.run(command, check=True, capture_output=True, timeout=900)
            done.touch()
    return python


@contextmanager
def run_rucio(folder: Path) -> Iterator[RealRucio]:
    """Run a server until the block ends; `folder` takes its database and its log."""
    from rucio.client.client import Client
    from rucio.common.config import clean_cached_config

    python = _environment()
    port = free_port()
    url, config = f"http://127.0.0.1:{port}", folder / "rucio.cfg"
    config.write_text(
        f"[common]\nlogdir = {folder}\nloglevel = ERROR\n"
        f"[client]\nrucio_host = {url}\nauth_host = {url}\naccount = root\n"
        f"auth_type = userpass\nusername = ada\npassword = {PASSWORD}\n"
        f"auth_token_file_path = {folder}/token\n"
        f"[database]\ndefault = sqlite:///{folder}/rucio.db\n"
        f"[bootstrap]\nuserpass_identity = ada\nuserpass_pwd = {PASSWORD}\n"
        "[policy]\npermission = generic\nschema = generic\nlfn2pfn_algorithm_default = hash\n"
    )
    command = [str(python), str(Path(__file__).with_name("rucio_main.py")), str(folder), str(port)]
    with (folder / "server.log").open("wb") as log, pytest.MonkeyPatch.context() as patch:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=subprocess.STDOUT)
        try:
            _await(url, process, folder / "server.log")
            patch.setenv("RUCIO_CONFIG", str(config))
            clean_cached_config()
            client = Client()
            client.add_scope("root", SCOPE)
            yield RealRucio(url, config, client)
        finally:
            clean_cached_config()
            process.kill()
            process.wait()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/ping", timeout=1):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    pytest.fail(f"Rucio did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def rucio_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealRucio]:
    """Give the server of this session."""
    try:
        _environment()
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or b""
        reason = f"Rucio's server cannot be installed: {error} {said.decode()[-500:]}"
        if IN_CI:
            pytest.fail(reason)
        pytest.skip(reason)
    with run_rucio(tmp_path_factory.mktemp("rucio")) as server:
        yield server
