"""A Kubernetes that tests run on, however it came to be."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Place:
    """A cluster with the administrator's `kubeconfig`.

    Pods reach servers that a test starts at the address `outside`.
    """

    def __init__(self, kubeconfig: Path, kubectl: Path, outside: str) -> None:
        self.kubeconfig = kubeconfig
        self.outside = outside
        self._kubectl = [str(kubectl), f"--kubeconfig={kubeconfig}"]

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl as administrator; return what it prints."""
        done = subprocess.run(
            [*self._kubectl, *arguments], input=stdin, capture_output=True, text=True
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stderr}"
        return done.stdout

    def get(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the objects that ``kubectl get`` finds."""
        shown = self.kubectl("get", *arguments, "--output=json")
        items: list[dict[str, Any]] = json.loads(shown)["items"] if shown else []
        return items

    def apply(self, *objects: dict[str, Any], namespace: str = "default") -> None:
        """Create objects, or change them."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        self.kubectl("apply", "--namespace", namespace, "--filename=-", stdin=text)

    @contextmanager
    def forwarded(
        self, namespace: str, target: str, port: int, number: int | None = None
    ) -> Iterator[int]:
        """Forward a port of a service or pod to this machine; give its number here."""
        number = number or free_port()
        process = subprocess.Popen(
            [
                *self._kubectl,
                *("port-forward", "--namespace", namespace, target, f"{number}:{port}"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            eventually(lambda: _listens(number), 20, f"nothing is forwarded from {target}")
            yield number
        finally:
            process.terminate()
            process.wait(timeout=10)


def eventually(is_so: Callable[[], Any], seconds: float, complaint: str) -> Any:
    """Wait until something is so, and return it; fail with `complaint` if it is not in time."""
    end = time.monotonic() + seconds
    while not (found := is_so()):
        assert time.monotonic() < end, f"{complaint} ({seconds:g} s)"
        time.sleep(0.2)
    return found


def of_dask(place: Place, namespace: str) -> list[dict[str, Any]]:
    """Return all that belongs to a Dask cluster, and clusters and jobs themselves."""
    where = ("--namespace", namespace)
    parts = "pods,deployments,services,daskworkergroups,daskautoscalers"
    return [
        *place.get(parts, *where, "--selector=dask.org/cluster-name"),
        *place.get("daskclusters,daskjobs", *where),
    ]


def is_going(item: dict[str, Any]) -> bool:
    """Say whether an object was told to go."""
    return "deletionTimestamp" in item["metadata"]


def staying(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the objects that will not go, neither by themselves nor with their cluster."""
    clusters = {
        item["metadata"]["name"]
        for item in items
        if item["kind"] == "DaskCluster" and is_going(item)
    }
    return [
        item
        for item in items
        if not is_going(item)
        and item["metadata"].get("labels", {}).get("dask.org/cluster-name") not in clusters
    ]


def shown(item: dict[str, Any]) -> str:
    """Return kind and name of an object."""
    return f"{item['kind']}/{item['metadata']['name']}"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
