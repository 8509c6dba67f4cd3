"""``sxdask serve`` as a process: how it begins, how it is checked, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.error
import urllib.request

import psutil
import pytest

from tests.processes import commands
from tests.services.official_client import served

ARGUMENTS = ("--port", "0", "--workers", "1")


def run(*arguments, **variables):
    return subprocess.run(
        [sys.executable, "-m", "sxdask.cli", "serve", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, **variables},
    )


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return json.loads(answer.read())


def wait_until_ready(service):
    """Wait until every part answers; on a busy machine one may take a while."""
    deadline = time.monotonic() + 60
    while True:
        try:
            found = get(f"{service.url}/readyz")
        except urllib.error.HTTPError as error:
            reply = error.read().decode()
            assert time.monotonic() < deadline, reply
            time.sleep(0.5)
        else:
            assert found["status"] == "ok"
            return


def children_of(process):
    return psutil.Process(process.pid).children(recursive=True)


def test_it_answers_leaves_nothing_behind_and_goes_on_after_a_kill(tmp_path):
    data = tmp_path / "data"
    with served(data, *ARGUMENTS) as service:
        assert service.client_file in service.welcome
        assert get(f"{service.url}/servicex")["code-gen-image"]
        wait_until_ready(service)
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        children = children_of(service.process)
        assert any("weed" in item.name() for item in children)

        second = run("--port", "0", "--data-dir", str(data))
        assert second.returncode == 2
        assert f"another service works in {str(data)!r}" in second.stderr
        assert str(service.process.pid) in second.stderr

        began = time.monotonic()
        assert service.end(signal.SIGINT) == 0
        assert time.monotonic() - began < 30
        assert psutil.wait_procs(children, timeout=5)[1] == []
        assert "Traceback" not in service.errors.read_text()

    with served(data, *ARGUMENTS) as service:
        children = children_of(service.process)
        service.process.kill()
        service.process.wait()
    with served(data, *ARGUMENTS) as service:
        wait_until_ready(service)
        assert psutil.wait_procs(children, timeout=20)[1] == []
        assert service.end() == 0


def test_a_port_that_is_taken_is_said_before_anything_starts(tmp_path):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = run("--port", str(port), "--data-dir", str(tmp_path / "data"))
    assert found.returncode == 4
    assert f"cannot listen on 127.0.0.1:{port}" in found.stderr
    assert not (tmp_path / "data").exists()


def test_other_machines_are_not_let_in_by_accident(tmp_path):
    found = run("--host", "0.0.0.0", "--data-dir", str(tmp_path / "data"))  # noqa: S104
    assert found.returncode == 2
    assert "lets other machines in without a token" in found.stderr
    assert not (tmp_path / "data").exists()


def test_a_package_that_is_missing_is_named_with_its_extra(tmp_path):
    (tmp_path / "pydantic_settings.py").write_text("raise ImportError('No module x')\n")
    found = run("--data-dir", str(tmp_path / "data"), PYTHONPATH=str(tmp_path))
    assert found.returncode == 4
    assert "pip install 'sxdask[embedded]'" in found.stderr


def test_check_says_how_each_part_is(tmp_path):
    found = run("--check", "--data-dir", str(tmp_path / "data"), *ARGUMENTS)
    assert found.returncode == 0, found.stdout + found.stderr
    marks = {line.split()[1]: line.split()[0] for line in found.stdout.splitlines()}
    parts = ("settings", "folder", "address", "database", "cluster", "object-store", "workers")
    assert {name: marks[name] for name in parts} == dict.fromkeys(parts, "ok")
    assert not [line for line in commands(psutil.process_iter()) if str(tmp_path) in line]


def test_check_fails_for_a_store_that_is_not_there_and_a_database_that_is_none(tmp_path):
    store = {
        "SXDASK_SERVICE_S3_ENDPOINT": "http://127.0.0.1:9",
        "SXDASK_SERVICE_S3_ACCESS_KEY": "key-of-nobody",
        "SXDASK_SERVICE_S3_SECRET_KEY": "secret-of-nobody",
        "SXDASK_SERVICE_DATABASE_URL": "postgresql://me:password-of-nobody@127.0.0.1:9/x",
    }
    found = run("--check", "--data-dir", str(tmp_path / "data"), *ARGUMENTS, **store)
    assert found.returncode == 4
    failed = [line.split()[1] for line in found.stdout.splitlines() if line.startswith("FAIL")]
    assert {"database", "object-store"} <= set(failed)
    assert "of-nobody" not in (found.stdout + found.stderr).replace("key-of-nobody", "")


def test_check_fails_with_2_for_a_mistake_of_the_operator(tmp_path):
    found = run("--check", "--data-dir", str(tmp_path), SXDASK_SERVICE_PROT="1")
    assert found.returncode == 2
    assert "no setting 'prot'" in found.stderr


def test_it_asks_for_tokens_where_it_is_told_to(tmp_path):
    with served(tmp_path / "data", "--auth", *ARGUMENTS) as service:
        with pytest.raises(urllib.error.HTTPError) as caught:
            get(f"{service.url}/servicex/transformation")
        caught.value.close()
        assert caught.value.code == 401
        secret = tmp_path / "data" / "token-secret"
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
        told = service.welcome + service.errors.read_text()
        assert secret.read_text().strip() not in told
