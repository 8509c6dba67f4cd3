"""Kubernetes itself, built once from Debian's source package into a cache.

No registry of Python or Debian packages holds an API server. Debian 12's
source package ``kubernetes`` has everything with its libraries, so that Go
downloads nothing. Two changes are needed:

*   reflect2 1.0.1 breaks with the map layout of Go 1.18 and later; Debian
    packages the version that does not.
*   kr8s looks a resource up by its singular name, which servers tell since
    1.27 only.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

VERSION = "1.20.2"
_SOURCE = "kubernetes=1.20.5+really1.20.2-1.1+deb12u1"
_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
)
_MIRROR = "http://deb.debian.org/debian"
_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_REFLECT2 = "github.com/modern-go/reflect2"
_INSTALLER = "staging/src/k8s.io/apiserver/pkg/endpoints/installer.go"
_KIND_IS_SET = "\t\tapiResource.Kind = resourceKind\n"
_SINGULAR_TOO = (
    "\t\tif !isSubresource {\n"
    "\t\t\tapiResource.SingularName = strings.ToLower(resourceKind)\n"
    "\t\t}\n"
)


def kubernetes_programs(cache: Path) -> Path:
    """Return the folder of the programs; build them if they are not there (about 7 minutes).

    The build runs with the lowest priority. Of two at once the second waits.

    Raises
    ------
    subprocess.CalledProcessError
        If a step fails; its output is in ``build.log`` beside the source.
    """
    folder = cache / f"kubernetes-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            work = cache / "build"
            source = _unpacked_source(work)
            _adapt(source)
            _compile(source, work)
            made = source / "_output/bin"
            fresh = cache / "fresh"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            for name in _PROGRAMS:
                shutil.copy2(made / name, fresh / name, follow_symlinks=True)
            fresh.rename(folder)
            shutil.rmtree(work, ignore_errors=True)  # four gigabytes
    return folder


def _unpacked_source(work: Path) -> Path:
    """Return the folder of the source, fetched by apt with lists of its own."""
    source = work / "source"
    if source.is_dir():
        return source
    (work / "lists/partial").mkdir(parents=True, exist_ok=True)
    (work / "sources.list").write_text(f"deb-src [signed-by={_KEYRING}] {_MIRROR} bookworm main\n")
    options = [
        f"-oDir::Etc::sourcelist={work}/sources.list",
        "-oDir::Etc::sourceparts=-",
        f"-oDir::State::lists={work}/lists",
        "-oAPT::Sandbox::User=root",
    ]
    for command in (["update"], ["source", "--download-only", _SOURCE]):
        subprocess.run(["apt-get", *options, "-qq", *command], cwd=work, check=True)
    (description,) = work.glob("*.dsc")
    fresh = work / "fresh"
    shutil.rmtree(fresh, ignore_errors=True)
    with (work / "build.log").open("a") as log:
        subprocess.run(
            ["dpkg-source", "-x", str(description), str(fresh)], check=True, stdout=log, stderr=log
        )
    fresh.rename(source)
    return source


def _adapt(source: Path) -> None:
    """Change the two places; nothing where that is done."""
    from pathlib import Path

    ours, theirs = source / "vendor" / _REFLECT2, Path("/usr/share/gocode/src") / _REFLECT2
    if not (ours / "go_above_118.go").exists():
        for old in (*ours.glob("*.go"), *ours.glob("*.s")):
            old.unlink()
        for new in (*theirs.glob("*.go"), *theirs.glob("*.s")):
            shutil.copy(new, ours)
    installer = source / _INSTALLER
    text = installer.read_text(encoding="utf-8")
    if _SINGULAR_TOO not in text:
        assert text.count(_KIND_IS_SET) == 2, "the source is not the one that is known"
        installer.write_text(
            text.replace(_KIND_IS_SET, _KIND_IS_SET + _SINGULAR_TOO), encoding="utf-8"
        )


def _compile(source: Path, work: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(work / "home"),
        "GOCACHE": str(work / "go-cache"),
        "GOFLAGS": "-mod=vendor",
        "GOPROXY": "off",
        "KUBE_GIT_VERSION": f"v{VERSION}",
        "KUBE_GIT_MAJOR": "1",
        "KUBE_GIT_MINOR": "20",
        "KUBE_GIT_COMMIT": "debian",
        "KUBE_GIT_TREE_STATE": "clean",
    }
    (work / "home").mkdir(exist_ok=True)
    programs = " ".join(f"cmd/{name}" for name in _PROGRAMS)
    with (work / "build.log").open("a") as log:
        for goal in (["generated_files"], [f"WHAT={programs}"]):
            subprocess.run(
                ["nice", "-n", "19", "make", *goal],
                cwd=source,
                env=environment,
                check=True,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
