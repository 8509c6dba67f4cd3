"""Container images without a registry: Debian by mmdebstrap, packages by pip, this project.

An image is written as an OCI layout in a tar file. The layer of Debian and
that of the packages are made once for the versions that are installed here,
so that client and workers agree; the project's own layer is made anew, so that
the pods run what is tested.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
WORKER = "localhost/sxdask-worker"
SERVICE = "localhost/sxdask-service"
OPERATOR = "localhost/dask-kubernetes-operator"
PAUSE = "localhost/pause:1"

_EXTRAS = ("dashboard", "embedded", "fast", "kubernetes", "s3", "service")
_PACKAGES = "usr/local/lib/python3.11/dist-packages"
_PREFIX = "usr/local"
_ENTRYPOINTS = {
    WORKER: [],
    SERVICE: ["/usr/local/bin/sxdask", "serve"],
    OPERATOR: ["/usr/local/bin/kopf", "run", "-m", "dask_kubernetes.operator.controller"],
}


@dataclass(frozen=True, slots=True)
class Layer:
    """An uncompressed tar file and its SHA-256 in hexadecimal digits."""

    path: Path
    digest: str


@dataclass(frozen=True, slots=True)
class Images:
    """Everything to import: `archive` has all blobs, `update` only those of this project.

    `tag` names the project's code, so that pods never take an older one.
    """

    archive: Path
    update: Path
    tag: str
    layers: tuple[str, ...]


def project_images(cache: Path, scratch: Path) -> Images:
    """Build what is missing in `cache`; the project's own layer goes to `scratch`."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "images.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = _cached(cache, "debian", "bookworm minbase 1", _debian)
        packages = _cached(cache, "packages", _wanted_packages(), _installed)
        pause = _cached(cache, "pause", (Path(__file__).parent / "pause.c").read_text(), _pause)
        code = _code(scratch)
    tag = code.digest[:12]
    archive, update = scratch / "images.tar", scratch / "update.tar"
    layers = [base, packages, code]
    described = [
        _image(f"{name}:{tag}", layers, {"Entrypoint": entrypoint, **_config()})
        for name, entrypoint in _ENTRYPOINTS.items()
    ] + [_image(PAUSE, [pause], {"Entrypoint": ["/pause"]})]
    _write_layout(archive, described, [*layers, pause])
    _write_layout(update, described, [code, pause])
    return Images(archive, update, tag, tuple(layer.digest for layer in (base, packages)))


def _config() -> dict[str, Any]:
    return {
        "User": "1000:1000",
        "WorkingDir": "/tmp",  # noqa: S108 - inside the container
        "Env": [
            "PATH=/usr/local/bin:/usr/bin:/bin",
            "HOME=/tmp",
            "USER=sxdask",  # of whom there is no entry in /etc/passwd
            "PYTHONUNBUFFERED=1",
            "PYTHONDONTWRITEBYTECODE=1",
        ],
    }


def _cached(cache: Path, name: str, recipe: str, make: Any) -> Layer:
    """Return the layer `make(recipe, path)` writes, from the cache if the recipe is the same."""
    key = hashlib.sha256(recipe.encode()).hexdigest()[:16]
    path = cache / f"{name}-{key}.tar"
    note = path.with_suffix(".sha256")
    if not note.exists():
        for old in cache.glob(f"{name}-*"):
            old.unlink()
        make(recipe, path)
        note.write_text(_digest(path))
    return Layer(path, note.read_text())


def _debian(recipe: str, path: Path) -> None:
    """Write a minimal Debian with its Python."""
    release, variant, _ = recipe.split()
    subprocess.run(
        [
            "mmdebstrap",
            "--quiet",
            f"--variant={variant}",
            "--include=python3,ca-certificates",
            "--dpkgopt=path-exclude=/usr/share/doc/*",
            "--dpkgopt=path-exclude=/usr/share/man/*",
            "--dpkgopt=path-exclude=/usr/share/locale/*",
            "--skip=output/dev",
            release,
            str(path),
        ],
        check=True,
    )


