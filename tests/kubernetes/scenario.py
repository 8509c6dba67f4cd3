"""All that a service does to a Kubernetes, run in a pod of its own: by `test_rights`.

The first argument holds the options of the cluster as JSON. It fails if
anything does, quietly or not.
"""

from __future__ import annotations

import json
import sys
from unittest.mock import patch

from sxdask.clusters.backends import kubernetes
from sxdask.clusters.backends.kubernetes import KubernetesBackend
from sxdask.core.errors import ClusterError


def main(options: str) -> None:
    """Open a cluster, follow it, scale it, ask why nothing comes, and close it."""
    # A refusal of anything costs other questions their connections, which a second try hides.
    patch.object(kubernetes, "_TRIES", 1).start()
    backend = KubernetesBackend(**json.loads(options))
    client = backend.start()
    try:
        client.wait_for_workers(1, timeout=60)
        if client.submit(sum, (1, 2)).result(timeout=60) != 3:  # a sum
            raise SystemExit("wrong result")
        if backend.problem():
            raise SystemExit(backend.problem())
        backend.adapt(1, 2)
    finally:
        backend.close()
    broken = KubernetesBackend(**json.loads(options) | {"image": "none:1", "pull_policy": "Never"})
    try:
        broken.start()
    except ClusterError as error:
        if "cannot be pulled" not in error.problem:
            raise
    print("all of it worked", flush=True)  # noqa: T201 - read by the test


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except ClusterError as error:
        raise SystemExit(str(error)) from None
