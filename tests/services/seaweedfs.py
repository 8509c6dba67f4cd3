"""A real S3 server for the tests: SeaweedFS, from a wheel, one for each worker of pytest.

It checks signatures. Every port is a free one of the loopback interface, data
lies in a folder of the test session, and the process is ended by its id.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator

_START_SECONDS = 60.0
# Small volumes are freed soon after their objects are removed; the server makes them as needed.
_VOLUME_MB = 256
_VOLUMES = 200
_SERVICES = ("master", "volume", "filer", "s3")
_ENVIRONMENT = (
    "AWS_PROFILE",
    "AWS_SESSION_TOKEN",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_SHARED_CREDENTIALS_FILE",
    "AWS_CONFIG_FILE",
)


@dataclass(frozen=True, slots=True)
class S3Server:
    """A running server. `key` may do everything, `reader_key` may only read and list."""

    endpoint: str
    key: str = "sxdask-tests"
    secret: str = field(default="the-secret-of-the-tests", repr=False)
    reader_key: str = "sxdask-reader"
    reader_secret: str = field(default="the-secret-of-the-reader", repr=False)

    @property
    def port(self) -> int:
        """The port of the S3 API."""
        return int(self.endpoint.rpartition(":")[2])

    def environment(self, endpoint: str | None = None) -> dict[str, str]:
        """Return the variables that a client needs, for this server or a proxy before it."""
        return {
            "AWS_ACCESS_KEY_ID": self.key,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": endpoint or self.endpoint,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self) -> Any:
        """Return a plain botocore client, which shares nothing with what is tested."""
        import botocore.session

        return botocore.session.Session().create_client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=self.key,
            aws_secret_access_key=self.secret,
        )


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket of one test, looked at with a client of its own."""

    name: str
    server: S3Server
    client: Any

    @property
    def url(self) -> str:
        """``s3://<name>``."""
        return f"s3://{self.name}"

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of all objects below `prefix`, sorted."""
        pages = self.client.get_paginator("list_objects_v2")
        found = pages.paginate(Bucket=self.name, Prefix=prefix)
        return sorted(item["Key"] for page in found for item in page.get("Contents", ()))

    def pending(self) -> list[str]:
        """Return the keys of multipart uploads that were begun and never ended, sorted."""
        pages = self.client.get_paginator("list_multipart_uploads")
        found = pages.paginate(Bucket=self.name)
        return sorted(item["Key"] for page in found for item in page.get("Uploads", ()))

    def drop_pending(self, key: str) -> None:
        """Drop the open uploads of `key`."""
        for item in self.client.list_multipart_uploads(Bucket=self.name).get("Uploads", ()):
            if item["Key"] == key:
                self.client.abort_multipart_upload(
                    Bucket=self.name, Key=key, UploadId=item["UploadId"]
                )

    def get(self, key: str) -> bytes:
        """Return an object."""
        return bytes(self.client.get_object(Bucket=self.name, Key=key)["Body"].read())

    def remove(self) -> None:
        """Remove the bucket with what is in it, which frees its volumes."""
        for key in self.keys():
            self.client.delete_object(Bucket=self.name, Key=key)
        self.client.delete_bucket(Bucket=self.name)


def _command(folder: Path) -> tuple[list[str], str]:
    """Return the command line of a server below `folder` and its endpoint."""
    program = shutil.which("weed", path=str(Path(_python_folder())))
    if program is None:
        pytest.fail("there is no `weed`: pip install 'sxdask[services]'")
    server = S3Server("")
    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    pairs = [
        ("admin", server.key, server.secret, everything),
        ("reader", server.reader_key, server.reader_secret, ["Read", "List"]),
    ]
    identities = [
        {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}
        for name, key, secret, actions in pairs
    ]
    # One volume for a new bucket in place of seven: the first object comes sooner.
    (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
    config = folder / "s3.json"
    config.write_text(json.dumps({"identities": identities}))
    ports = free_ports(2 * len(_SERVICES))
    command = [program, "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}"]
    for number, name in enumerate(_SERVICES):
        command += [f"-{name}.port={ports[number]}"]
        command += [f"-{name}.port.grpc={ports[number + len(_SERVICES)]}"]
    command += ["-filer", "-s3", f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    command += [f"-master.volumeSizeLimitMB={_VOLUME_MB}", f"-volume.max={_VOLUMES}"]
    command += ["-master.telemetry=false"]
    return command, f"http://127.0.0.1:{ports[_SERVICES.index('s3')]}"


def _python_folder() -> str:
    import sysconfig

    return sysconfig.get_path("scripts")


def _is_ready(endpoint: str) -> bool:
    try:
        with urllib.request.urlopen(f"{endpoint}/", timeout=2) as answer:
            return bool(answer.status)
    except urllib.error.HTTPError:
        return True  # it refuses what has no signature: it works
    except OSError:
        return False


@contextmanager
def serve_s3(folder: Path) -> Iterator[S3Server]:
    """Run a server with its data in `folder` until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    process, server = _start(folder)
    try:
        yield server
    finally:
        _kill(process)
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> tuple[subprocess.Popen[bytes], S3Server]:
    """Start a server and wait until it stores objects; a port may be taken meanwhile: try again."""
    log = folder / "weed.log"
    end = time.monotonic() + _START_SECONDS
    while True:
        command, endpoint = _command(folder)
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder)
        while process.poll() is None and time.monotonic() < end:
            if _is_ready(endpoint):
                server = S3Server(endpoint)
                _wait_for_volumes(server, end)
                return process, server
            time.sleep(0.1)
        _kill(process)
        if time.monotonic() > end:
            pytest.fail(f"the S3 server does not start: {log.read_text()[-2000:]}")


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the server at once: in peace it takes twenty seconds, and its data is not kept."""
    process.kill()
    process.wait()


def _wait_for_volumes(server: S3Server, end: float) -> None:
    """Wait until an object can be stored: the API answers before the volumes do."""
    from botocore.exceptions import BotoCoreError, ClientError

    client = server.client()
    while True:
        try:
            bucket = Bucket(f"ready-{uuid.uuid4().hex[:8]}", server, client)
            client.create_bucket(Bucket=bucket.name)
            client.put_object(Bucket=bucket.name, Key="ready", Body=b"yes")
            bucket.remove()
        except (BotoCoreError, ClientError):
            if time.monotonic() > end:
                raise
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Return a running S3 server; see `S3Server`."""
    with serve_s3(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def s3_environment(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Server]:
    """Put endpoint and credentials of the server into the environment, and forget connections."""
    import s3fs

    for name in _ENVIRONMENT:
        monkeypatch.delenv(name, raising=False)
    for name, value in s3_server.environment().items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    yield s3_server
    s3fs.S3FileSystem.clear_instance_cache()


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[Bucket]:
    """Return a fresh bucket; it is removed after the test."""
    found = Bucket(f"test-{uuid.uuid4().hex[:12]}", s3_server, s3_server.client())
    found.client.create_bucket(Bucket=found.name)
    yield found
    found.remove()
