"""The same tests on kind, where Docker and kind are installed."""

from __future__ import annotations

import json
import shutil
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from tests.kubernetes.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cluster_tools import Tools
    from tests.kubernetes.images import Images

_NAME = "sxdask-tests"


def has_kind() -> bool:
    """Say whether kind is installed, and a Docker engine answers."""
    if not (shutil.which("kind") and shutil.which("docker")):
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0


class KindPlace(Place):
    """A cluster of kind."""

    def load(self, images: Images) -> None:
        """Import images into the node."""
        _run("kind", "load", "image-archive", str(images.archive), "--name", _NAME)


@contextmanager
def running_kind(folder: Path, shared: Path, tools: Tools) -> Iterator[KindPlace]:
    """Start a cluster of one node that sees the folder `shared`; delete it at the end."""
    configuration = {
        "kind": "Cluster",
        "apiVersion": "kind.x-k8s.io/v1alpha4",
        "nodes": [
            {
                "role": "control-plane",
                "extraMounts": [{"hostPath": str(shared), "containerPath": str(shared)}],
            }
        ],
    }
    file, kubeconfig = folder / "kind.yaml", folder / "admin.conf"
    file.write_text(json.dumps(configuration))
    with ExitStack() as stack:
        stack.callback(_run, "kind", "delete", "cluster", "--name", _NAME)
        _run(
            *("kind", "create", "cluster", "--name", _NAME, "--wait", "180s"),
            *("--config", str(file), "--kubeconfig", str(kubeconfig)),
        )
        shown = subprocess.run(
            ["docker", "network", "inspect", "kind"], capture_output=True, text=True, check=True
        )
        pools = json.loads(shown.stdout)[0]["IPAM"]["Config"]
        outside = next(pool["Gateway"] for pool in pools if "." in pool.get("Gateway", ""))
        yield KindPlace(kubeconfig, tools.kubectl, outside)


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