def _wanted_packages() -> str:
    """Return what is done, and a line a requirement: the project's, in the versions of here."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    names: set[str] = set()
    for requirement in [*project["dependencies"], *(r for e in _EXTRAS for r in extras[e])]:
        name = re.split(r"[<>=\[;! ]", requirement, maxsplit=1)[0]
        if name != "sxdask":
            names.add(name)
    versions = [f"{name}=={metadata.version(name)}" for name in sorted(names)]
    return "\n".join(["compiled", *versions])


def _installed(recipe: str, path: Path) -> None:
    """Install the packages with the running pip, for the Python of Debian 12."""
    if sys.version_info[:2] != (3, 11):
        raise OSError("images for the tests are made with Python 3.11, the one of Debian 12")
    folder = path.with_suffix(".d")
    shutil.rmtree(folder, ignore_errors=True)
    pins = path.with_suffix(".pins")
    pins.write_text(
        "\n".join(
            f"{found.metadata['Name']}=={found.version}"
            for found in metadata.distributions()
            if found.metadata["Name"] != "sxdask"
        )
    )
    _pip(folder, "--constraint", str(pins), *recipe.split()[1:])
    for tests in folder.glob(f"{_PACKAGES}/*/tests"):
        shutil.rmtree(tests)
    _compile(folder)
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname=".", filter=_as_root)
    shutil.rmtree(folder)
    pins.unlink()


def _code(scratch: Path) -> Layer:
    """Install the project itself, without what it needs."""
    folder = scratch / "code"
    _pip(folder, "--no-deps", str(ROOT))
    _compile(folder)
    path = scratch / "code.tar"
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname=".", filter=_as_root)
    shutil.rmtree(folder)
    return Layer(path, _digest(path))


def _pip(folder: Path, *arguments: str) -> None:
    """Install into ``folder/usr/local`` as Debian's Python looks for it."""
    target = folder / _PACKAGES
    target.mkdir(parents=True)
    subprocess.run(
        [
            *("nice", "-n", "19", sys.executable, "-m", "pip", "install", "--quiet"),
            *("--disable-pip-version-check", "--no-compile", "--root-user-action=ignore"),
            *("--target", str(target), *arguments),
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    programs = folder / _PREFIX / "bin"
    if (target / "bin").is_dir():
        shutil.move(target / "bin", programs)
        for script in programs.iterdir():
            first, _, rest = script.read_bytes().partition(b"\n")
            if first.startswith(b"#!") and b"python" in first:
                script.write_bytes(b"#!/usr/bin/python3\n" + rest)


def _compile(folder: Path) -> None:
    """Compile modules for the Python of Debian: pods may not, and would anew in each process."""
    subprocess.run(
        [
            *("nice", "-n", "19", sys.executable, "-m", "compileall", "-qq", "-j", "0"),
            # Times of files are not kept in layers, so they cannot say what is fresh.
            *("--invalidation-mode", "unchecked-hash", "-s", str(folder), "-p", "/"),
            str(folder / _PACKAGES),
        ],
        check=False,  # some packages have templates that are no Python
        stdout=subprocess.DEVNULL,
    )


def _pause(recipe: str, path: Path) -> None:
    program = path.with_suffix(".program")
    subprocess.run(
        ["gcc", "-Os", "-static", "-x", "c", "-o", str(program), "-"],
        input=recipe.encode(),
        check=True,
    )
    with tarfile.open(path, "w") as archive:
        archive.add(program, arcname="pause", filter=_as_root)
    program.unlink()


def _as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    entry.mtime = 0  # so that the same code is the same layer
    return entry


def _image(name: str, layers: list[Layer], config: dict[str, Any]) -> dict[str, Any]:
    """Return the three documents of one image: configuration, manifest, entry of the index."""
    configuration = json.dumps(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": config,
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{one.digest}" for one in layers]},
        }
    ).encode()
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": _descriptor("config.v1+json", configuration),
            "layers": [
                {
                    "mediaType": "application/vnd.oci.image.layer.v1.tar",
                    "digest": f"sha256:{one.digest}",
                    "size": one.path.stat().st_size,
                }
                for one in layers
            ],
        }
    ).encode()
    entry = _descriptor("manifest.v1+json", manifest)
    entry["annotations"] = {"io.containerd.image.name": name}
    return {"entry": entry, "blobs": [configuration, manifest]}


def _descriptor(kind: str, content: bytes) -> dict[str, Any]:
    return {
        "mediaType": f"application/vnd.oci.image.{kind}",
        "digest": f"sha256:{hashlib.sha256(content).hexdigest()}",
        "size": len(content),
    }


def _write_layout(path: Path, images: list[dict[str, Any]], layers: list[Layer]) -> None:
    index = {"schemaVersion": 2, "manifests": [image["entry"] for image in images]}
    with tarfile.open(path, "w") as archive:
        _add(archive, "oci-layout", b'{"imageLayoutVersion": "1.0.0"}')
        _add(archive, "index.json", json.dumps(index).encode())
        for content in {blob for image in images for blob in image["blobs"]}:
            _add(archive, f"blobs/sha256/{hashlib.sha256(content).hexdigest()}", content)
        for layer in layers:
            archive.add(layer.path, arcname=f"blobs/sha256/{layer.digest}")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
