"""A Kubernetes of one node on this machine, in namespaces of its own.

The process that this starts is number one of private process, mount and network
namespaces, so that ending it ends every part and every container, and takes
mounts and networks along. It ends as well when the process that started it
does. Only a pair of network devices leads out: the API server, services and
pods are reached through it, and pods reach servers that tests start on `OUTSIDE`.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import trustme
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.kubernetes.place import Place
from tests.kubernetes.processes import POD_NETWORK, SERVICE_NETWORK, SOCKET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cluster_tools import Tools
    from tests.kubernetes.images import Images

ADDRESS = "10.89.7.1"
OUTSIDE = "10.89.7.254"
NODE = "node1"
_LINK_OUT, _LINK_IN = "sxdask-k8s", "node0"
_CGROUPS = Path("/sys/fs/cgroup")
_GROUPS = ("kubepods", "k8s.io")


class Plane(Place):
    """A control plane that runs here."""

    def __init__(self, folder: Path, tools: Tools, process: subprocess.Popen[bytes]) -> None:
        super().__init__(folder / "admin.conf", tools.kubectl, OUTSIDE)
        self.folder = folder
        self._process = process

    def inside(self, *command: str) -> str:
        """Run a command in the namespaces of the node; return what it prints."""
        number = self._child()
        done = subprocess.run(
            ["nsenter", "--target", str(number), "--mount", "--net", "--pid", *command],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{command}: {done.stderr[-500:]}"
        return done.stdout

    def ctr(self, *arguments: str) -> str:
        """Run containerd's client for the containers of Kubernetes."""
        return self.inside("ctr", "--address", SOCKET, "--namespace", "k8s.io", *arguments)

    def load(self, images: Images) -> None:
        """Import images; layers that the runtime has are not read again."""
        known = set(self.ctr("content", "list", "--quiet").split())
        wanted = {f"sha256:{layer}" for layer in images.layers}
        archive = images.update if wanted <= known else images.archive
        self.ctr("images", "import", str(archive))
        for name in self.ctr("images", "list", "--quiet").split():
            if name.startswith("localhost/") and not name.endswith((f":{images.tag}", ":1")):
                self.ctr("images", "remove", name)

    def wait_ready(self, seconds: float = 300) -> None:
        """Wait until the API server answers and the node takes pods."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            assert self._process.poll() is None, f"the plane ended; see {self.folder}"
            nodes = self.kubectl(
                "get",
                "nodes",
                "--request-timeout=2s",
                "--output=jsonpath={.items[*].status.conditions[?(@.type=='Ready')].status}",
                check=False,
            )
            account = self.kubectl("get", "serviceaccount", "default", check=False)
            if nodes.strip() == "True" and account:
                return
            time.sleep(0.2)
        raise TimeoutError(f"no node is ready in {seconds:g} s; logs are in {self.folder}")

    def _child(self) -> int:
        """Return the number, seen from here, of the process that is number one inside."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        return int(children.read_text().split()[0])


