"""``sxdask doctor``."""

from __future__ import annotations

import json
import socket
from importlib import metadata

import pytest

from sxdask.cli import checks
from sxdask.cli.checks import Finding, cache, extras, services, software


def findings(result):
    return {(item["subject"], item["name"]): item for item in json.loads(result.stdout)["findings"]}


def test_a_healthy_machine(sxdask, cache, monkeypatch):
    monkeypatch.delenv("DASK_SCHEDULER_ADDRESS", raising=False)
    result = sxdask("doctor")
    assert result.exit_code == 0, result.stdout
    assert "awkward" in result.stdout
    assert result.stdout.rstrip().endswith("here")


def test_json_has_every_finding(sxdask, cache):
    found = findings(sxdask("doctor", "--json"))
    assert found["software", "dask"]["detail"].startswith(metadata.version("dask"))
    assert "wanted >=2025.3.0,<2025.4" in found["software", "dask"]["detail"]
    assert {"python", "uproot", "pyarrow"} <= {name for subject, name in found}
    assert found["cache", "directory"]["status"] == "ok"


def test_a_wrong_version_is_found(monkeypatch):
    installed = metadata.version

    def version(name: str) -> str:
        return "2026.1.0" if name == "dask" else installed(name)

    monkeypatch.setattr(checks, "version", version)
    (found,) = [item for item in software() if item.name == "dask"]
    assert found.status == "failed"
    assert found.hint == "pip install 'dask>=2025.3.0,<2025.4'"


def test_a_package_that_is_missing_is_found(monkeypatch):
    def version(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(checks, "version", version)
    assert {item.status for item in software() if item.name != "python"} == {"failed"}
    optional = {item.name: item for item in extras()}
    assert {item.status for item in optional.values()} == {"ok"}
    assert optional["coffea"].hint == "pip install 'sxdask[coffea]'"


def test_a_cache_that_cannot_be_written_to(sxdask, tmp_path, monkeypatch):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    (found,) = cache(blocked / "below")
    assert found.status == "failed"
    monkeypatch.setenv("SXDASK_CACHE_DIR", str(blocked / "below"))
    result = sxdask("doctor")
    assert result.exit_code == 4
    assert "set SXDASK_CACHE_DIR" in result.stdout


def test_settings_that_are_wrong(sxdask, monkeypatch):
    monkeypatch.setenv("SXDASK_THREADS", "many")
    result = sxdask("doctor")
    assert result.exit_code == 4
    assert "SXDASK_THREADS is 'many'" in result.stdout


def test_a_service_that_answers_and_one_that_does_not(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://user:secret@127.0.0.1:{port}")
        (found,) = services()
        assert found.status == "ok"
        assert "secret" not in found.detail
    (found,) = services()
    assert found == Finding(
        "services",
        "AWS_ENDPOINT_URL",
        "failed",
        f"http://...@127.0.0.1:{port}: no answer: Connection refused",
        "start it, or unset AWS_ENDPOINT_URL",
    )


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:99999999", "tcp://[::1"])
def test_an_address_that_is_none(monkeypatch, address):
    monkeypatch.setenv("DASK_SCHEDULER_ADDRESS", address)
    (found,) = services()
    assert found.status == "failed"
    assert "not an address" in found.detail
