"""The official ServiceX client, in a Python environment of its own, and ``sxdask serve`` for it.

The environment is made once with pip and kept in the user's cache, like the
sample files; the variable ``SXDASK_SERVICEX_CLIENT`` names one to use instead.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.conftest import USER_CACHE_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CLIENT: Final = "3.3.1"
_PACKAGES: Final = (f"servicex=={CLIENT}", "servicex-analysis-utils==1.2.3", "pyarrow", "aiohttp")
_CHOSEN: Final = os.environ.get("SXDASK_SERVICEX_CLIENT")
_INSTALL_SECONDS: Final = 900
_START_SECONDS: Final = 90
_MARK: Final = "RESULT "

_PRELUDE: Final = f"""
import asyncio, json, sys
from servicex import (
    Delivery, General, OutputFormat, ProgressBarFormat, Sample, ServiceXSpec, dataset, query
)
from servicex.servicex_client import ServiceXClient, deliver_async

VALUES = json.loads(sys.argv[1])
UPROOT_RAW, FUNC_ADL = query.UprootRaw, query.FuncADL_Uproot

def python(function):
    return query.PythonFunction().with_uproot_function(function)

def found(results):
    told = {{}}
    for name, item in results.items():
        try:
            told[name] = [str(path) for path in item]
        except Exception as error:
            told[name] = f"{{type(error).__name__}}: {{error}} {{item!r}}"
    return told

async def get(samples, cache, **options):
    general = {{"IgnoreLocalCache": True, **options.pop("general", {{}})}}
    spec = ServiceXSpec(General=General(**general), Sample=samples)
    bar = ProgressBarFormat.none
    return found(await deliver_async(spec, cache_dir=cache, progress_bar=bar, **options))

def tell(value):
    print("{_MARK}" + json.dumps(value))
"""


def client_python() -> Path:
    """Return the Python that has the official client; it is installed the first time."""
    if _CHOSEN:
        return Path(_CHOSEN) / "bin" / "python"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    folder = USER_CACHE_DIR / "servicex-client" / f"{CLIENT}-python{version}"
    ready = folder / "ready"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # processes of pytest wait for the first
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            python = folder / "bin" / "python"
            _run([sys.executable, "-m", "venv", str(folder)])
            quiet = ["--quiet", "--disable-pip-version-check"]
            _run([str(python), "-m", "pip", "install", *quiet, *_PACKAGES])
            ready.touch()
    return folder / "bin" / "python"


def _run(command: list[str]) -> None:
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=_INSTALL_SECONDS
    )
    if done.returncode:
        # Without the client nothing of this is tested, on any machine.
        pytest.fail(f"the official client cannot be installed: {done.stderr[-500:]}")


@dataclass(frozen=True, slots=True)
class OfficialClient:
    """The client of one user: her home directory holds settings and cache."""

    python: Path
    home: Path

    def configure(self, text: str) -> None:
        """Write her ``servicex.yaml``."""
        cache = f"cache_path: {self.home / 'cache'}\n"
        (self.home / "servicex.yaml").write_text(text + cache)

    def run(self, code: str, *, timeout: float = 300, **values: Any) -> Any:
        """Run `code`, which knows `values` as ``VALUES``; return what it hands to ``tell``."""
        process = self.start(code, **values)
        return self.finish(process, timeout)

    def start(self, code: str, **values: Any) -> subprocess.Popen[str]:
        """Begin to run `code`."""
        script = self.home / f"script-{time.time_ns()}.py"
        script.write_text(_PRELUDE + textwrap.dedent(code))
        return self._popen(str(self.python), str(script), json.dumps(values, default=str))

    def finish(self, process: subprocess.Popen[str], timeout: float = 300) -> Any:
        """Wait for a script and return what it told."""
        with process:
            try:
                output, errors = process.communicate(timeout=timeout)
            finally:
                process.kill()
        lines = [line for line in output.splitlines() if line.startswith(_MARK)]
        assert process.returncode == 0, errors[-3000:]
        assert lines, errors[-3000:]
        return json.loads(lines[-1].removeprefix(_MARK))

    def command(self, *arguments: str) -> str:
        """Run the ``servicex`` command and return what it prints."""
        with self._popen(str(self.python.with_name("servicex")), *arguments) as process:
            try:
                output, errors = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == 0, f"{output[-2000:]} {errors[-2000:]}"
        return output

    def _popen(self, *command: str) -> subprocess.Popen[str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
        return subprocess.Popen(
            command,
            cwd=self.home,
            env={**kept, "HOME": str(self.home), "COLUMNS": "300"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@dataclass
class ServedX:
    """A running ``sxdask serve``."""

    process: subprocess.Popen[str]
    data: Path
    errors: Path
    welcome: str

    @property
    def url(self) -> str:
        """Where it listens."""
        return self.welcome.splitlines()[0].split()[-1]

    @property
    def client_file(self) -> str:
        """The ``servicex.yaml`` that it wrote."""
        return (self.data / "servicex.yaml").read_text()

    def end(self, how: signal.Signals = signal.SIGTERM, *, within_s: float = 60) -> int:
        """Send a signal and return the exit status."""
        self.process.send_signal(how)
        return self.process.wait(within_s)


@contextmanager
def served(
    data: Path, *arguments: str, environ: Mapping[str, str] | None = None
) -> Iterator[ServedX]:
    """Run ``sxdask serve`` until the block ends, when it is asked to end if it still runs."""
    data.parent.mkdir(parents=True, exist_ok=True)
    errors = data.with_name(f"{data.name}-{time.time_ns()}.log")
    command = [sys.executable, "-m", "sxdask.cli", "serve", "--data-dir", str(data), *arguments]
    whole = {**os.environ, **(environ or {})}
    with errors.open("w") as log:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=whole
        )
    with process:
        try:
            yield ServedX(process, data, errors, _welcome(process, errors))
        finally:
            if process.poll() is None:
                process.terminate()
            try:
                process.wait(60)
            finally:
                process.kill()


def _welcome(process: subprocess.Popen[str], errors: Path) -> str:
    """Return what it says until it serves."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("default_endpoint"):
            return "".join(lines)
    pytest.fail(f"it does not serve: {''.join(lines)}{errors.read_text()[-3000:]}")


@pytest.fixture(scope="session")
def servicex_python() -> Path:
    """Return the Python that has the official client."""
    return client_python()


@pytest.fixture
def official_client(servicex_python: Path, tmp_path: Path) -> OfficialClient:
    """Return a client with an empty home directory; it is to be configured."""
    home = tmp_path / "home"
    home.mkdir()
    return OfficialClient(servicex_python, home)