@contextmanager
def running_plane(cache: Path, programs: Path, tools: Tools) -> Iterator[Plane]:
    """Start a control plane and end it; only one at a time on a machine, by root.

    The image store of the container runtime stays in `cache`; nothing else does.
    """
    folder = cache / "plane"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        lock = stack.enter_context((cache / "plane.lock").open("w"))
        fcntl.flock(lock, fcntl.LOCK_EX)
        stack.callback(_remove_traces)
        _remove_traces()
        _write_configuration(folder)
        settings = {
            "folder": str(folder),
            "programs": str(programs),
            "kubectl": str(tools.kubectl),
            "address": ADDRESS,
            "outside": OUTSIDE,
            "link": _LINK_IN,
            "node": NODE,
        }
        with (folder / "plane.log").open("w") as log:
            process = subprocess.Popen(
                [
                    *("setpriv", "--pdeathsig", "KILL"),
                    *("unshare", "--mount", "--net", "--pid", "--fork", "--kill-child"),
                    *("--mount-proc", "--propagation", "private"),
                    *(sys.executable, "-m", "tests.kubernetes.processes", json.dumps(settings)),
                ],
                cwd=Path(__file__).parents[2],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        stack.callback(_end, process)
        plane = Plane(folder, tools, process)
        _connect(plane)
        yield plane


def _connect(plane: Plane) -> None:
    """Lay the pair of devices, and routes to services and pods."""
    end = time.monotonic() + 10
    inside = 0
    while not inside:
        assert time.monotonic() < end, "unshare did not start"
        with suppress(IndexError, FileNotFoundError):
            inside = plane._child()
    for command in (
        f"link add {_LINK_OUT} type veth peer name {_LINK_IN} netns {inside}",
        f"address add {OUTSIDE}/24 dev {_LINK_OUT}",
        f"link set {_LINK_OUT} up",
        f"route add {POD_NETWORK} via {ADDRESS}",
        f"route add {SERVICE_NETWORK} via {ADDRESS}",
    ):
        subprocess.run(["ip", *command.split()], check=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=30)


def _remove_traces() -> None:
    """Remove what outlives the processes: control groups, and for a while the link.

    The kernel takes a minute to tear a network with pods down; the link is ours to delete.
    """
    subprocess.run(["ip", "link", "delete", _LINK_OUT], capture_output=True)
    end = time.monotonic() + 10
    while time.monotonic() < end:
        roots = [root for name in _GROUPS for root in _CGROUPS.glob(f"*/{name}")]
        if not roots:
            return
        for root in roots:
            for group in (*sorted(root.rglob("*/"), reverse=True), root):
                with suppress(OSError):  # busy until its last process is gone
                    group.rmdir()
        time.sleep(0.1)


def _write_configuration(folder: Path) -> None:
    """Write keys, certificates and the configuration of each program."""
    authority = trustme.CA()
    server = authority.issue_cert(
        ADDRESS, "127.0.0.1", "10.96.0.1", "localhost", "kubernetes.default.svc"
    )
    admin = authority.issue_cert(
        "admin.invalid", organization_name="system:masters", common_name="admin"
    )
    account = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    key = authority.private_key_pem.bytes()
    files = {"ca.crt": authority.cert_pem.bytes(), "ca.key": key, "sa.key": account}
    for name, made in (("apiserver", server), ("admin", admin)):
        files[f"{name}.crt"] = b"".join(blob.bytes() for blob in made.cert_chain_pems)
        files[f"{name}.key"] = made.private_key_pem.bytes()
    for name, content in files.items():
        (folder / name).write_bytes(content)
        (folder / name).chmod(0o600)
    (folder / "admin.conf").write_text(json.dumps(_kubeconfig(folder)))
    (folder / "kubelet.yaml").write_text(json.dumps(_kubelet(folder)))
    (folder / "containerd.toml").write_text(_CONTAINERD.format(folder=folder, socket=SOCKET))


def _kubeconfig(folder: Path) -> dict[str, Any]:
    cluster = {
        "server": f"https://{ADDRESS}:6443",
        "certificate-authority": f"{folder}/ca.crt",
    }
    user = {"client-certificate": f"{folder}/admin.crt", "client-key": f"{folder}/admin.key"}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": cluster}],
        "users": [{"name": "admin", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "admin"}}],
        "current-context": "test",
    }


def _kubelet(folder: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "cgroupDriver": "cgroupfs",
        "failSwapOn": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "x509": {"clientCAFile": f"{folder}/ca.crt"},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        "imageGCHighThresholdPercent": 100,
        "clusterDNS": [ADDRESS],
        "clusterDomain": "cluster.local",
        "serializeImagePulls": False,
        # Pods of tests ask for little, to fit; a limit of their time would be most of the wait.
        "cpuCFSQuota": False,
    }


# Without restrict_oom_score_adj runc needs a capability that containers and some VMs lack.
_CONTAINERD = """
version = 2
root = "{folder}/containerd"
state = "/run/containerd/state"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "localhost/pause:1"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{folder}/networks"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    default_runtime_name = "runc"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
"""
