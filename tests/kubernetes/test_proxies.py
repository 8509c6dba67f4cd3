"""``sxdask cluster init``: a proxy that stays fresh, made by a stand-in for voms-proxy-init."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64decode

import pytest
import trustme

import sxdask as sx
from tests.kubernetes.images import WORKER
from tests.kubernetes.place import eventually

STAND_IN = (
    "sh -c 'umask 077; cat /etc/sxdask/grid/usercert.pem /etc/sxdask/grid/userkey.pem "
    "> $X509_USER_PROXY'"
)


@pytest.fixture(scope="module")
def globus(tmp_path_factory):
    """Return a folder with a certificate and its key, as in ~/.globus."""
    folder = tmp_path_factory.mktemp("globus")
    issued = trustme.CA().issue_cert("user@example.org")
    (folder / "usercert.pem").write_bytes(issued.cert_chain_pems[0].bytes())
    (folder / "userkey.pem").write_bytes(issued.private_key_pem.bytes())
    return folder


@pytest.fixture
def init(place, namespace, tag, globus, monkeypatch):
    """Return a function that runs ``sxdask cluster init`` with a command."""
    monkeypatch.setenv("KUBECONFIG", str(place.kubeconfig))

    def run(command, *arguments):
        image = f"{WORKER}:{tag}"
        return subprocess.run(
            [
                *(sys.executable, "-m", "sxdask.cli", "cluster", "init"),
                *("--globus", str(globus), "--namespace", namespace, "--image", image),
                *("--writer-image", image, "--command", command, "--wait", "90"),
                *arguments,
            ],
            capture_output=True,
            text=True,
        )

    return run


def proxy_in(place, namespace):
    (secret,) = place.get(
        "secrets", "--namespace", namespace, "--field-selector=metadata.name=grid-proxy"
    )
    return b64decode(secret.get("data", {}).get("x509up", ""))


@pytest.mark.usefixtures("nothing_is_left")
def test_the_proxy_is_made_mounted_and_kept(init, place, namespace, options, globus):
    done = init(STAND_IN)
    assert done.returncode == 0, done.stderr
    assert "grid-proxy: valid until" in done.stdout
    made = (globus / "usercert.pem").read_bytes() + (globus / "userkey.pem").read_bytes()
    assert proxy_in(place, namespace) == made
    assert place.get("cronjobs", "--namespace", namespace)

    def seen():
        import os
        from pathlib import Path

        path = Path(os.environ["X509_USER_PROXY"])
        return str(path), path.read_bytes(), path.stat().st_mode & 0o007

    mounted = options | {"workers": 1, "proxy_secret": "grid-proxy"}
    with sx.cluster("kubernetes", **mounted) as client:
        path, content, others = client.submit(seen).result()
    assert path == "/etc/sxdask/x509/x509up"
    assert content == made
    assert others == 0

    broken = init("sh -c 'echo no proxy today > $X509_USER_PROXY'")
    assert broken.returncode != 0
    assert "the command has not made a proxy" in broken.stderr
    assert proxy_in(place, namespace) == made


def test_the_schedule_makes_the_next_proxy(init, place, namespace):
    assert init(STAND_IN, "--schedule", "* * * * *").returncode == 0
    made = proxy_in(place, namespace)
    gone = '[{"op": "remove", "path": "/data/x509up"}]'
    place.kubectl(
        *("patch", "secret", "grid-proxy", "--namespace", namespace),
        *("--type=json", f"--patch={gone}"),
    )
    assert not proxy_in(place, namespace)
    eventually(lambda: proxy_in(place, namespace) == made, 120, "no job makes a proxy")


def test_a_command_that_fails_is_told_by_its_last_line(init):
    done = init("sh -c 'echo the VOMS server sleeps; exit 3'")
    assert done.returncode != 0
    assert "the VOMS server sleeps" in done.stderr


def test_the_writer_may_change_the_proxy_and_nothing_else(init, place, namespace):
    assert init(STAND_IN).returncode == 0

    def may(verb, what):
        who = f"--as=system:serviceaccount:{namespace}:grid-proxy-writer"
        answer = place.kubectl(
            "auth", "can-i", verb, what, who, "--namespace", namespace, check=False
        )
        return answer.strip() == "yes"

    assert may("patch", "secret/grid-proxy")
    for verb, what in (
        ("get", "secret/grid-proxy"),
        ("patch", "secret/grid-proxy-certificates"),
        ("get", "secret/grid-proxy-certificates"),
        ("create", "secrets"),
        ("list", "secrets"),
        ("create", "pods"),
    ):
        assert not may(verb, what), (verb, what)
