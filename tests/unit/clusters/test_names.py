"""Clusters by name, and what is refused in the files that name them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from sxdask.clusters.names import find_cluster, named_clusters
from sxdask.core.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def write(text: str, name: str = "clusters.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text)
        monkeypatch.setenv("SXDASK_CLUSTERS", str(path))
        return path

    return write


def test_a_name_stands_for_a_backend_and_its_options(names):
    names("lab:\n  backend: local\n  options: {maximum: 4, threads_per_worker: 2}\n")
    found = find_cluster("lab")
    assert (found.backend, found.options) == ("local", {"maximum": 4, "threads_per_worker": 2})


def test_backends_and_addresses_need_no_file(tmp_path, monkeypatch):
    monkeypatch.delenv("SXDASK_CLUSTERS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert named_clusters() == {}
    assert find_cluster("local").backend == "local"
    for address in ("tcp://host:8786", "tls://host:8786", "host:8786"):
        assert find_cluster(address).options == {"address": address}


def test_the_users_file_is_in_the_configuration_directory(tmp_path, monkeypatch):
    monkeypatch.delenv("SXDASK_CLUSTERS", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "sxdask").mkdir()
    (tmp_path / "sxdask" / "clusters.yaml").write_text("mine: {backend: local}")
    assert list(named_clusters()) == ["mine"]


def test_the_first_of_several_files_wins(names, monkeypatch):
    first = names("a: {backend: local, description: mine}", "one.yaml")
    second = names("a: {backend: local}\nb: {backend: local}", "two.yaml")
    monkeypatch.setenv("SXDASK_CLUSTERS", f"{first}{os.pathsep}{second}")
    found = named_clusters()
    assert sorted(found) == ["a", "b"]
    assert found["a"].description == "mine"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("lab:\n  backend: nowhere\n", r":2: lab: no backend 'nowhere'"),
        ("lab:\n  backnd: local\n", r"lab\.backend: field required|lab\.backnd: extra"),
        ("lab:\n  backend: local\n  options: 3\n", r":3: lab\.options: "),
        ("local:\n  backend: gateway\n", r"'local' is a backend and stands for itself"),
        ("- local\n", r"names no clusters"),
        ("lab: {backend: local}\nlab: {backend: local}\n", r"key 'lab' is here twice"),
    ],
)
def test_a_mistake_is_told_with_its_place(names, text, problem):
    names(text)
    with pytest.raises(RequestError, match=problem):
        named_clusters()


@pytest.mark.parametrize(
    "options",
    [
        "{password: hunter2}",
        "{environment: {AWS_SECRET_ACCESS_KEY: hunter2}}",
        "{worker: {token: hunter2}}",
    ],
)
def test_a_secret_is_refused_and_not_repeated(names, options):
    names(f"lab:\n  backend: local\n  options: {options}\n")
    with pytest.raises(RequestError, match="holds a secret") as caught:
        find_cluster("lab")
    assert "hunter2" not in f"{caught.value}{caught.value.context}"


def test_files_of_credentials_are_no_secrets(names):
    worker = "{bearer_token_file: /run/token, s3_credentials: /run/aws}"
    names(f"lab:\n  backend: local\n  options: {{worker: {worker}}}\n")
    assert find_cluster("lab").options["worker"]["bearer_token_file"] == "/run/token"  # noqa: S105 - a path


def test_an_unknown_name_is_told_with_those_that_are_close(names):
    path = names("grid-lab: {backend: local}")
    with pytest.raises(RequestError, match="no cluster 'grid-lap'") as caught:
        find_cluster("grid-lap")
    assert caught.value.hint == "did you mean 'grid-lab'?"
    path.unlink()
    with pytest.raises(RequestError, match="which does not exist"):
        find_cluster("grid-lab")
