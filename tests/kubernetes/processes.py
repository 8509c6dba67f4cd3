"""The control plane from within: process number one of its own namespaces.

Run by `tests.kubernetes.plane` with private mount, network and process
namespaces. Whatever is started here, containers too, ends with this process;
the kernel sees to that. The one argument is a JSON object of settings.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ETCD = "http://127.0.0.1:2379"
SOCKET = "/run/containerd/containerd.sock"
POD_NETWORK = "10.244.0.0/24"
SERVICE_NETWORK = "10.96.0.0/16"


def main(argument: str) -> None:
    """Start everything, in the order in which it is needed, and reap until the end."""
    settings = json.loads(argument)
    folder = Path(settings["folder"])
    _prepare(folder, settings)
    _start(folder, "etcd", _etcd(folder))
    _start(folder, "kube-apiserver", _apiserver(folder, settings))
    _start(folder, "containerd", ["containerd", "--config", str(folder / "containerd.toml")])
    _until(Path(SOCKET).exists, 30)
    _remove_containers()
    kubeconfig = f"--kubeconfig={folder}/admin.conf"
    programs = settings["programs"]
    _start(
        folder,
        "kube-controller-manager",
        [
            *(f"{programs}/kube-controller-manager", kubeconfig),
            f"--service-account-private-key-file={folder}/sa.key",
            f"--root-ca-file={folder}/ca.crt",
            f"--cluster-signing-cert-file={folder}/ca.crt",
            f"--cluster-signing-key-file={folder}/ca.key",
            "--use-service-account-credentials=true",
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )
    _start(
        folder,
        "kube-scheduler",
        [
            *(f"{programs}/kube-scheduler", kubeconfig),
            "--leader-elect=false",
            "--bind-address=127.0.0.1",
        ],
    )
    _start(
        folder,
        "kube-proxy",
        [
            *(f"{programs}/kube-proxy", kubeconfig, "--proxy-mode=iptables"),
            f"--cluster-cidr={POD_NETWORK}",
            f"--hostname-override={settings['node']}",
            f"--bind-address={settings['address']}",
            "--conntrack-max-per-core=0",
            "--healthz-bind-address=127.0.0.1:10256",
        ],
    )
    kubectl = [settings["kubectl"], kubeconfig]
    names = str(Path(__file__).with_name("names.py"))
    _start(folder, "names", [sys.executable, names, settings["address"], *kubectl])
    _start(
        folder,
        "kubelet",
        [
            *(f"{programs}/kubelet", kubeconfig, f"--config={folder}/kubelet.yaml"),
            f"--hostname-override={settings['node']}",
            f"--node-ip={settings['address']}",
            f"--root-dir={folder}/kubelet",
            "--container-runtime=remote",
            f"--container-runtime-endpoint=unix://{SOCKET}",
        ],
    )
    _reap()


def _prepare(folder: Path, settings: dict[str, Any]) -> None:
    """Make mounts and the network of the node; nothing of it is seen outside."""
    _run("mount", "--make-rshared", "/")
    _run("mount", "-t", "tmpfs", "tmpfs", "/run")
    resolver = folder / "resolv.conf"
    resolver.write_text(f"nameserver {settings['address']}\n")
    _run("mount", "--bind", str(resolver), os.path.realpath("/etc/resolv.conf"))
    _run("ip", "link", "set", "lo", "up")
    _until(lambda: _has(settings["link"]), 20)
    _run("ip", "address", "add", f"{settings['address']}/24", "dev", settings["link"])
    _run("ip", "link", "set", settings["link"], "up")
    _run("ip", "route", "add", "default", "via", settings["outside"])
    _run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    networks = folder / "networks"
    networks.mkdir(exist_ok=True)
    bridge = {
        "type": "bridge",
        "bridge": "pods",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": "/run/cni",
            "ranges": [[{"subnet": POD_NETWORK}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    (networks / "pods.conflist").write_text(
        json.dumps({"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]})
    )


def _has(link: str) -> bool:
    """Say whether the link is there yet; it is moved here from outside."""
    return subprocess.run(["ip", "link", "show", link], capture_output=True).returncode == 0


def _etcd(folder: Path) -> list[str]:
    data = folder / "etcd"
    shutil.rmtree(data, ignore_errors=True)
    return [
        *("etcd", "--data-dir", str(data), "--unsafe-no-fsync"),
        *("--listen-client-urls", ETCD, "--advertise-client-urls", ETCD),
        *("--listen-peer-urls", "http://127.0.0.1:2380"),
        *("--initial-advertise-peer-urls", "http://127.0.0.1:2380"),
        *("--initial-cluster", "default=http://127.0.0.1:2380"),
    ]


def _apiserver(folder: Path, settings: dict[str, Any]) -> list[str]:
    return [
        f"{settings['programs']}/kube-apiserver",
        f"--etcd-servers={ETCD}",
        f"--advertise-address={settings['address']}",
        "--secure-port=6443",
        f"--tls-cert-file={folder}/apiserver.crt",
        f"--tls-private-key-file={folder}/apiserver.key",
        f"--client-ca-file={folder}/ca.crt",
        f"--kubelet-client-certificate={folder}/admin.crt",
        f"--kubelet-client-key={folder}/admin.key",
        # Without it, logs and port-forward ask DNS for the name of the node.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-key-file={folder}/sa.key",
        f"--service-account-signing-key-file={folder}/sa.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICE_NETWORK}",
        "--authorization-mode=RBAC",
        "--allow-privileged=true",
    ]


def _remove_containers() -> None:
    """Remove what a run that was killed left in the runtime's database."""
    listed = subprocess.run(
        ["ctr", "--address", SOCKET, "--namespace", "k8s.io", "containers", "list", "--quiet"],
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.split():
        _run("ctr", "--address", SOCKET, "--namespace", "k8s.io", "containers", "delete", name)


def _start(folder: Path, name: str, command: list[str]) -> None:
    log = (folder / f"{name}.log").open("w")
    subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


def _until(ready: Any, seconds: float) -> None:
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"not ready in {seconds:g} s")
        time.sleep(0.05)


def _reap() -> None:
    """Take the exit status of every orphan, as process number one has to."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    while True:
        try:
            os.wait()
        except ChildProcessError:
            time.sleep(1)


if __name__ == "__main__":
    main(sys.argv[1])
