"""A real PostgreSQL server for the tests: Debian's, one for each worker of pytest.

Its data lies in a folder of its own below the system's temporary one, because
the server refuses to run as root and pytest's folders are closed to others. It
listens on a free port of the loopback interface, asks for a password, and is
ended by its process id.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import URL

from sxdask.service.database.connect import open_database
from sxdask.service.database.migrate import upgrade
from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

PASSWORD = "the-secret-of-the-tests"  # noqa: S105  of a server that lives for a minute
_START_SECONDS = 60.0
# Durability of the test's data against a power cut is not what is tested.
_SETTINGS = {
    "fsync": "off",
    "shared_buffers": "64MB",
    "max_connections": "120",
    "listen_addresses": "127.0.0.1",
    "autovacuum": "on",
}


def _programs() -> Path:
    """Return the folder of the server's programs, of the newest version that is installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=_version)
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    if on_path is None:
        pytest.fail("there is no PostgreSQL server: apt-get install postgresql")
    return Path(on_path).parent


def _version(path: Path) -> int:
    return int(path.parents[1].name)


def _account() -> dict[str, Any]:
    """Return options that run a process as somebody who is not root."""
    if os.geteuid() != 0:
        return {}
    names = {item.pw_name for item in pwd.getpwall()}
    who = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
    return {"user": who.pw_uid, "group": who.pw_gid, "extra_groups": []}


@dataclass
class PostgresServer:
    """A server that can be stopped and started again, on the same port with the same data."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database, with the password."""
        found = URL.create(
            "postgresql", "postgres", PASSWORD, "127.0.0.1", self.port, database=database
        )
        return found.render_as_string(hide_password=False)

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = _SETTINGS | {
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        command = [str(_programs() / "postgres"), "-D", str(self.folder / "data")]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, **_account()
            )
        self._wait()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: ``SIGINT`` closes connections, ``SIGQUIT`` is like a crash."""
        if self.process is None:
            return
        self.process.send_signal(how)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def run(self, *statements: str) -> None:
        """Run statements outside of any transaction."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def _wait(self) -> None:
        import psycopg

        end = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.url(), connect_timeout=5).close()
            except psycopg.OperationalError:
                ended = self.process is None or self.process.poll() is not None
                if ended or time.monotonic() > end:
                    log = (self.folder / "log").read_text(errors="replace")
                    pytest.fail(f"PostgreSQL does not start: {log[-2000:]}")
                time.sleep(0.05)
            else:
                return


@contextmanager
def serve_postgres() -> Iterator[PostgresServer]:
    """Run a new server until the block ends."""
    account = _account()
    folder = Path(tempfile.mkdtemp(prefix="sxdask-postgres-"))
    try:
        password = folder / "password"
        password.write_text(PASSWORD)
        if account:
            for path in (folder, password):
                os.chown(path, account["user"], account["group"])
        options = ["--auth=scram-sha-256", "--username=postgres", f"--pwfile={password}"]
        options += ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        subprocess.run(
            [str(_programs() / "initdb"), "-D", str(folder / "data"), *options],
            check=True,
            capture_output=True,
            cwd=folder,
            **account,
        )
        server = PostgresServer(folder, free_port())
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """Return a running server; who stops it starts it again."""
    with serve_postgres() as server:
        server.run("CREATE DATABASE migrated")
        engine = open_database(server.url("migrated"))
        upgrade(engine)
        engine.dispose()
        yield server


@pytest.fixture
def empty_postgres(postgres_server: PostgresServer) -> Iterator[Engine]:
    """Return a fresh database without tables."""
    with postgres_database(postgres_server, "template0") as engine:
        yield engine


@pytest.fixture
def postgres(postgres_server: PostgresServer) -> Iterator[Engine]:
    """Return a fresh database with the service's tables."""
    with postgres_database(postgres_server) as engine:
        yield engine


@contextmanager
def postgres_database(server: PostgresServer, template: str = "migrated") -> Iterator[Engine]:
    """Give a fresh database, by default with the service's tables."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    server.run(f"CREATE DATABASE {name} TEMPLATE {template}")
    engine = open_database(server.url(name))
    try:
        yield engine
    finally:
        engine.dispose()
        with suppress(Exception):  # a test that failed may have left the server stopped
            server.run(f"DROP DATABASE {name} WITH (FORCE)")
