"""Debian packages that a control plane on this machine needs, and what is missing here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

# What each package is looked for by: a program, or a path.
_PACKAGES = {
    "containerd": "containerd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "dpkg-dev": "dpkg-source",
    "etcd-server": "etcd",
    "gcc": "gcc",
    "golang-github-modern-go-reflect2-dev": "/usr/share/gocode/src/github.com/modern-go/reflect2",
    "golang-go": "go",
    "iproute2": "ip",
    "iptables": "iptables",
    "jq": "jq",
    "libc6-dev": "/usr/include/stdio.h",
    "make": "make",
    "mmdebstrap": "mmdebstrap",
    "openssl": "openssl",
    "rsync": "rsync",
    "runc": "runc",
}


def missing_packages() -> list[str]:
    """Return the Debian packages that have to be installed yet."""
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    return [
        name
        for name, sign in _PACKAGES.items()
        if not (Path(sign).exists() if sign.startswith("/") else shutil.which(sign, path=path))
    ]


def install_packages() -> None:
    """Install what is missing; only root may.

    Raises
    ------
    PermissionError
        If something is missing and this is not root.
    subprocess.CalledProcessError
        If apt cannot install it.
    """
    missing = missing_packages()
    if not missing:
        return
    if os.geteuid() != 0:
        raise PermissionError(f"run as root: apt-get install {' '.join(missing)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *missing],
        check=True,
        env=environment,
        stdout=subprocess.DEVNULL,
    )
